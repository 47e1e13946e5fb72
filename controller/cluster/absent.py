"""Labelled workloads whose AsyncActor does not exist.

The operator releases those that are injected: without the actor, their sidecar has nothing to consume. The others wait
until the actor is created.
"""

from controller.cluster.access import Cluster
from controller.cluster.labelled import WAITING_SECONDS, Labelled
from controller.cluster.reporter import Reporter
from controller.rules.injected import digest, has_opted_out
from injection.ownership import RELEASED, ownership
from kube import events
from kube.objects import Key, Object
from kube.resources import ASYNC_ACTORS
from telemetry.logs import log

NO_SUCH_ACTOR = "NoSuchAsyncActor"
"""Reason of the Events on workloads whose label names an actor that does not exist."""


class Absent:
    """Handles the labelled workloads of actors that were deleted or are not created yet."""

    def __init__(self, cluster: Cluster, labelled: Labelled, reporter: Reporter) -> None:
        self._cluster, self._labelled, self._reporter = cluster, labelled, reporter
        self._notified: set[str] = set()
        """Uids of workloads that have the Event :data:`NO_SUCH_ACTOR`."""

    def reconcile(self, key: Key) -> float | None:
        """Release the injected workloads that carry the label of the actor ``key``.

        Returns:
            Seconds until the next try, if a workload waits for a place; else None.

        Raises:
            ApiError: if the API could not be read or written. The caller retries.
        """
        workloads = [obj for _, obj in self._labelled.find(key) if ownership(obj, key[1], "") in RELEASED]
        if not workloads or self._cluster.client.get(ASYNC_ACTORS, *key) is not None:
            return None
        for workload in workloads:
            self._notify(key, workload)
        released = self._labelled.release(key, "", injected_only=True)
        for workload in released.workloads:
            log.info("released", kind=workload["kind"], namespace=key[0], name=workload["metadata"]["name"])
        return WAITING_SECONDS if released.waiting else None

    def _notify(self, key: Key, workload: Object) -> None:
        """Record one Event on a workload that is not injected because its actor does not exist."""
        metadata = workload["metadata"]
        if metadata["uid"] in self._notified or metadata.get("deletionTimestamp") or has_opted_out(workload):
            return
        self._notified.add(metadata["uid"])
        recent = events.list_warnings(self._cluster.client, workload["kind"], key[0], metadata["name"])
        same = [e for e in recent if (e.get("involvedObject") or {}).get("uid") == metadata["uid"]]
        if digest(workload) is None and all(e.get("reason") != NO_SUCH_ACTOR for e in same):
            message = f"there is no AsyncActor {key[1]!r} in this namespace; create it, and this workload is injected"
            self._reporter.event_about(workload, NO_SUCH_ACTOR, message, warning=True)
