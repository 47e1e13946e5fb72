"""Keeps the webhook's certificate: issues it, stores it in a Secret, publishes its CA, rotates and repairs all three.

Only the leader does, but for one thing: where no CA is published, every controller publishes the one that is stored,
since until then each labelled object is refused. The Secret and the webhook configurations are watched, so what is
deleted, damaged or blanked by hand is put right at once, and ever more slowly where something else insists. The CA is
published by server-side apply with a field manager of its own, which owns ``caBundle`` and nothing else: whoever
applies the rest, be it Helm or Argo CD, does not touch it.
"""

import base64
import threading
import time
from collections.abc import Callable, Iterable

import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs.rotation import KEYS, State, advance
from certs.settings import Settings
from kube import events
from kube.client import Client
from kube.contests import Backoff, Contests
from kube.failures import ApiError
from kube.informer import Informer
from kube.objects import Object
from kube.resources import MUTATING_WEBHOOKS, SECRETS, VALIDATING_WEBHOOKS
from telemetry import threads
from telemetry.metrics.controller import CERTIFICATE_CHANGES

log = structlog.get_logger(__name__)

CONFIGURATIONS = (MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS)
MANAGER = "asya-operator-certs"
"""Field manager of the Secret and of every ``caBundle``."""
TICK_SECONDS = 30.0
AHEAD_SECONDS = 5.0
"""For which our CA is published beside one of somebody else before our certificate is stored, at most."""
CERT_MANAGER = "cert-manager.io/certificate-name"
"""Annotation of the Secrets that cert-manager writes."""


