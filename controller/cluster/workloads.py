"""An actor's workload: applied plain and injected by admission, replaced where it must be, never taken over."""

from dataclasses import dataclass, replace
from typing import Any

from controller.cluster.access import Cluster, Contested
from controller.cluster.labelled import WAITING_SECONDS, digest, opted_out
from controller.cluster.refused import Refused, state_of
from controller.cluster.rollouts import NoPlace, Rollouts, has_pods, replaces_pods, runs
from controller.rules import desired, scalers, status
from controller.rules.status import Verdict
from crds.models import AsyncActor
from crds.names import ANNOTATION_ACTOR_GENERATION, ANNOTATION_APPLIED, ANNOTATION_SCALING, LABEL_ACTOR, OPERATOR
from injection.ownership import ownership
from injection.settings import SidecarDefaults
from kube.failures import ApiError
from kube.informer import Informer
from kube.objects import Key, Object

HANDOVER = f"{OPERATOR}-replicas"
"""Field manager that holds ``spec.replicas`` between the operator's giving it up and another's taking it."""
REMEMBERED = 10_000


@dataclass(frozen=True)
class Found:
    """What became of the workload."""

    verdict: Verdict
    live: Object | None = None
    strange: bool = False
    """Whether it is no workload of this actor's (any more): it is not there, or does not bear the label."""
    waiting: bool = False
    """Whether a write waits for a place to roll over in."""


class Workloads:
    """Makes each actor's workload what it should be."""

    def __init__(self, cluster: Cluster, rollouts: Rollouts, defaults: SidecarDefaults) -> None:
        self._cluster, self._rollouts, self._defaults = cluster, rollouts, defaults
        self._refused = Refused()
        self._rolls: dict[str, tuple[Any, ...]] = {}
        """By uid: the last change that a dry run has shown to roll pods over."""

    def ensure(self, actor: AsyncActor, plan_digest: str) -> Found:
        """Have the workload of ``actor``, which has a template, exist as desired; remove those that it had before.

        ``plan_digest`` is of what admission injects now.

        Raises:
            ApiError: for a failure that says nothing of the workload itself.
        """
        keda = actor.spec.scaling.enabled and self._cluster.keda is not None
        if keda and desired.scaled_by_job(actor):
            found = self._apply(actor, self._scaled_jobs(), scalers.scaled_job(actor, self._defaults), plan_digest)
        else:
            informer = self._cluster.workloads[actor.spec.workload.type]
            live = self._cluster.get(informer, actor.metadata.namespace, desired.workload_name(actor))
            found = self._apply(actor, informer, _wanted(actor, live, keda=keda), plan_digest)
            if live is None and found.live is not None and _starts_asleep(actor, keda=keda):
                # Made with no replicas, which the operator owns; now KEDA is to own them, without a jump.
                found = self._apply(actor, informer, _wanted(actor, found.live, keda=keda), plan_digest)
        if found.verdict.status == "True" and not found.waiting and found.live is not None:
            left = self._prune(actor, found.live)
            if left:
                return replace(found, verdict=status.before_it_goes(found.verdict, left[0]))
        return found

    def forget(self, key: Key) -> None:
        """The actor is gone."""
        self._rollouts.forget(key)

    def _scaled_jobs(self) -> Informer:
        if self._cluster.keda is None:
            raise ApiError(404, "NotFound", "KEDA went away meanwhile")
        return self._cluster.keda.scaled_jobs

    def existing(self, actor: AsyncActor) -> Found:
        """The workload that ``actor``, which has no template, brings along.

        Raises:
            ApiError: if it cannot be read.
        """
        kind, name = actor.spec.workload.type, desired.workload_name(actor)
        live = self._cluster.get(self._cluster.workloads[kind], actor.metadata.namespace, name)
        if live is None:
            return Found(status.workload_not_found(kind, name), strange=True)
        if (live["metadata"].get("labels") or {}).get(LABEL_ACTOR) != actor.metadata.name:
            return Found(status.workload_not_labelled(kind, name, actor.metadata.name), live, strange=True)
        if opted_out(live):
            return Found(status.workload_opted_out(kind, name), live)
        if digest(live) is None:
            return Found(status.workload_not_injected(kind, name), live)
        return Found(status.workload_found(kind, name), live)

    def _apply(self, actor: AsyncActor, informer: Informer, wanted: Object, plan_digest: str) -> Found:
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        live = self._cluster.get(informer, actor.metadata.namespace, name)
        refused = _not_ours(actor, live, wanted) if live is not None else None
        if refused is not None:
            return Found(refused)
        if live is not None and live["metadata"].get("deletionTimestamp"):
            return Found(status.workload_replaced(name), live)
        write = actor.metadata.generation, _annotation(wanted, ANNOTATION_APPLIED), plan_digest, state_of(live)
        known = self._refused.find(actor.metadata.uid, write)
        if known is not None:
            return Found(known, live)
        try:
            if kind == "Job" and live is not None and not _same_inputs(live, wanted):
                self._rollouts.replace(live, _key(actor), lambda: self._cluster.delete(informer, live))
                return Found(status.workload_replaced(name), live)
            result = self._write(actor, informer, live, wanted, plan_digest)
            if kind == "Job" and live is None:
                self._rollouts.succeeded(_key(actor), result)
        except NoPlace:
            return _waits(actor, kind, name, live)
        except Contested as contested:
            return Found(contested.verdict, live)
        except ApiError as error:
            verdict = status.workload_refused(kind, name, error)
            if verdict is None:
                raise
            self._refused.remember(actor.metadata.uid, write, verdict)
            return Found(verdict, live)
        if opted_out(result):
            return Found(status.workload_opted_out(kind, name), result)
        if digest(result) is None:
            return Found(status.workload_not_injected(kind, name), result)
        return Found(status.workload_created(kind, name), result)

    def _write(
        self, actor: AsyncActor, informer: Informer, live: Object | None, wanted: Object, plan_digest: str
    ) -> Object:
        """Apply ``wanted`` where it does not hold, in a place to roll over in if that replaces pods."""

        def apply() -> Object:
            if live is not None and kind in desired.SCALABLE:
                self._hand_over_replicas(informer, live, wanted)
            return self._cluster.ensure(informer, live, wanted)

        kind, name = wanted["kind"], wanted["metadata"]["name"]
        if live is None or self._cluster.is_as(live, wanted):
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
        change = metadata.get("generation"), plan_digest, _annotation(wanted, ANNOTATION_APPLIED)
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
        if _scaling(wanted) == "disabled" or _scaling(live) in ("enabled", "unmanaged"):
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


