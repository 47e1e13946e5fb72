"""An actor's workload: applied plain and injected by admission, replaced where it must be, never taken over."""

from dataclasses import dataclass, replace
from typing import Any

from controller.cluster.access import Cluster, Contested
from controller.cluster.labelled import WAITING_SECONDS
from controller.cluster.refused import Refused, state_of
from controller.cluster.rollouts import NoPlace, Rollouts
from controller.rules import desired, scalers, status
from controller.rules.adoption import has_same_inputs, not_ours
from controller.rules.injected import digest, opted_out
from controller.rules.replicas import scaling_mode, starts_asleep, wanted_workload
from controller.rules.rolling import has_pods, replaces_pods, runs
from controller.rules.status import Verdict
from crds.models import AsyncActor
from crds.names import ANNOTATION_ACTOR_GENERATION, ANNOTATION_APPLIED, LABEL_ACTOR, OPERATOR
from injection.settings import SidecarDefaults
from kube.failures import ApiError
from kube.informer import Informer
from kube.objects import Key, Object, annotation

HANDOVER = f"{OPERATOR}-replicas"
"""Field manager that holds ``spec.replicas`` between the operator's giving it up and another's taking it."""
REMEMBERED = 10_000


@dataclass(frozen=True)
class WorkloadResult:
    """A workload as it is after a reconcile has written it."""

    verdict: Verdict
    live: Object | None = None
    is_unrelated: bool = False
    """Whether the actor has no such workload: none exists, or it does not carry the actor's label."""
    is_waiting: bool = False
    """Whether a write waits for a place among the roll-outs."""


