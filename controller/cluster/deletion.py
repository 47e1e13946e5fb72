"""What becomes of an actor that is deleted: what garbage collection does not undo is undone, then it may go.

What the actor owns is left to garbage collection. With ``--cascade=orphan`` it stays, its KEDA objects
included; what the actor merely labelled or borrowed is let go all the same.
"""

from datetime import UTC, datetime

import structlog

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

log = structlog.get_logger(__name__)

TERMINATING: Phase = "Terminating"
BLOCKED_SECONDS = 15.0
"""An object that has been going for so long is stuck, unless something comes to its help."""
LONGEST_PAUSE = 60.0


class Deletion:
    """Lets actors go."""

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
        """Undo what garbage collection does not undo, then take the finalizer off; seconds until the next look.

        Raises:
            ApiError: if something cannot be undone; to be tried again.
        """
        if not holds_finalizer(obj):
            return None
        pause = self._finalize(key, obj)
        if pause is None:
            keep_finalizer(self._cluster, obj, needed=False)
        return pause

    def _finalize(self, key: Key, obj: Object) -> float | None:
        """Undo what garbage collection would not; seconds until it has to be looked at again, None when all is done.

        Raises:
            ApiError: if something cannot be undone; to be tried again.
        """
        metadata = obj["metadata"]
        if not (_is_orphaning(obj) and _has_template(obj)):
            left = self._scaling.remove_all(*key, metadata["uid"])
            if left:
                return self._wait_for(key, obj, left)
        try:
            self._borrowed.restore_all(key, obj)
            released = self._labelled.release(key, metadata["uid"])
        except ApiError as error:
            if error.is_refusal:
                message = f"a workload of this actor cannot be let go: {error.message}"
                self._block(key, obj, f"{message}. {remedy('WorkloadForbidden')}")
            raise
        self._report_released(obj, released)
        return WAITING_SECONDS if released.waiting else None

    def _report_released(self, obj: Object, released: Released) -> None:
        """An Event for each workload that was let go."""
        for workload in released.workloads:
            name = workload["metadata"]["name"]
            log.info("released", kind=workload["kind"], namespace=obj["metadata"]["namespace"], name=name)
            reason = f"the AsyncActor is deleted, so the label {LABEL_ACTOR} and with it the sidecar were taken"
            message = f"{reason} off the {workload['kind']} {name!r}, which goes on running"
            self._reporter.event(obj, "WorkloadReleased", message)

    def _wait_for(self, key: Key, obj: Object, left: list[Object]) -> float:
        """Something of KEDA's is still there; that is said once it has been so for long."""
        age = _age(obj)
        if age >= BLOCKED_SECONDS:
            kind, name = left[0]["kind"], left[0]["metadata"]["name"]
            finalizers = left[0]["metadata"].get("finalizers") or []
            held = f"its finalizers are {', '.join(finalizers)}" if finalizers else "it has no finalizer"
            message = f"the {kind} {name!r} must go first and has not for {BLOCKED_SECONDS:.0f} s: {held}"
            self._block(key, obj, f"{message}. {remedy('DeletionBlocked', kind=kind.lower(), name=name)}")
        elif (obj.get("status") or {}).get("phase") != TERMINATING:
            self._reporter.write_status(key, {"phase": TERMINATING})
        # A watch tells when it is gone; the time tells when it should have been.
        return max(1.0, BLOCKED_SECONDS - age) if age < BLOCKED_SECONDS else LONGEST_PAUSE

    def _block(self, key: Key, obj: Object, message: str) -> None:
        """Say what holds the deletion up, in the condition Ready and as an Event; once."""
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
    """Whether the operator has something to undo before the actor may go."""
    return FINALIZER in (obj["metadata"].get("finalizers") or ())


def keep_finalizer(cluster: Cluster, obj: Object, *, needed: bool) -> None:
    """Put the operator's finalizer on the actor, or take it off."""
    metadata = (cluster.actors.get(obj["metadata"]["namespace"], obj["metadata"]["name"]) or obj)["metadata"]
    finalizers: list[str] = metadata.get("finalizers") or []
    if needed == (FINALIZER in finalizers):
        return
    kept = [f for f in finalizers if f != FINALIZER] + ([FINALIZER] if needed else [])
    # With the version, so that a finalizer which another adds meanwhile is not lost.
    patch: Object = {"metadata": {"finalizers": kept or None, "resourceVersion": metadata["resourceVersion"]}}
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
    """For how many seconds the actor has been going."""
    return (datetime.now(UTC) - datetime.fromisoformat(obj["metadata"]["deletionTimestamp"])).total_seconds()
