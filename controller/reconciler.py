"""One reconcile: from what an AsyncActor asks for and what the cluster holds to writes and a status.

Level-triggered: nothing is remembered between two reconciles but what saves work, so it does not
matter which event led here, or how many were missed.
"""

from collections.abc import Callable

import structlog

from controller.cluster.access import Cluster
from controller.cluster.borrowed import Borrowed
from controller.cluster.deletion import Deletion, holds_finalizer, keep_finalizer
from controller.cluster.health import Health
from controller.cluster.labelled import WAITING_SECONDS, Census, Labelled
from controller.cluster.rollouts import Rollouts
from controller.cluster.runtime_maps import RuntimeMaps
from controller.cluster.scaling import Scaling
from controller.cluster.workloads import Found, Workloads
from controller.rules import desired, keda, status
from controller.rules.injected import digest, opted_out
from controller.rules.queues import queue_verdict
from controller.rules.status import Observation, Verdict
from crds.models import AsyncActor
from crds.names import API_VERSION, KIND
from crds.parse import InvalidActor, parse_actor
from injection.generations import queue_name
from injection.ownership import RELEASED, ownership
from injection.plan import make_plan
from injection.settings import SidecarDefaults
from injection.warnings import warnings_of
from kube import events
from kube.failures import ApiError
from kube.objects import Key, Object
from kube.resources import ASYNC_ACTORS

log = structlog.get_logger(__name__)

StatusObserver = Callable[[Key, Object | None], None]
"""Called with each actor's latest status, or with None once the actor is gone."""