class Workloads:
    """Makes each actor's workload what it should be."""

    def __init__(self, cluster: Cluster, rollouts: Rollouts, defaults: SidecarDefaults) -> None:
        self._cluster, self._rollouts, self._defaults = cluster, rollouts, defaults
        self._refused = Refused()
        self._rolls: dict[str, tuple[Any, ...]] = {}
        """By uid: the last change that a dry run has shown to roll pods over."""

    def ensure(self, actor: AsyncActor, plan_digest: str) -> WorkloadResult:
        """Have the workload of ``actor``, which has a template, exist as desired; remove those that it had before.

        ``plan_digest`` is of what admission injects now.

        Raises:
            ApiError: for a failure that says nothing of the workload itself.
        """
        keda = actor.spec.scaling.enabled and self._cluster.keda is not None
        if keda and desired.scaled_by_job(actor):
            result = self._apply(actor, self._scaled_jobs(), scalers.scaled_job(actor, self._defaults), plan_digest)
        else:
            informer = self._cluster.workloads[actor.spec.workload.type]
            live = self._cluster.get(informer, actor.metadata.namespace, desired.workload_name(actor))
            result = self._apply(actor, informer, wanted_workload(actor, live, keda=keda), plan_digest)
            if live is None and result.live is not None and starts_asleep(actor, keda=keda):
                # Made with no replicas, which the operator owns; now KEDA is to own them, without a jump.
                result = self._apply(actor, informer, wanted_workload(actor, result.live, keda=keda), plan_digest)
        if result.verdict.status == "True" and not result.is_waiting and result.live is not None:
            left = self._prune(actor, result.live)
            if left:
                return replace(result, verdict=status.before_it_goes(result.verdict, left[0]))
        return result

    def forget(self, key: Key) -> None:
        """The actor is gone."""
        self._rollouts.forget(key)

    def _scaled_jobs(self) -> Informer:
        if self._cluster.keda is None:
            raise ApiError(404, "NotFound", "KEDA went away meanwhile")
        return self._cluster.keda.scaled_jobs

    def existing(self, actor: AsyncActor) -> WorkloadResult:
        """The workload that ``actor``, which has no template, brings along.

        Raises:
            ApiError: if it cannot be read.
        """
        kind, name = actor.spec.workload.type, desired.workload_name(actor)
        live = self._cluster.get(self._cluster.workloads[kind], actor.metadata.namespace, name)
        if live is None:
            return WorkloadResult(status.workload_not_found(kind, name), is_unrelated=True)
        if (live["metadata"].get("labels") or {}).get(LABEL_ACTOR) != actor.metadata.name:
            return WorkloadResult(
                status.workload_not_labelled(kind, name, actor.metadata.name), live, is_unrelated=True
            )
        if opted_out(live):
            return WorkloadResult(status.workload_opted_out(kind, name), live)
        if digest(live) is None:
            return WorkloadResult(status.workload_not_injected(kind, name), live)
        return WorkloadResult(status.workload_found(kind, name), live)

    def _apply(self, actor: AsyncActor, informer: Informer, wanted: Object, plan_digest: str) -> WorkloadResult:
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        live = self._cluster.get(informer, actor.metadata.namespace, name)
        refused = not_ours(actor, live, wanted) if live is not None else None
        if refused is not None:
            return WorkloadResult(refused)
        if live is not None and live["metadata"].get("deletionTimestamp"):
            return WorkloadResult(status.workload_replaced(name), live)
        write = actor.metadata.generation, annotation(wanted, ANNOTATION_APPLIED), plan_digest, state_of(live)
        known = self._refused.find(actor.metadata.uid, write)
        if known is not None:
            return WorkloadResult(known, live)
        try:
            if kind == "Job" and live is not None and not has_same_inputs(live, wanted):
                self._rollouts.replace(live, _key(actor), lambda: self._cluster.delete(informer, live))
                return WorkloadResult(status.workload_replaced(name), live)
            result = self._write(actor, informer, live, wanted, plan_digest)
            if kind == "Job" and live is None:
                self._rollouts.succeeded(_key(actor), result)
        except NoPlace:
            return _waits(actor, kind, name, live)
        except Contested as contested:
            return WorkloadResult(contested.verdict, live)
        except ApiError as error:
            verdict = status.workload_refused(kind, name, error)
            if verdict is None:
                raise
            self._refused.remember(actor.metadata.uid, write, verdict)
            return WorkloadResult(verdict, live)
        if opted_out(result):
            return WorkloadResult(status.workload_opted_out(kind, name), result)
        if digest(result) is None:
            return WorkloadResult(status.workload_not_injected(kind, name), result)
        return WorkloadResult(status.workload_created(kind, name), result)

    def _write(
        self, actor: AsyncActor, informer: Informer, live: Object | None, wanted: Object, plan_digest: str
    ) -> Object:
        """Apply ``wanted`` where it does not hold, in a place to roll over in if that replaces pods."""

        def apply() -> Object:
            if live is not None and kind in desired.SCALABLE:
                self._hand_over_replicas(informer, live, wanted)
            return self._cluster.ensure(informer, live, wanted)

        kind, name = wanted["kind"], wanted["metadata"]["name"]
        if live is None or self._cluster.is_current(live, wanted):
            return apply()
        before = live
        if kind == "ScaledJob":  # whether KEDA deletes running Jobs is what the new one says
            before = {**live, "spec": {**live["spec"], "rollout": wanted["spec"]["rollout"]}}
        return self._rollouts.write(
            before,
            _key(actor),
            apply,
            rolls=lambda: self._would_roll(informer, live, wanted, plan_digest),
            latest=lambda: informer.get(actor.metadata.namespace, name),
        )

    def _would_roll(self, informer: Informer, live: Object, wanted: Object, plan_digest: str) -> bool:
        """Whether applying ``wanted`` would replace pods, by a dry run through admission; asked once a change."""
        metadata = live["metadata"]
        change = metadata.get("generation"), plan_digest, annotation(wanted, ANNOTATION_APPLIED)
        if self._rolls.get(metadata["uid"]) == change:
            return True
        try:
            result = self._cluster.client.apply(informer.resource, wanted, uid=metadata["uid"], dry_run=True)
        except ApiError as error:
            if error.code == 400:  # a webhook of somebody else's takes no dry runs
                return True
            raise
        if not replaces_pods(live, {"kind": wanted["kind"], **result}):
            return False
        if len(self._rolls) >= REMEMBERED:
            self._rolls.clear()
        self._rolls[metadata["uid"]] = change
        return True

    def _hand_over_replicas(self, informer: Informer, live: Object, wanted: Object) -> None:
        """Before the operator stops to apply ``spec.replicas``, have another manager own its present value.

        A field that its only owner drops is reset to its default, which would scale the workload to one.
        """
        if scaling_mode(wanted) == "disabled" or scaling_mode(live) in ("enabled", "unmanaged"):
            return
        self._cluster.client.apply(
            informer.resource,
            {
                "apiVersion": wanted["apiVersion"],
                "kind": wanted["kind"],
                "metadata": {"name": wanted["metadata"]["name"], "namespace": wanted["metadata"]["namespace"]},
                "spec": {"replicas": live["spec"].get("replicas", 1)},
            },
            manager=HANDOVER,
            uid=live["metadata"]["uid"],
        )

    def _prune(self, actor: AsyncActor, kept: Object) -> list[Object]:
        """Delete the workloads of another kind or name that the actor had before; those that stay for now.

        One that has pods stays until those of its successor are there, as in a roll-out. So it needs no place.
        """
        left = []
        is_there = self._rollouts.has_rolled_out(kept)
        for informer in self._cluster.injectable:
            for obj in informer.owned_by(actor.metadata.namespace, actor.metadata.uid):
                if obj["metadata"]["uid"] == kept["metadata"]["uid"] or obj["metadata"].get("deletionTimestamp"):
                    continue
                if is_there or not (runs(obj) or has_pods(obj)):
                    self._cluster.delete(informer, obj)
                else:
                    left.append(obj)
        return left


def _key(actor: AsyncActor) -> Key:
    return actor.metadata.namespace, actor.metadata.name


def _waits(actor: AsyncActor, kind: str, name: str, live: Object | None) -> WorkloadResult:
    """The workload that is to be written as soon as there is a place; as it is, unless the user has changed it."""
    assert live is not None, "a new workload needs no place"
    if annotation(live, ANNOTATION_ACTOR_GENERATION) != str(actor.metadata.generation):
        return WorkloadResult(status.waiting_for_place(kind, name, WAITING_SECONDS), live, is_waiting=True)
    return WorkloadResult(replace(status.workload_created(kind, name), retry=WAITING_SECONDS), live, is_waiting=True)
