"""One reconcile: read what an AsyncActor asks for, decide and write what the cluster lacks, report how it is.

A reconcile is level-triggered. It keeps nothing from one run to the next except what saves work, so neither the event
that led to it nor the number of missed events matters.
"""

from dataclasses import dataclass

from controller.cluster.absent import Absent
from controller.cluster.access import Cluster
from controller.cluster.borrowed import Borrowed
from controller.cluster.deletion import Deletion, keep_finalizer
from controller.cluster.health import Health
from controller.cluster.labelled import Labelled, Renewal
from controller.cluster.reporter import Reporter, StatusObserver
from controller.cluster.rollouts import Rollouts
from controller.cluster.runtime_maps import RuntimeMaps
from controller.cluster.scaling import Scaling
from controller.cluster.workloads import WorkloadResult, Workloads
from controller.rules import desired, keda, status
from controller.rules.intent import Intent, intent_of
from controller.rules.status import Observation, Verdict, earliest_retry
from crds.parse import InvalidActor
from injection.settings import SidecarDefaults
from kube.failures import ApiError
from kube.objects import Key, Object


@dataclass(frozen=True)
class Written:
    """The results of a reconcile's writes."""

    workload: WorkloadResult
    renewal: Renewal
    scaling: Verdict | None
    replicas_before: int | None
    """Replicas that a borrowed workload had before KEDA scaled it."""


class Reconciler:
    """Reconciles actors and, for keys without a name, namespaces. Safe to use from several threads."""

    def __init__(
        self,
        cluster: Cluster,
        labelled: Labelled,
        rollouts: Rollouts,
        runtime: RuntimeMaps,
        defaults: SidecarDefaults,
        identity: str,
        on_status: StatusObserver = lambda key, status: None,
    ) -> None:
        self._cluster, self._labelled, self._runtime, self._defaults = cluster, labelled, runtime, defaults
        self._reporter = Reporter(cluster, identity, on_status)
        self._workloads = Workloads(cluster, rollouts, defaults)
        self._scaling = Scaling(cluster, defaults)
        self._health = Health(cluster, defaults)
        self._borrowed = Borrowed(cluster, self._scaling, self._reporter)
        self._deletion = Deletion(cluster, self._scaling, labelled, self._borrowed, self._reporter)
        self._absent = Absent(cluster, labelled, self._reporter)

    def reconcile(self, key: Key) -> float | None:
        """Reconcile ``key``; seconds after which at the latest to do so again, None if a watch reports any change.

        Raises:
            ApiError: if the API could not be read or written; the caller retries.
        """
        namespace, name = key
        if not name:
            return self._runtime.reconcile(namespace)
        obj = self._cluster.actors.get(namespace, name)
        if obj is None:
            return self._forget(key)
        if obj["metadata"].get("deletionTimestamp"):
            return self._deletion.reconcile(key, obj)
        try:
            return self._reconcile_actor(key, obj)
        except ApiError as error:
            if error.is_refusal:  # no condition covers it, since an actor rarely has the object that was refused
                self._reporter.event(obj, "ReconcileFailed", f"it is tried again: {error.message}", warning=True)
            raise

    def _reconcile_actor(self, key: Key, obj: Object) -> float | None:
        """Read, decide, write, report."""
        runtime = self._runtime.ensure(key[0])
        try:
            intent = intent_of(obj, self._defaults, self._runtime.script)
        except InvalidActor as invalid:
            observation = Observation(status.invalid_spec(invalid.errors), None, runtime)
            self._reporter.report(key, obj, observation)
            return earliest_retry(observation)
        written = self._write(key, obj, intent)
        observation = self._observe(obj, intent, written, runtime)
        self._reporter.report(key, obj, observation)
        return earliest_retry(observation, written.renewal.retry)

    def _write(self, key: Key, obj: Object, intent: Intent) -> Written:
        """Make the cluster hold what the actor asks for."""
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
        """Remember a borrowed workload's replicas before KEDA scales it, and keep the finalizer that restores them."""
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
        if not intent.is_scaled:
            return None
        is_missing = workload.verdict.status != "True"
        if is_missing and self._cluster.keda is not None and not desired.scaled_by_job(intent.actor):
            return Verdict("Unknown", "WaitingForWorkload", "scaling is set up once the workload is, see WorkloadReady")
        return self._scaling.ensure(intent.actor, before)

    def _observe(self, obj: Object, intent: Intent, written: Written, runtime: Verdict) -> Observation:
        """How the actor is now: its pods, and what KEDA says of them."""
        pods, replicas = self._health.examine(intent.actor, written.workload)
        scaled_object = self._scaling.scaled_object(intent.actor)
        return Observation(
            written.workload.verdict,
            written.scaling,
            runtime,
            pods,
            intent.queue,
            live=written.workload.live,
            replicas=replicas,
            scaled_object=scaled_object is not None,
            active=keda.active(scaled_object) if scaled_object is not None else None,
            paused=keda.is_paused(obj, scaled_object),
            outdated=written.renewal.outdated,
            queue_name=intent.queue_name,
            warnings=intent.warnings,
            replicas_before=written.replicas_before,
        )

    def _forget(self, key: Key) -> float | None:
        """The actor does not exist, yet or any more."""
        self._reporter.forget(key)
        self._workloads.forget(key)
        self._runtime.reconcile(key[0])
        self._scaling.forget(key)
        return self._absent.reconcile(key)


def _handled_uid(result: WorkloadResult | None) -> str:
    """Uid of the actor's own workload where its apply was refused or waits; a re-admission would fare the same."""
    if result is None or result.live is None:
        return ""
    is_refused = result.verdict.status == "False" and result.verdict.reason != "NotInjected"
    return str(result.live["metadata"]["uid"]) if is_refused or result.is_waiting else ""
