"""The deletion of an actor: restore and release its workloads, then take the finalizer off.

Garbage collection deletes the owned objects. With ``--cascade=orphan`` they stay, KEDA's objects included. The
operator releases labelled and borrowed workloads in both cases.
"""

from datetime import UTC, datetime

from controller.cluster.access import Cluster
from controller.cluster.borrowed import Borrowed
from controller.cluster.labelled import WAITING_SECONDS, Labelled, Released
from controller.cluster.reporter import Reporter
from controller.cluster.scaling import Scaling
from controller.rules import status
from controller.rules.phase import Phase
from controller.rules.remedies import remedy
from crds.names import FINALIZER, LABEL_ACTOR
from kube import events
from kube.failures import ApiError
from kube.objects import Key, Object
from kube.resources import ASYNC_ACTORS
from telemetry.logs import log

TERMINATING: Phase = "Terminating"
BLOCKED_SECONDS = 15.0
"""After this time the deletion of a KEDA object counts as stuck."""
LONGEST_PAUSE = 60.0
"""Seconds between two checks of a deletion that is stuck."""


class Deletion:
    """Finishes the deletion of actors. Safe to use from several threads."""

    def __init__(
        self,
        cluster: Cluster,
        scaling: Scaling,
        labelled: Labelled,
        borrowed: Borrowed,
        reporter: Reporter,
    ) -> None:
        self._cluster, self._scaling, self._labelled, self._borrowed = cluster, scaling, labelled, borrowed
        self._reporter = reporter

    def reconcile(self, key: Key, obj: Object) -> float | None:
        """Delete KEDA's objects, restore and release the workloads, then take the finalizer off.

        Returns:
            Seconds until the next try; None after the finalizer is off.

        Raises:
            ApiError: if an object cannot be changed. The caller retries.
        """
        if not holds_finalizer(obj):
            return None
        pause = self._finalize(key, obj)
        if pause is None:
            keep_finalizer(self._cluster, obj, needed=False)
        return pause

    def _finalize(self, key: Key, obj: Object) -> float | None:
        """Remove KEDA's objects, then restore and release workloads; returns seconds as :meth:`reconcile` does."""
        metadata = obj["metadata"]
        if not (_is_orphaning(obj) and _has_template(obj)):
            remaining = self._scaling.remove_all(*key, metadata["uid"])
            if remaining:
                return self._wait_for(key, obj, remaining[0])
        try:
            self._borrowed.restore_all(key, obj)
            released = self._labelled.release(key, metadata["uid"])
        except ApiError as error:
            if error.is_refusal:
                message = f"a workload of this actor cannot be released: {error.message}"
                self._block(key, obj, f"{message}. {remedy('WorkloadForbidden')}")
            raise
        self._report_released(obj, released)
        return WAITING_SECONDS if released.waiting else None

    def _report_released(self, obj: Object, released: Released) -> None:
        """Record an Event for each workload that was released."""
        for workload in released.workloads:
            kind, name = workload["kind"], workload["metadata"]["name"]
            log.info("released", kind=kind, namespace=obj["metadata"]["namespace"], name=name)
            message = (
                f"the AsyncActor is deleted, so the operator took the label {LABEL_ACTOR} and the sidecar off the "
                f"{kind} {name!r}, which keeps running"
            )
            self._reporter.event(obj, "WorkloadReleased", message)

    def _wait_for(self, key: Key, obj: Object, remaining: Object) -> float:
        """Wait for the deletion of a KEDA object, and report it if it takes long; returns seconds to the next try."""
        age = _age(obj)
        if age >= BLOCKED_SECONDS:
            kind, name = remaining["kind"], remaining["metadata"]["name"]
            finalizers = remaining["metadata"].get("finalizers") or []
            state = f"its finalizers are {', '.join(finalizers)}" if finalizers else "it has no finalizer"
            message = (
                f"the {kind} {name!r} must be deleted first, and still exists after {BLOCKED_SECONDS:.0f} s: {state}"
            )
            self._block(key, obj, f"{message}. {remedy('DeletionBlocked', kind=kind.lower(), name=name)}")
        elif (obj.get("status") or {}).get("phase") != TERMINATING:
            self._reporter.write_status(key, {"phase": TERMINATING})
        # The watch reports the deletion itself. The timer only notices that it does not happen.
        return max(1.0, BLOCKED_SECONDS - age) if age < BLOCKED_SECONDS else LONGEST_PAUSE

    def _block(self, key: Key, obj: Object, message: str) -> None:
        """Report the cause of a blocked deletion, once, in the condition Ready and as an Event."""
        before = obj.get("status") or {}
        verdict = status.deletion_blocked(message)
        conditions = status.with_condition(
            before.get("conditions") or [], status.READY, verdict, obj["metadata"]["generation"], events.timestamp()
        )
        changes: Object = {"phase": TERMINATING, "reason": verdict.reason, "conditions": conditions}
        if all(before.get(part) == value for part, value in changes.items()):
            return
        if self._reporter.write_status(key, changes):
            self._reporter.event(obj, verdict.reason, message, warning=True)


def holds_finalizer(obj: Object) -> bool:
    """Whether the actor carries the operator's finalizer."""
    return FINALIZER in (obj["metadata"].get("finalizers") or ())


def keep_finalizer(cluster: Cluster, obj: Object, *, needed: bool) -> None:
    """Put the operator's finalizer on the actor if ``needed``, else take it off.

    Raises:
        ApiError: if the actor cannot be patched; not if it is deleted.
    """
    metadata = (cluster.actors.get(obj["metadata"]["namespace"], obj["metadata"]["name"]) or obj)["metadata"]
    finalizers: list[str] = metadata.get("finalizers") or []
    if needed == (FINALIZER in finalizers):
        return
    remaining = [f for f in finalizers if f != FINALIZER] + ([FINALIZER] if needed else [])
    # The resourceVersion makes the patch fail if another writer adds a finalizer at the same time.
    patch: Object = {"metadata": {"finalizers": remaining or None, "resourceVersion": metadata["resourceVersion"]}}
    try:
        written = cluster.client.merge_patch(
            ASYNC_ACTORS, metadata["namespace"], metadata["name"], patch, uid=metadata["uid"]
        )
    except ApiError as error:
        if error.code == 404:
            return
        raise
    if not written["metadata"].get("deletionTimestamp"):
        cluster.actors.observe(written)


def _is_orphaning(obj: Object) -> bool:
    return "orphan" in (obj["metadata"].get("finalizers") or ())


def _has_template(obj: Object) -> bool:
    workload = (obj.get("spec") or {}).get("workload")
    return isinstance(workload, dict) and workload.get("template") is not None


def _age(obj: Object) -> float:
    """Seconds since the actor's deletion began."""
    return (datetime.now(UTC) - datetime.fromisoformat(obj["metadata"]["deletionTimestamp"])).total_seconds()