class Keeper:
    """Does all of the above on a thread of its own while ``leading`` says so."""

    def __init__(
        self,
        client: Client,
        settings: Settings,
        leading: Callable[[], bool],
        identity: str = "",
        *,
        any_time: Client | None = None,
    ) -> None:
        """Keep what ``settings`` say by ``client`` while ``leading``, and publish by ``any_time`` where nothing is."""
        self._client, self._settings, self._leading = client, settings, leading
        self._any_time = any_time or client
        self._events, self._contests = events.Recorder(client, identity), Contests()
        self._reported: set[str] = set()
        """What is contested, and an Event has said so."""
        self._wake, self._stopped = threading.Event(), threading.Event()
        self._known: State | None = None
        """What was stored last: a Secret that is lost is restored as it was, and nobody notices."""
        self._secret, self._authority = (
            Informer(
                client, SECRETS, self._changed, field_selector=f"metadata.name={name}", namespace=settings.namespace
            )
            for name in (settings.secret, settings.authority)
        )
        self._configurations = [
            Informer(client, resource, self._changed, field_selector=f"metadata.name={settings.configuration}")
            for resource in CONFIGURATIONS
        ]

    @property
    def informers(self) -> list[Informer]:
        """Those that run; none where there is nothing to do in this mode."""
        if self._settings.mode not in ("self", "secret"):
            return []
        authority = [self._authority] if self._settings.mode == "self" else []
        return [self._secret, *authority, *self._configurations]

    def start(self) -> None:
        """Start, unless there is nothing to do in this mode."""
        if self.informers:
            for informer in self.informers:
                informer.start()
            threads.start("certificates", self._run)

    def stop(self) -> None:
        """Stop."""
        self._stopped.set()
        self._wake.set()

    def _changed(self, obj: Object, deleted: bool) -> None:
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            pause = 1.0
            if all(i.synced for i in self.informers):
                try:
                    if self._leading():
                        pause = self._reconcile()
                    else:
                        self._publish_where_blank()
                except ApiError as error:
                    log.warning("certificates_failed", error=str(error))
            self._wake.wait(pause)
            self._wake.clear()

    def _reconcile(self) -> float:
        """Put everything right; seconds until the next look."""
        secret = self._secret.get(self._settings.namespace, self._settings.secret)
        data = (secret or {}).get("data") or {}
        if self._settings.mode == "secret":
            bundle = data.get("ca.crt")
            return self._publish(bundle) if bundle else TICK_SECONDS
        if self._is_of_cert_manager(secret):
            return TICK_SECONDS
        authority = self._authority.get(self._settings.namespace, self._settings.authority)
        # Before the CA's key had a Secret of its own, all of it was in the one that the webhook reads.
        stored = State.from_secret(_data(authority)) or State.from_secret(data)
        state = stored or self._known
        now = time.time()
        changed = advance(
            state,
            self._settings.names,
            self._settings.policy,
            now,
            published=state is not None and self._published(_encoded(state)),
            trusted=self._trusted() if state is None else b"",  # which a state of ours has no use for
        )
        pauses = [TICK_SECONDS]
        if stored is None and changed.previous is not None and now < changed.since + self._ahead_seconds:
            # Webhooks serve a certificate of another CA until ours is stored: by then API servers must trust both.
            pauses.append(self._ahead_seconds / 2)
        else:
            what = _what(secret, authority, stored, state, changed)
            pauses.append(self._store(secret, authority, changed, what))
        self._known = changed
        pauses.append(self._publish(_encoded(changed)))
        if changed.following is not None or changed.previous is not None:
            pauses.append(self._settings.policy.overlap.total_seconds() / 2)
        shortest = min(self._settings.policy.lifetime, self._settings.policy.ca_lifetime).total_seconds()
        return min(*pauses, shortest / 12)

    @property
    def _ahead_seconds(self) -> float:
        return min(AHEAD_SECONDS, self._settings.policy.overlap.total_seconds())

    def _trusted(self) -> bytes:
        """What is published, as PEM; an empty text where that is no certificate."""
        hooks = self._hooks()
        bundles = {_bundle(hook) for hook in hooks} - {""}
        try:
            authorities = {c for b in bundles for c in x509.load_pem_x509_certificates(base64.b64decode(b))}
        except ValueError:
            return b""
        return b"".join(sorted(certificate.public_bytes(Encoding.PEM) for certificate in authorities))

    def _is_of_cert_manager(self, secret: Object | None) -> bool:
        """Whether cert-manager writes this Secret: two that issue into one would do so for ever."""
        metadata = (secret or {}).get("metadata") or {}
        certificate = (metadata.get("annotations") or {}).get(CERT_MANAGER)
        if certificate and "cert-manager" not in self._reported:
            message = f"the Secret {self._settings.secret!r} is cert-manager's, of the Certificate {certificate!r}"
            log.error("certificates_refused", secret=self._settings.secret, certificate=certificate)
            do = "Set certs.secretName to another name, or delete the Certificate and then the Secret"
            self._record(
                "SecretOfCertManager", f"{message}, so that certs.mode self leaves it alone. {do}", warning=True
            )
        self._reported = self._reported | {"cert-manager"} if certificate else self._reported - {"cert-manager"}
        return bool(certificate)

    def _publish_where_blank(self) -> None:
        """Publish the CA that is stored where none is: a controller that waits for its turn to lead may, too."""
        secret = self._secret.get(self._settings.namespace, self._settings.secret)
        data = (secret or {}).get("data") or {}
        bundle = data.get("ca.crt")
        if not bundle or not data.get("tls.crt"):
            return
        for informer, configuration in self._webhook_configurations():
            hooks = configuration.get("webhooks") or ()
            if hooks and not any(map(_bundle, hooks)):
                wanted = self._configuration(informer, hooks, bundle)
                informer.observe(self._any_time.apply(informer.resource, wanted, manager=MANAGER))
                CERTIFICATE_CHANGES.labels("published-where-blank").inc()
                log.info("ca_published", kind=informer.resource.kind, name=self._settings.configuration)

    def _configuration(self, informer: Informer, hooks: Iterable[Object], bundle: str) -> Object:
        return {
            "apiVersion": informer.resource.api_version,
            "kind": informer.resource.kind,
            "metadata": {"name": self._settings.configuration},
            "webhooks": [{"name": hook["name"], "clientConfig": {"caBundle": bundle}} for hook in hooks],
        }

    def _store(self, secret: Object | None, authority: Object | None, state: State, what: str) -> float:
        """Store whatever is not, unless that is contested; seconds until the next look, at most.

        First all of it where only controllers look, then what the webhook serves: whoever stops between the two
        leaves a state that the next one goes on from.
        """
        settings, data = self._settings, _data(secret)
        is_kept = State.from_secret(_data(authority)) == state
        has_keys = bool(set(KEYS) & set(data))
        is_served = not has_keys and all(data.get(part) == value for part, value in state.served().items())
        if is_kept and is_served:
            return TICK_SECONDS
        if not is_kept:
            obj = self._object(settings.authority, "Opaque", state.to_secret())
            pause = self._write(self._authority, authority, obj, str(hash(state)))
            if pause:
                return pause
        if has_keys:
            drop = {"data": dict.fromkeys(state.to_secret().keys() - state.served().keys())}
            secret = self._client.merge_patch(SECRETS, settings.namespace, settings.secret, drop)
        if not is_served:
            obj = self._object(settings.secret, "kubernetes.io/tls", state.served())
            pause = self._write(self._secret, secret, obj, str(hash(state)))
            if pause:
                return pause
        self._tell(what, state)
        return TICK_SECONDS

    def _object(self, name: str, kind: str, data: dict[str, str]) -> Object:
        metadata = {"name": name, "namespace": self._settings.namespace}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "data": data}

    def _published(self, bundle: str) -> bool:
        hooks = self._hooks()
        return all(_bundle(hook) == bundle for hook in hooks)

    def _hooks(self) -> list[Object]:
        """The webhooks of all configurations."""
        return [hook for _, obj in self._webhook_configurations() for hook in obj.get("webhooks") or ()]

    def _webhook_configurations(self) -> list[tuple[Informer, Object]]:
        pairs = [(i, i.get("", self._settings.configuration)) for i in self._configurations]
        return [(informer, obj) for informer, obj in pairs if obj is not None]

    def _publish(self, bundle: str) -> float:
        """Publish it wherever it is not, unless that is contested; seconds until the next look, at most."""
        soonest = TICK_SECONDS
        for informer, configuration in self._webhook_configurations():
            hooks = configuration.get("webhooks") or ()
            if all(_bundle(hook) == bundle for hook in hooks):
                continue
            blank = not all(map(_bundle, hooks))
            wanted = self._configuration(informer, hooks, bundle)
            pause = self._write(informer, configuration, wanted, bundle)
            if pause:
                soonest = min(soonest, pause)
                continue
            CERTIFICATE_CHANGES.labels("published-where-blank" if blank else "published").inc()
            log.info("ca_published", kind=informer.resource.kind, name=self._settings.configuration)
        return soonest

    def _write(self, informer: Informer, live: Object | None, obj: Object, wanted: str) -> float:
        """Apply ``obj``, and return 0; or, if something else keeps changing it, seconds until its turn."""
        kind, name = obj["kind"], obj["metadata"]["name"]

        def write() -> Object:
            return self._client.apply(informer.resource, obj, manager=MANAGER)

        try:
            written = self._contests.restore(f"{kind}/{name}", wanted, live, write)
        except Backoff as later:
            if kind not in self._reported:
                self._reported.add(kind)
                message = f"something else keeps changing the {kind} {name!r}, and it is put right ever more slowly"
                do = f"kubectl get {kind.lower()} {name} -o yaml --show-managed-fields tells what it is: have it stop"
                self._record("Contested", f"{message}. {do}", warning=True)
            return later.seconds
        self._reported.discard(kind)
        informer.observe(written)
        return 0.0

    def _tell(self, what: str, state: State) -> None:
        CERTIFICATE_CHANGES.labels(what).inc()
        expires = state.serving.expires.isoformat()
        log.info("certificate", change=what, expires=expires)
        reason = "Certificate" + "".join(word.capitalize() for word in what.split("-"))
        message = f"webhook certificate: {what.replace('-', ' ')}; the serving certificate expires {expires}"
        self._record(reason, message, warning=what.startswith(("restored", "replaced")))

    def _record(self, reason: str, message: str, *, warning: bool) -> None:
        """An Event about the Secret."""
        about = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self._settings.secret, "namespace": self._settings.namespace},
        }
        self._events.record(about, reason, message, warning=warning)


def _encoded(state: State) -> str:
    return base64.b64encode(state.bundle).decode()


def _bundle(hook: Object) -> str:
    """The CA that a webhook configuration publishes; an empty text where that is none."""
    return (hook.get("clientConfig") or {}).get("caBundle") or ""


def _data(secret: Object | None) -> dict[str, str]:
    return (secret or {}).get("data") or {}


def _what(
    secret: Object | None, authority: Object | None, stored: State | None, state: State | None, changed: State
) -> str:
    """A word for what happened, for Events and metrics."""
    if stored is None and state is not None:
        return "restored-secret" if secret is None or authority is None else "restored-damaged-secret"
    if state is None:
        return "issued" if secret is None else "replaced-damaged-secret"
    if changed.following is not None and state.following is None:
        return "ca-announced"
    if changed.authority != state.authority:
        return "ca-used"
    if changed.previous is None and state.previous is not None:
        return "old-ca-dropped"
    if changed == state:
        is_whole = set(KEYS) & set(_data(secret))
        return "ca-key-moved" if is_whole else "restored-secret" if secret is None else "restored-damaged-secret"
    return "renewed"
