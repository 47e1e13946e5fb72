"""One reconcile: read an AsyncActor's spec, decide and write the missing changes, report the state.

A reconcile is level-triggered: it compares the existing objects with the desired ones. It does not use the event that
queued the key, so lost events do no harm. The state in memory between two reconciles only saves work.
"""

import time

from controller.cluster.absent import Absent
from controller.cluster.access import Cluster
from controller.cluster.borrowed import Borrowed
from controller.cluster.deletion import Deletion
from controller.cluster.health import Health
from controller.cluster.labelled import Labelled
from controller.cluster.reporter import Reporter, StatusObserver
from controller.cluster.rollouts import Rollouts
from controller.cluster.runtime_maps import RuntimeMaps
from controller.cluster.scaling import Scaling
from controller.cluster.workloads import Workloads
from controller.cluster.writer import Writer, Written
from controller.rules import keda, status
from controller.rules.intent import Intent, intent_of
from controller.rules.status import Observation, Verdict, earliest_retry
from crds.parse import InvalidActor
from injection.settings import SidecarDefaults
from kube.failures import ApiError
from kube.objects import Key, Object

KEDA_SECONDS = 2.0
"""The longest time for which the first status of a new actor waits for KEDA, which may have many to process."""


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
        self._cluster, self._runtime, self._defaults = cluster, runtime, defaults
        self._reporter = Reporter(cluster, identity, on_status)
        self._workloads = Workloads(cluster, rollouts, defaults)
        self._scaling = Scaling(cluster, defaults)
        self._health = Health(cluster, defaults)
        borrowed = Borrowed(cluster, self._scaling, self._reporter)
        self._writer = Writer(cluster, self._workloads, labelled, self._scaling, borrowed, self._reporter)
        self._deletion = Deletion(cluster, self._scaling, labelled, borrowed, self._reporter)
        self._absent = Absent(cluster, labelled, self._reporter)
        self._first_seen: dict[Key, tuple[str, float]] = {}
        """By new actor whose status waits for KEDA: its uid, and the time of its first reconcile."""

    def reconcile(self, key: Key) -> float | None:
        """Reconcile ``key``.

        Returns:
            Seconds until the key must be reconciled again at the latest; None if a watch reports every change.

        Raises:
            ApiError: if the API could not be read or written. The caller retries.
        """
        namespace, name = key
        if not name:
            self._scaling.forget(key)
            return self._runtime.reconcile(namespace)
        obj = self._cluster.actors.get(namespace, name)
        if obj is None:
            return self._forget(key)
        if obj["metadata"].get("deletionTimestamp"):
            return self._deletion.reconcile(key, obj)
        try:
            return self._reconcile_actor(key, obj)
        except ApiError as error:
            if error.is_refusal:  # the refused object is a rare one, without a condition of its own
                message = f"the API server refuses a request, and the operator retries: {error.message}"
                self._reporter.event(obj, "ReconcileFailed", message, warning=True)
            raise

    def flush(self, seconds: float) -> None:
        """Wait at most ``seconds`` until the Events of all reconciles are sent."""
        self._reporter.flush(seconds)

    def _reconcile_actor(self, key: Key, obj: Object) -> float | None:
        """Read, decide, write, report."""
        runtime = self._runtime.ensure(key[0])
        try:
            intent = intent_of(obj, self._defaults, self._runtime.script)
        except InvalidActor as invalid:
            observation = Observation(status.invalid_spec(invalid.errors), None, runtime)
            self._reporter.report(key, obj, observation)
            return earliest_retry(observation)
        written = self._writer.write(key, obj, intent)
        observation = self._observe(obj, intent, written, runtime)
        wait = self._wait_for_keda(key, obj, observation)
        if wait <= 0:
            self._reporter.report(key, obj, observation)
        return earliest_retry(observation, written.renewal.retry, wait if wait > 0 else None)

    def _wait_for_keda(self, key: Key, obj: Object, observation: Observation) -> float:
        """Seconds for which the first status of a new actor waits for KEDA; at most 0 if it does not wait.

        KEDA usually processes a new ScaledObject within 0.2 s. Without this wait, each new actor would get two statuses
        and two Events, the first of them with ScalingReady Unknown.
        """
        uid = obj["metadata"]["uid"]
        if obj.get("status") or observation.scaling is None or observation.scaling.reason not in keda.NOT_OBSERVED:
            self._first_seen.pop(key, None)
            return 0.0
        now = time.monotonic()
        first_uid, first_time = self._first_seen.get(key, ("", now))
        if first_uid != uid:  # the first reconcile, or a new actor of the same name
            first_time = now
            self._first_seen[key] = uid, first_time
        return first_time + KEDA_SECONDS - now

    def _observe(self, obj: Object, intent: Intent, written: Written, runtime: Verdict) -> Observation:
        """The actor's current state: the results of the writes, its pods, and KEDA's conditions."""
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
            active=keda.is_active(scaled_object) if scaled_object is not None else None,
            paused=keda.is_paused(obj, scaled_object),
            outdated=written.renewal.outdated,
            queue_name=intent.queue_name,
            warnings=intent.warnings,
            replicas_before=written.replicas_before,
        )

    def _forget(self, key: Key) -> float | None:
        """Clean up after an actor that does not exist: it was deleted, or it is not created yet."""
        self._first_seen.pop(key, None)
        self._reporter.forget(key)
        self._workloads.forget(key)
        self._runtime.reconcile(key[0])
        self._scaling.forget(key)
        return self._absent.reconcile(key)
