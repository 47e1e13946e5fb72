"""Keeps the webhook's certificate: issues it, stores it in a Secret, publishes its CA, rotates and repairs all three.

Only the leader does. The Secret and the webhook configurations are watched, so what is deleted, damaged
or blanked by hand is put right at once. The CA is published by server-side apply with a field manager of
its own, which owns ``caBundle`` and nothing else: whoever applies the rest, be it Helm or Argo CD, does
not touch it.
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
from kube.informer import Informer
from telemetry import threads
from telemetry.metrics import CERTIFICATE_CHANGES, CERTIFICATE_EXPIRY

log = structlog.get_logger(__name__)

CONFIGURATIONS = (MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS)
MANAGER = "asya-operator-certs"
"""Field manager of the Secret and of every ``caBundle``."""
TICK_SECONDS = 30.0


class Keeper:
    """Does all of the above on a thread of its own while ``leading`` says so."""

    def __init__(self, client: Client, settings: Settings, leading: Callable[[], bool], identity: str = "") -> None:
        self._client, self._settings, self._leading = client, settings, leading
        self._events = events.Recorder(client, identity)
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
            if bundle:
                self._publish(bundle)
            return TICK_SECONDS
        stored = State.from_secret(data) if secret is not None else None
        state = stored or self._known
        changed = advance(
            state,
            self._settings.names,
            self._settings.policy,
            time.time(),
            published=state is not None and self._published(_encoded(state)),
        )
        if changed != stored:
            self._store(changed, _what(secret, stored, state, changed))
        self._known = changed
        CERTIFICATE_EXPIRY.set(changed.serving.expires.timestamp())
        self._publish(_encoded(changed))
        moving = changed.following is not None or changed.previous is not None
        shortest = min(self._settings.policy.lifetime, self._settings.policy.ca_lifetime).total_seconds()
        overlap = self._settings.policy.overlap.total_seconds()
        return min(TICK_SECONDS, overlap / 2 if moving else TICK_SECONDS, shortest / 12)

    def _store(self, state: State, what: str) -> None:
        obj = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self._settings.secret, "namespace": self._settings.namespace},
            "type": "kubernetes.io/tls",
            "data": state.to_secret(),
        }
        self._secret.observe(self._client.apply(SECRETS, obj, manager=MANAGER))
        self._tell(what, state)

    def _published(self, bundle: str) -> bool:
        hooks = [hook for _, configuration in self._found() for hook in configuration.get("webhooks") or ()]
        return all((hook.get("clientConfig") or {}).get("caBundle") == bundle for hook in hooks)

    def _found(self) -> list[tuple[Informer, Object]]:
        pairs = [(i, i.get("", self._settings.configuration)) for i in self._configurations]
        return [(informer, obj) for informer, obj in pairs if obj is not None]

    def _publish(self, bundle: str) -> None:
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
            informer.observe(self._client.apply(informer.resource, wanted, manager=MANAGER))
            CERTIFICATE_CHANGES.labels("published-where-blank" if blank else "published").inc()
            log.info("ca_published", kind=informer.resource.kind, name=self._settings.configuration)

    def _tell(self, what: str, state: State) -> None:
        CERTIFICATE_CHANGES.labels(what).inc()
        expires = state.serving.expires.isoformat()
        log.info("certificate", change=what, expires=expires)
        about = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self._settings.secret, "namespace": self._settings.namespace},
        }
        reason = "Certificate" + "".join(word.capitalize() for word in what.split("-"))
        message = f"webhook certificate: {what.replace('-', ' ')}; the serving certificate expires {expires}"
        warning = what.startswith(("restored", "replaced"))
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
