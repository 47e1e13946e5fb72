"""The writes of one reconcile, in their order: workload, labelled workloads, finalizer, borrowed replicas, KEDA.

The order matters. KEDA's objects go before the operator sets replicas again. The replicas of a borrowed workload are
stored before KEDA scales it.
"""

from dataclasses import dataclass

from controller.cluster.access import Cluster
from controller.cluster.borrowed import Borrowed
from controller.cluster.deletion import keep_finalizer
from controller.cluster.labelled import Labelled, Renewal
from controller.cluster.reporter import Reporter
from controller.cluster.scaling import Scaling
from controller.cluster.workloads import WorkloadResult, Workloads
from controller.rules import desired, status
from controller.rules.intent import Intent
from controller.rules.status import Verdict
from kube.objects import Key, Object


@dataclass(frozen=True)
class Written:
    """The results of a reconcile's writes."""

    workload: WorkloadResult
    renewal: Renewal
    scaling: Verdict | None
    """None while scaling is not enabled."""
    replicas_before: int | None
    """Replicas that a borrowed workload had before KEDA scaled it."""


class Writer:
    """Creates and corrects the objects of an actor. Safe to use from several threads."""

    def __init__(
        self,
        cluster: Cluster,
        workloads: Workloads,
        labelled: Labelled,
        scaling: Scaling,
        borrowed: Borrowed,
        reporter: Reporter,
    ) -> None:
        self._cluster, self._workloads, self._labelled = cluster, workloads, labelled
        self._scaling, self._borrowed, self._reporter = scaling, borrowed, reporter

    def write(self, key: Key, obj: Object, intent: Intent) -> Written:
        """Create and correct objects according to ``intent``, which comes from the AsyncActor ``obj``.

        Raises:
            ApiError: for a failure that no condition reports.
        """
        actor = intent.actor
        if not intent.is_scaled:
            self._scaling.release(actor)
        workload = self._workloads.ensure(actor, intent.plan.digest) if intent.owns_workload else None
        renewal = self._labelled.renew(key, actor.metadata.uid, intent.plan, skip=_handled_uid(workload))
        self._reporter.report_refused(key, obj, renewal.refused)
        if workload is None:
            workload = self._workloads.existing(actor)
        replicas_before = self._borrow(obj, intent, workload, renewal)
        scaling = self._scale(intent, workload, status.condition(obj, status.SCALING_READY))
        self._borrowed.restore_others(obj, actor)
        return Written(workload, renewal, scaling, replicas_before)

    def _borrow(self, obj: Object, intent: Intent, workload: WorkloadResult, renewal: Renewal) -> int | None:
        """Store a borrowed workload's replicas before KEDA scales it, and keep the finalizer that restores them."""
        actor = intent.actor
        before = self._borrowed.before(obj, actor)
        borrows = not intent.owns_workload and not workload.is_unrelated and intent.is_scaled
        keep_finalizer(self._cluster, obj, needed=renewal.to_release > 0 or before is not None or borrows)
        if intent.owns_workload:
            return before
        if workload.is_unrelated:
            self._scaling.release(actor)
        return self._borrowed.borrow(obj, actor, workload, before)

    def _scale(self, intent: Intent, workload: WorkloadResult, before: Object) -> Verdict | None:
        """Write KEDA's objects once the workload exists; ``before`` is the condition ScalingReady so far."""
        if not intent.is_scaled:
            return None
        is_missing = workload.verdict.status != "True"
        if is_missing and self._cluster.keda is not None and not desired.is_scaled_by_job(intent.actor):
            message = "the operator sets up scaling when the workload exists, see WorkloadReady"
            return Verdict("Unknown", "WaitingForWorkload", message)
        return self._scaling.ensure(intent.actor, before)


def _handled_uid(own: WorkloadResult | None) -> str:
    """Uid of the actor's own workload if its apply was refused or waits: a re-injection would end in the same way."""
    if own is None or own.live is None:
        return ""
    is_refused = own.verdict.status == "False" and own.verdict.reason != "NotInjected"
    return str(own.live["metadata"]["uid"]) if is_refused or own.is_waiting else ""
