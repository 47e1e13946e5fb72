"""Keeps the webhook's certificate: issues it, stores it in a Secret, publishes its CA, rotates and repairs all three.

Only the leader does. The Secret and the webhook configurations are watched, so what is deleted, damaged
or blanked by hand is put right at once, and ever more slowly where something else insists. The CA is
published by server-side apply with a field manager of its own, which owns ``caBundle`` and nothing else:
whoever applies the rest, be it Helm or Argo CD, does not touch it.
"""

import base64
import threading
import time
from collections.abc import Callable

import structlog

from certs.rotation import State, advance
from certs.settings import Settings
from kube import events
from kube.client import MUTATING_WEBHOOKS, SECRETS, VALIDATING_WEBHOOKS, ApiError, Client, Object
from kube.contests import Contests, NotYet
from kube.informer import Informer
from telemetry import threads
from telemetry.metrics.controller import CERTIFICATE_CHANGES

log = structlog.get_logger(__name__)

CONFIGURATIONS = (MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS)
MANAGER = "asya-operator-certs"
"""Field manager of the Secret and of every ``caBundle``."""
TICK_SECONDS = 30.0


class Keeper:
    """Does all of the above on a thread of its own while ``leading`` says so."""

    def __init__(self, client: Client, settings: Settings, leading: Callable[[], bool], identity: str = "") -> None:
        self._client, self._settings, self._leading = client, settings, leading
        self._events, self._contests = events.Recorder(client, identity), Contests()
        self._told: set[str] = set()
        """What is contested, and an Event has said so."""
        self._wake, self._stopped = threading.Event(), threading.Event()
        self._known: State | None = None
        """What was stored last: a Secret that is lost is restored as it was, and nobody notices."""
        self._secret = Informer(
            client,
            SECRETS,
            self._changed,
            field_selector=f"metadata.name={settings.secret}",
            namespace=settings.namespace,
        )
        self._configurations = [
            Informer(client, resource, self._changed, field_selector=f"metadata.name={settings.configuration}")
            for resource in CONFIGURATIONS
        ]

    @property
    def informers(self) -> list[Informer]:
        """Those that run; none where there is nothing to do in this mode."""
        return [self._secret, *self._configurations] if self._settings.mode in ("self", "secret") else []

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
            if self._leading() and all(i.synced for i in (self._secret, *self._configurations)):
                try:
                    pause = self._reconcile()
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
        stored = State.from_secret(data) if secret is not None else None
        state = stored or self._known
        changed = advance(
            state,
            self._settings.names,
            self._settings.policy,
            time.time(),
            published=state is not None and self._published(_encoded(state)),
        )
        pauses = [TICK_SECONDS]
        if changed != stored:
            pauses.append(self._store(secret, changed, _what(secret, stored, state, changed)))
        self._known = changed
        pauses.append(self._publish(_encoded(changed)))
        if changed.following is not None or changed.previous is not None:
            pauses.append(self._settings.policy.overlap.total_seconds() / 2)
        shortest = min(self._settings.policy.lifetime, self._settings.policy.ca_lifetime).total_seconds()
        return min(*pauses, shortest / 12)

    def _store(self, secret: Object | None, state: State, what: str) -> float:
        """Store it, unless that is contested; seconds until the next look, at most."""
        obj = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self._settings.secret, "namespace": self._settings.namespace},
            "type": "kubernetes.io/tls",
            "data": state.to_secret(),
        }
        pause = self._write(self._secret, secret, obj, str(hash(state)))
        if not pause:
            self._tell(what, state)
        return pause or TICK_SECONDS

    def _published(self, bundle: str) -> bool:
        hooks = [hook for _, configuration in self._found() for hook in configuration.get("webhooks") or ()]
        return all((hook.get("clientConfig") or {}).get("caBundle") == bundle for hook in hooks)

    def _found(self) -> list[tuple[Informer, Object]]:
        pairs = [(i, i.get("", self._settings.configuration)) for i in self._configurations]
        return [(informer, obj) for informer, obj in pairs if obj is not None]

    def _publish(self, bundle: str) -> float:
        """Publish it wherever it is not, unless that is contested; seconds until the next look, at most."""
        soonest = TICK_SECONDS
        for informer, configuration in self._found():
            hooks = configuration.get("webhooks") or ()
            if all((hook.get("clientConfig") or {}).get("caBundle") == bundle for hook in hooks):
                continue
            blank = any(not (hook.get("clientConfig") or {}).get("caBundle") for hook in hooks)
            wanted = {
                "apiVersion": informer.resource.api_version,
                "kind": informer.resource.kind,
                "metadata": {"name": self._settings.configuration},
                "webhooks": [{"name": hook["name"], "clientConfig": {"caBundle": bundle}} for hook in hooks],
            }
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
        except NotYet as later:
            if kind not in self._told:
                self._told.add(kind)
                told = f"something else keeps changing the {kind} {name!r}, and it is put right ever more slowly"
                do = f"kubectl get {kind.lower()} {name} -o yaml --show-managed-fields tells what it is: have it stop"
                self._record("Contested", f"{told}. {do}", warning=True)
            return later.seconds
        self._told.discard(kind)
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


def _what(secret: Object | None, stored: State | None, state: State | None, changed: State) -> str:
    """A word for what happened, for Events and metrics."""
    if stored is None and state is not None:
        return "restored-secret" if secret is None else "restored-damaged-secret"
    if state is None:
        return "issued" if secret is None else "replaced-damaged-secret"
    if changed.following is not None and state.following is None:
        return "ca-announced"
    if changed.authority != state.authority:
        return "ca-used"
    if changed.previous is None and state.previous is not None:
        return "old-ca-dropped"
    return "renewed"