def _starts_asleep(actor: AsyncActor, *, keda: bool) -> bool:
    """Whether a new workload of the actor has no pods until KEDA wakes it."""
    return keda and actor.spec.workload.type in desired.SCALABLE and actor.spec.scaling.min_replicas == 0


def _wanted(actor: AsyncActor, live: Object | None, *, keda: bool) -> Object:
    """The workload that ``actor`` wants where ``live`` is now: who owns its replicas depends on both."""
    if live is None and _starts_asleep(actor, keda=keda):
        return desired.workload(actor, keda=False, replicas=0)
    was_keda = live is not None and live["kind"] in desired.SCALABLE and _scaling(live) == "enabled"
    if was_keda and actor.spec.scaling.enabled:
        return desired.workload(actor, keda=True)  # also where KEDA has vanished: its replicas stay as they are
    asleep = was_keda and live is not None and live["spec"].get("replicas", 1) == 0
    if asleep and not actor.spec.scaling.enabled and actor.spec.workload.replicas is None:
        return desired.workload(actor, keda=False, replicas=1)  # nobody else would wake it
    return desired.workload(actor, keda=keda)


def _not_ours(actor: AsyncActor, live: Object, wanted: Object) -> Verdict | None:
    """What it means that ``live``, which is there already, is not the actor's; None if it is, or can be adopted."""
    kind, name = wanted["kind"], wanted["metadata"]["name"]
    relation = ownership(live, actor.metadata.name, actor.metadata.uid)
    if relation == "owned":
        return None
    if relation == "predecessor" or (relation == "orphaned" and live["metadata"].get("deletionTimestamp")):
        return status.predecessors(kind, name)
    if relation == "orphaned" and _same_shape(live, wanted):
        return None
    return status.workload_not_owned(kind, name)


def _same_shape(live: Object, wanted: Object) -> bool:
    """Whether an orphan can become what is wanted without being made anew."""
    if wanted["kind"] == "Job":
        return _same_inputs(live, wanted)
    return bool(live["spec"].get("selector") == wanted["spec"].get("selector"))


def _waits(actor: AsyncActor, kind: str, name: str, live: Object | None) -> Found:
    """The workload that is to be written as soon as there is a place; as it is, unless the user has changed it."""
    assert live is not None, "a new workload needs no place"
    if _annotation(live, ANNOTATION_ACTOR_GENERATION) != str(actor.metadata.generation):
        return Found(status.waiting_for_place(kind, name, WAITING_SECONDS), live, waiting=True)
    return Found(replace(status.workload_created(kind, name), retry=WAITING_SECONDS), live, waiting=True)


def _annotation(obj: Object, name: str) -> Any:
    return (obj["metadata"].get("annotations") or {}).get(name)


def _scaling(workload: Object) -> Any:
    return _annotation(workload, ANNOTATION_SCALING)


def _same_inputs(live: Object, wanted: Object) -> bool:
    return bool(_annotation(live, ANNOTATION_APPLIED) == _annotation(wanted, ANNOTATION_APPLIED))
