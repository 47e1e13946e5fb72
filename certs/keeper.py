"""Maintains the webhook's certificate: issues it, stores it in a Secret, publishes its CA, rotates and repairs them.

Only the leader does this, with one exception: if no CA is published, every controller publishes the stored CA, because
until then the API server refuses each labelled object. The keeper watches the Secrets and the webhook configurations.
It repairs deleted or damaged content at once, and with backoff if another writer contests it. It publishes the CA by
server-side apply with a separate field manager, which owns only ``caBundle``. Helm or Argo CD, which apply the rest of
a configuration, therefore do not change it.
"""

import base64
import threading
import time
from collections.abc import Callable, Iterable

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from certs.rotation import KEYS, State, advance, check_seconds
from certs.settings import Settings
from kube import events
from kube.client import Client
from kube.contests import Backoff, Contests
from kube.failures import ApiError
from kube.informer import Informer
from kube.objects import Object
from kube.resources import MUTATING_WEBHOOKS, SECRETS, VALIDATING_WEBHOOKS
from telemetry import threads
from telemetry.logs import log
from telemetry.metrics.controller import CERTIFICATE_CHANGES

CONFIGURATIONS = (MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS)
MANAGER = "asya-operator-certs"
"""Field manager of the Secret and of every ``caBundle``."""
TICK_SECONDS = 30.0
"""Longest pause between two checks."""
AHEAD_SECONDS = 5.0
"""Longest time for which the operator's CA is published beside another CA before its certificate is stored."""
CERT_MANAGER = "cert-manager.io/certificate-name"
"""Annotation on the Secrets that cert-manager writes."""