NO_SUCH_ACTOR = "NoSuchAsyncActor"
"""Reason of the Events on workloads whose label names an actor that is not there."""
SPEC_WARNING = "SpecWarning"
"""Reason of the Events that say what admission warns of, which whoever deploys by GitOps never sees."""


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
        self._workloads, self._scaling, self._health = (
            Workloads(cluster, rollouts, defaults),
            Scaling(cluster, defaults),
            Health(cluster, defaults),
        )
        self._borrowed = Borrowed(cluster, self._scaling, self._event)
        self._deletion = Deletion(
            cluster,
            self._scaling,
            labelled,
            self._borrowed,
            lambda obj, reason, told, warning: self._event(obj, reason, told, warning=warning),
            self._write_status,
        )
        self._events, self._on_status = events.Recorder(cluster.client, identity), on_status
        self._told: dict[Key, dict[str, str]] = {}
        """By actor: uids of labelled workloads that were refused, and why. Goes with the actor."""
        self._waiting: set[str] = set()
        """Uids of labelled workloads that were told that there is no such actor."""

    def reconcile(self, key: Key) -> float | None:
        """Reconcile ``key``; seconds after which at the latest to do so again, None if a watch will tell.

        Raises:
            ApiError: if the API could not be read or written; to be tried again.
        """
        namespace, name = key
        if not name:
            return self._runtime.reconcile(namespace)
        obj = self._cluster.actors.get(namespace, name)
        if obj is None:
            return self._gone(key)
        if obj["metadata"].get("deletionTimestamp"):
            return self._finalize(key, obj)
        try:
            seen, census = self._observe(key, obj)
        except ApiError as error:
            if error.is_refusal:  # which no condition tells of, since it befell nothing that an actor usually has
                self._event(obj, "ReconcileFailed", f"it is tried again: {error.message}", warning=True)
            raise
        self._report(key, obj, seen)
        for verdict in (seen.workload, seen.pods, seen.scaling, seen.runtime):
            census.again(verdict.retry if verdict is not None else None)
        return census.retry

    # -- an actor that is there ------------------------------------------------------------------

    def _observe(self, key: Key, obj: Object) -> tuple[Observation, Census]:
        runtime = self._runtime.ensure(key[0])
        try:
            actor = parse_actor(obj)
            plan = make_plan(actor, self._defaults, self._runtime.script)
        except InvalidActor as invalid:
            return Observation(status.invalid_spec(invalid.errors), None, runtime), Census()
        if not actor.spec.scaling.enabled:
            self._scaling.release(actor)
        owns = actor.spec.workload.template is not None
        found = self._workloads.ensure(actor, plan.digest) if owns else None
        census = self._labelled.renew(key, actor.metadata.uid, plan, skip=_seen_to(found))
        self._tell_refused(key, obj, census)
        if found is None:
            found = self._workloads.existing(actor)
        borrows = not owns and not found.strange and actor.spec.scaling.enabled
        before = self._borrowed.before(obj, actor)
        keep_finalizer(self._cluster, obj, needed=census.foreign > 0 or before is not None or borrows)
        if not owns:
            if found.strange:
                self._scaling.release(actor)
            before = self._borrowed.borrow(obj, actor, found, before)
        scaling = self._scale(actor, found, status.condition(obj, status.SCALING_READY))
        self._borrowed.restore_others(obj, actor)
        pods, replicas = self._health.examine(actor, found)
        scaled_object = self._scaling.scaled_object(actor)
        seen = Observation(
            found.verdict,
            scaling,
            runtime,
            pods,
            queue_verdict(actor, self._defaults),
            live=found.live,
            replicas=replicas,
            scaled_object=scaled_object is not None,
            active=keda.active(scaled_object) if scaled_object is not None else None,
            paused=keda.is_paused(obj, scaled_object),
            outdated=census.outdated,
            queue_name=queue_name(actor, self._defaults),
            warnings=tuple(warnings_of(actor, self._defaults)),
            replicas_before=before,
        )
        return seen, census

    def _scale(self, actor: AsyncActor, found: Found, before: Object) -> Verdict | None:
        if not actor.spec.scaling.enabled:
            return None
        if found.verdict.status != "True" and self._cluster.keda is not None and not desired.scaled_by_job(actor):
            return Verdict("Unknown", "WaitingForWorkload", "scaling is set up once the workload is, see WorkloadReady")
        return self._scaling.ensure(actor, before)

    def _report(self, key: Key, obj: Object, seen: Observation) -> None:
        latest = self._cluster.actors.get(*key)
        if latest is None or latest["metadata"]["uid"] != obj["metadata"]["uid"]:
            return  # it was deleted meanwhile, and what was seen is no news of another of its name
        before = latest.get("status") or {}
        after = status.status_of(obj["metadata"], seen, before, events.timestamp())
        self._on_status(key, after)
        if after == before:
            return
        if not self._write_status(key, {**dict.fromkeys(before), **after}):
            return
        changed = status.changes(before, after)
        if changed:
            log.info(
                "conditions",
                namespace=key[0],
                actor=key[1],
                **{c["type"]: f"{c['status']}/{c['reason']}" for c in changed},
            )
            reason, message, warning = status.summary(changed)
            self._event(obj, reason, message, warning=warning)
        for message in status.new_warnings(before, after):
            self._event(obj, SPEC_WARNING, message, warning=True)

    def _write_status(self, key: Key, changes: Object) -> bool:
        """Change the status; False if the actor was deleted meanwhile."""
        try:
            written = self._cluster.client.merge_patch(ASYNC_ACTORS, *key, {"status": changes}, subresource="status")
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        self._cluster.actors.observe(written)
        return True

    def _tell_refused(self, key: Key, obj: Object, census: Census) -> None:
        """An Event for each labelled workload that cannot be injected; once, until it is another reason."""
        for workload, verdict in census.refused:
            told, uid = self._told.setdefault(key, {}), workload["metadata"]["uid"]
            if told.get(uid) != verdict.message:
                told[uid] = verdict.message
                self._event(obj, verdict.reason, verdict.message, warning=True)

    # -- an actor that goes ----------------------------------------------------------------------

    def _finalize(self, key: Key, obj: Object) -> float | None:
        """Undo what garbage collection would not, then let the actor go."""
        if not holds_finalizer(obj):
            return None
        again = self._deletion.finalize(key, obj)
        if again is None:
            keep_finalizer(self._cluster, obj, needed=False)
        return again

    def _gone(self, key: Key) -> float | None:
        """The actor is not there (any more, or yet): what only bears its label is let go."""
        self._on_status(key, None)
        self._told.pop(key, None)
        self._workloads.forget(key)
        self._runtime.reconcile(key[0])
        self._scaling.forget(key)
        workloads = [obj for _, obj in self._labelled.find(key) if ownership(obj, key[1], "") in RELEASED]
        if not workloads or self._cluster.client.get(ASYNC_ACTORS, *key) is not None:
            return None
        self._tell_waiting(key, workloads)
        released = self._labelled.release(key, "", injected_only=True)
        for workload in released.workloads:
            log.info("released", kind=workload["kind"], namespace=key[0], name=workload["metadata"]["name"])
        return WAITING_SECONDS if released.waiting else None

    def _tell_waiting(self, key: Key, workloads: list[Object]) -> None:
        """An Event on each workload whose label names an actor that is not there (yet); once for each workload."""
        for workload in workloads:
            metadata = workload["metadata"]
            if metadata["uid"] in self._waiting or metadata.get("deletionTimestamp") or opted_out(workload):
                continue
            self._waiting.add(metadata["uid"])
            known = events.warnings(self._cluster.client, workload["kind"], key[0], metadata["name"])
            same = [e for e in known if (e.get("involvedObject") or {}).get("uid") == metadata["uid"]]
            if digest(workload) is None and all(e.get("reason") != NO_SUCH_ACTOR for e in same):
                message = f"there is no AsyncActor {key[1]!r} in this namespace yet: it is injected as soon as there is"
                self._events.record(workload, NO_SUCH_ACTOR, message, warning=True)

    def _event(self, obj: Object, reason: str, message: str, *, warning: bool = False) -> None:
        about = {"apiVersion": API_VERSION, "kind": KIND, **obj}
        self._events.record(about, reason, message, warning=warning)


def _seen_to(found: Found | None) -> str:
    """Uid of the actor's own workload where re-admission would be refused as its apply was, or waits with it."""
    if found is None or found.live is None:
        return ""
    refused = found.verdict.status == "False" and found.verdict.reason != "NotInjected"
    return str(found.live["metadata"]["uid"]) if refused or found.waiting else ""
