"""Reports a reconcile to users: the actor's status, and an Event for each change of a condition."""

from collections.abc import Callable

from controller.cluster.access import Cluster
from controller.rules import status
from controller.rules.status import Observation, Verdict
from crds.names import API_VERSION, KIND
from kube import events
from kube.failures import ApiError
from kube.objects import Key, Object
from kube.resources import ASYNC_ACTORS
from telemetry.logs import log

StatusObserver = Callable[[Key, Object | None], None]
"""A callback with each actor's latest status; None when the actor is deleted."""

SPEC_WARNING = "SpecWarning"
"""Reason of the Events that repeat admission's warnings. With GitOps, nobody sees the warnings themselves."""


class Reporter:
    """Writes statuses and Events. Safe to use from several threads."""

    def __init__(self, cluster: Cluster, identity: str, on_status: StatusObserver) -> None:
        self._cluster, self._on_status = cluster, on_status
        self._events = events.BackgroundRecorder(events.Recorder(cluster.client, identity))
        self._reported: dict[Key, dict[str, str]] = {}
        """By actor and uid of a labelled workload: the reason of a refusal in the last Event about it."""

    def report(self, key: Key, obj: Object, observation: Observation) -> None:
        """Write the actor's status if it changed, and an Event for the changes."""
        latest = self._cluster.actors.get(*key)
        if latest is None or latest["metadata"]["uid"] != obj["metadata"]["uid"]:
            return  # the actor was deleted; the observation is not about a new actor of the same name
        before = latest.get("status") or {}
        after = status.status_of(obj["metadata"], observation, before, events.timestamp())
        self._on_status(key, after)
        if after == before or not self.write_status(key, {**dict.fromkeys(before), **after}):
            return
        changed = status.changes(before, after)
        if changed:
            conditions = {c["type"]: f"{c['status']}/{c['reason']}" for c in changed}
            log.info("conditions", namespace=key[0], actor=key[1], **conditions)
            reason, message, warning = status.summary(changed)
            self.event(obj, reason, message, warning=warning)
        for message in status.new_warnings(before, after):
            self.event(obj, SPEC_WARNING, message, warning=True)

    def report_refused(self, key: Key, obj: Object, refused: list[tuple[Object, Verdict]]) -> None:
        """Record one Event for each labelled workload that cannot be injected, and another when the reason changes."""
        for workload, verdict in refused:
            reported, uid = self._reported.setdefault(key, {}), workload["metadata"]["uid"]
            if reported.get(uid) != verdict.message:
                reported[uid] = verdict.message
                self.event(obj, verdict.reason, verdict.message, warning=True)

    def write_status(self, key: Key, changes: Object) -> bool:
        """Change these fields of the status; returns False if the actor does not exist.

        Raises:
            ApiError: if the status cannot be written.
        """
        try:
            written = self._cluster.client.merge_patch(ASYNC_ACTORS, *key, {"status": changes}, subresource="status")
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        self._cluster.actors.observe(written)
        return True

    def event(self, obj: Object, reason: str, message: str, *, warning: bool = False) -> None:
        """Record an Event about the AsyncActor ``obj``."""
        self.event_about({"apiVersion": API_VERSION, "kind": KIND, **obj}, reason, message, warning=warning)

    def event_about(self, obj: Object, reason: str, message: str, *, warning: bool = False) -> None:
        """Record an Event about any object."""
        self._events.record(obj, reason, message, warning=warning)

    def flush(self, seconds: float) -> None:
        """Wait at most ``seconds`` until all Events are sent."""
        self._events.flush(seconds)

    def forget(self, key: Key) -> None:
        """Drop the stored state of a deleted actor."""
        self._on_status(key, None)
        self._reported.pop(key, None)