class Keeper:
    """Maintains the certificate on a separate thread.

    Args:
        client: a client that may write only while this process leads.
        settings: the settings.
        leading: whether this process leads.
        identity: the identity of this process, for Events.
        follower_client: a client that may write always. It publishes the CA if none is published.
    """

    def __init__(
        self,
        client: Client,
        settings: Settings,
        leading: Callable[[], bool],
        identity: str = "",
        *,
        follower_client: Client | None = None,
    ) -> None:
        self._client, self._settings, self._is_leading = client, settings, leading
        self._follower_client = follower_client or client
        self._events, self._contests = events.Recorder(client, identity), Contests()
        self._reported: set[str] = set()
        """Problems that an Event has already reported."""
        self._wake, self._stopped = threading.Event(), threading.Event()
        self._last_state: State | None = None
        """The last stored state, to restore a lost Secret."""
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
        """The informers that this mode needs. Empty if the mode needs no keeper."""
        if self._settings.mode not in ("self", "secret"):
            return []
        authority = [self._authority] if self._settings.mode == "self" else []
        return [self._secret, *authority, *self._configurations]

    def start(self) -> None:
        """Start the informers and the thread, if this mode needs a keeper."""
        if self.informers:
            for informer in self.informers:
                informer.start()
            threads.start("certificates", self._run)

    def stop(self) -> None:
        """Stop the thread."""
        self._stopped.set()
        self._wake.set()

    def _changed(self, obj: Object, deleted: bool) -> None:
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            pause = 1.0
            if all(i.is_synced for i in self.informers):
                try:
                    if self._is_leading():
                        pause = self._reconcile()
                    else:
                        self._publish_if_blank()
                except ApiError as error:
                    log.warning("certificates_failed", error=str(error))
            self._wake.wait(pause)
            self._wake.clear()

    def _reconcile(self) -> float:
        """Correct Secrets and configurations. Return the seconds until the next check."""
        secret = self._secret.get(self._settings.namespace, self._settings.secret)
        data = (secret or {}).get("data") or {}
        if self._settings.mode == "secret":
            bundle = data.get("ca.crt")
            return self._publish(bundle) if bundle else TICK_SECONDS
        if self._is_of_cert_manager(secret):
            return TICK_SECONDS
        authority = self._authority.get(self._settings.namespace, self._settings.authority)
        # Older releases stored the whole state, including the CA's key, in the Secret that the webhook reads.
        stored = State.from_secret(_data(authority)) or State.from_secret(data)
        state = stored or self._last_state
        now = time.time()
        changed = advance(
            state,
            self._settings.names,
            self._settings.policy,
            now,
            published=state is not None and self._is_published(_encoded(state)),
            trusted=self._trusted() if state is None else b"",  # needed only without a state
        )
        pauses = [TICK_SECONDS]
        if stored is None and changed.previous is not None and now < changed.since + self._ahead_seconds:
            # Until the new certificate is stored, webhooks serve one of another CA, so API servers must trust both CAs.
            pauses.append(self._ahead_seconds / 2)
        else:
            change = _kind_of_change(secret, authority, stored, state, changed)
            pauses.append(self._store(secret, authority, changed, change))
        self._last_state = changed
        pauses.append(self._publish(_encoded(changed)))
        return min(*pauses, check_seconds(changed, self._settings.policy))

    @property
    def _ahead_seconds(self) -> float:
        return min(AHEAD_SECONDS, self._settings.policy.overlap.total_seconds())

    def _trusted(self) -> bytes:
        """Return the published CAs as PEM. Empty if there is none or one is not a certificate."""
        hooks = self._hooks()
        bundles = {_bundle(hook) for hook in hooks} - {""}
        try:
            authorities = {c for b in bundles for c in x509.load_pem_x509_certificates(base64.b64decode(b))}
        except ValueError:
            return b""
        return b"".join(sorted(certificate.public_bytes(Encoding.PEM) for certificate in authorities))

    def _is_of_cert_manager(self, secret: Object | None) -> bool:
        """Whether cert-manager writes this Secret. Otherwise both would overwrite each other forever."""
        metadata = (secret or {}).get("metadata") or {}
        certificate = (metadata.get("annotations") or {}).get(CERT_MANAGER)
        if certificate and "cert-manager" not in self._reported:
            message = f"cert-manager writes the Secret {self._settings.secret!r} for the Certificate {certificate!r}"
            log.error("certificates_refused", secret=self._settings.secret, certificate=certificate)
            remedy = "Set certs.secretName to another name, or delete the Certificate and then the Secret"
            self._record("SecretOfCertManager", f"{message}, so the operator does not write it. {remedy}", warning=True)
        self._reported = self._reported | {"cert-manager"} if certificate else self._reported - {"cert-manager"}
        return bool(certificate)

    def _publish_if_blank(self) -> None:
        """Publish the stored CA in configurations without any CA. A controller that does not lead may do this too."""
        secret = self._secret.get(self._settings.namespace, self._settings.secret)
        data = (secret or {}).get("data") or {}
        bundle = data.get("ca.crt")
        if not bundle or not data.get("tls.crt"):
            return
        for informer, configuration in self._webhook_configurations():
            hooks = configuration.get("webhooks") or ()
            if hooks and not any(map(_bundle, hooks)):
                desired = self._configuration(informer, hooks, bundle)
                informer.observe(self._follower_client.apply(informer.resource, desired, manager=MANAGER))
                CERTIFICATE_CHANGES.labels("published-where-blank").inc()
                log.info("ca_published", kind=informer.resource.kind, name=self._settings.configuration)

    def _configuration(self, informer: Informer, hooks: Iterable[Object], bundle: str) -> Object:
        return {
            "apiVersion": informer.resource.api_version,
            "kind": informer.resource.kind,
            "metadata": {"name": self._settings.configuration},
            "webhooks": [{"name": hook["name"], "clientConfig": {"caBundle": bundle}} for hook in hooks],
        }

    def _store(self, secret: Object | None, authority: Object | None, state: State, change: str) -> float:
        """Store the parts of ``state`` that differ, unless they are contested. Return the seconds until the next check.

        The whole state goes first, into the Secret that only controllers read. The webhook's parts follow. If the
        process stops between the two, the next leader continues from the stored state.
        """
        settings, data = self._settings, _data(secret)
        is_stored = State.from_secret(_data(authority)) == state
        has_keys = bool(set(KEYS) & set(data))
        is_served = not has_keys and all(data.get(part) == value for part, value in state.served().items())
        if is_stored and is_served:
            return TICK_SECONDS
        if not is_stored:
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
        self._report(change, state)
        return TICK_SECONDS

    def _object(self, name: str, kind: str, data: dict[str, str]) -> Object:
        metadata = {"name": name, "namespace": self._settings.namespace}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, "data": data}

    def _is_published(self, bundle: str) -> bool:
        hooks = self._hooks()
        return all(_bundle(hook) == bundle for hook in hooks)

    def _hooks(self) -> list[Object]:
        """Return the webhooks of all configurations."""
        return [hook for _, obj in self._webhook_configurations() for hook in obj.get("webhooks") or ()]

    def _webhook_configurations(self) -> list[tuple[Informer, Object]]:
        pairs = [(i, i.get("", self._settings.configuration)) for i in self._configurations]
        return [(informer, obj) for informer, obj in pairs if obj is not None]

    def _publish(self, bundle: str) -> float:
        """Publish ``bundle`` where it is missing, unless it is contested. Return the seconds until the next check."""
        shortest_pause = TICK_SECONDS
        for informer, configuration in self._webhook_configurations():
            hooks = configuration.get("webhooks") or ()
            if all(_bundle(hook) == bundle for hook in hooks):
                continue
            is_blank = not all(map(_bundle, hooks))
            desired = self._configuration(informer, hooks, bundle)
            pause = self._write(informer, configuration, desired, bundle)
            if pause:
                shortest_pause = min(shortest_pause, pause)
                continue
            CERTIFICATE_CHANGES.labels("published-where-blank" if is_blank else "published").inc()
            log.info("ca_published", kind=informer.resource.kind, name=self._settings.configuration)
        return shortest_pause

    def _write(self, informer: Informer, live: Object | None, obj: Object, digest: str) -> float:
        """Apply ``obj`` and return 0. If it is contested, return the seconds until it may be applied."""
        kind, name = obj["kind"], obj["metadata"]["name"]

        def write() -> Object:
            return self._client.apply(informer.resource, obj, manager=MANAGER)

        try:
            written = self._contests.restore(f"{kind}/{name}", digest, live, write)
        except Backoff as backoff:
            if kind not in self._reported:
                self._reported.add(kind)
                message = f"another writer keeps changing the {kind} {name!r}, so the operator corrects it with backoff"
                show = f"kubectl get {kind.lower()} {name} -o yaml --show-managed-fields"
                self._record("Contested", f"{message}. Find the writer ({show}) and stop it", warning=True)
            return backoff.seconds
        self._reported.discard(kind)
        informer.observe(written)
        return 0.0

    def _report(self, change: str, state: State) -> None:
        CERTIFICATE_CHANGES.labels(change).inc()
        expires = state.serving.expires.isoformat()
        log.info("certificate", change=change, expires=expires)
        reason = "Certificate" + "".join(word.capitalize() for word in change.split("-"))
        message = f"webhook certificate: {change.replace('-', ' ')}; the serving certificate expires {expires}"
        self._record(reason, message, warning=change.startswith(("restored", "replaced")))

    def _record(self, reason: str, message: str, *, warning: bool) -> None:
        """Send an Event about the Secret."""
        about = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self._settings.secret, "namespace": self._settings.namespace},
        }
        self._events.record(about, reason, message, warning=warning)


def _encoded(state: State) -> str:
    return base64.b64encode(state.bundle).decode()


def _bundle(hook: Object) -> str:
    """Return the ``caBundle`` of a webhook, or an empty string."""
    return (hook.get("clientConfig") or {}).get("caBundle") or ""


def _data(secret: Object | None) -> dict[str, str]:
    return (secret or {}).get("data") or {}


def _kind_of_change(
    secret: Object | None, authority: Object | None, stored: State | None, state: State | None, changed: State
) -> str:
    """Return the kind of the change, for Events and metrics."""
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
        has_keys = set(KEYS) & set(_data(secret))
        return "ca-key-moved" if has_keys else "restored-secret" if secret is None else "restored-damaged-secret"
    return "renewed"
