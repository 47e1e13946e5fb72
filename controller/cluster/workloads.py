"""An actor's own workload: the operator applies it without a sidecar, and admission injects it.

A Job is replaced when its inputs change. A workload that belongs to another owner is never changed.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from controller.cluster.access import Cluster, Contested
from controller.cluster.labelled import WAITING_SECONDS
from controller.cluster.refused import Refused, state_of
from controller.cluster.rollouts import NoPlace, Rollouts
from controller.rules import desired, scalers, status
from controller.rules.adoption import has_same_inputs, ownership_verdict
from controller.rules.injected import digest, has_opted_out
from controller.rules.replicas import applied_again, desired_workload, scaling_mode
from controller.rules.rolling import has_pods, is_running, replaces_pods
from controller.rules.status import Verdict
from crds.models import AsyncActor
from crds.names import (
    ANNOTATION_ACTOR_GENERATION,
    ANNOTATION_APPLIED,
    LABEL_ACTOR,
    OPERATOR,
)
from injection.settings import SidecarDefaults
from kube.client import Client
from kube.failures import ApiError
from kube.informer import Informer
from kube.objects import Key, Object, annotation
from kube.resources import Resource

HANDOVER = f"{OPERATOR}-replicas"
"""Field manager that owns ``spec.replicas`` after the operator gives it up and before another writer takes it."""
MAX_CACHED = 10_000


@dataclass(frozen=True)
class WorkloadResult:
    """The result of a reconcile's write of a workload."""

    verdict: Verdict
    """The condition WorkloadReady."""
    live: Object | None = None
    """The workload after the write."""
    is_unrelated: bool = False
    """Whether the borrowed workload does not exist, or does not carry the actor's label."""
    is_waiting: bool = False
    """Whether a write waits for a place among the rollouts."""


class Workloads:
    """Writes each actor's own workload. Safe to use from several threads."""

    def __init__(self, cluster: Cluster, rollouts: Rollouts, defaults: SidecarDefaults) -> None:
        self._cluster, self._rollouts, self._defaults = cluster, rollouts, defaults
        self._refused = Refused()
        self._rolls: dict[str, tuple[Any, ...]] = {}
        """By uid: the last change for which a dry run showed that it replaces pods."""

    def ensure(self, actor: AsyncActor, plan_digest: str) -> WorkloadResult:
        """Apply the workload of ``actor``, which has a template, and delete the workloads that it had before.

        Args:
            actor: the actor.
            plan_digest: digest of the current plan, which admission injects.

        Raises:
            ApiError: for a failure that is not about the workload.
        """
        keda = actor.spec.scaling.enabled and self._cluster.keda is not None
        if keda and desired.is_scaled_by_job(actor):
            manifest = scalers.scaled_job(actor, self._defaults)
            name = manifest["metadata"]["name"]
            outcome = self._create_or_apply(actor, self._scaled_jobs(), name, lambda live: manifest, plan_digest)
        else:
            informer = self._cluster.workloads[actor.spec.workload.type]
            name = desired.workload_name(actor)
            outcome = self._create_or_apply(
                actor, informer, name, lambda live: desired_workload(actor, live, keda=keda), plan_digest
            )
        if outcome.verdict.status == "True" and not outcome.is_waiting and outcome.live is not None:
            remaining = self._prune(actor, outcome.live)
            if remaining:
                return replace(outcome, verdict=status.replaces_workload(outcome.verdict, remaining[0]))
        return outcome

    def forget(self, key: Key) -> None:
        """Free the place of a deleted actor's workload."""
        self._rollouts.forget(key)

    def _scaled_jobs(self) -> Informer:
        if self._cluster.keda is None:
            raise ApiError(404, "NotFound", "KEDA was removed during this reconcile")
        return self._cluster.keda.scaled_jobs

    def existing(self, actor: AsyncActor) -> WorkloadResult:
        """The workload that ``actor``, which has no template, borrows.

        Raises:
            ApiError: if the workload cannot be read.
        """
        kind, name = actor.spec.workload.type, desired.workload_name(actor)
        live = self._cluster.get(self._cluster.workloads[kind], actor.metadata.namespace, name)
        if live is None:
            return WorkloadResult(status.workload_not_found(kind, name), is_unrelated=True)
        if (live["metadata"].get("labels") or {}).get(LABEL_ACTOR) != actor.metadata.name:
            return WorkloadResult(
                status.workload_not_labelled(kind, name, actor.metadata.name), live, is_unrelated=True
            )
        if has_opted_out(live):
            return WorkloadResult(status.workload_opted_out(kind, name), live)
        if digest(live) is None:
            return WorkloadResult(status.workload_not_injected(kind, name), live)
        return WorkloadResult(status.workload_found(kind, name), live)

    def _create_or_apply(
        self,
        actor: AsyncActor,
        informer: Informer,
        name: str,
        manifest_for: Callable[[Object | None], Object],
        plan_digest: str,
    ) -> WorkloadResult:
        """Apply the workload ``name`` as ``manifest_for`` returns it for the live one.

        The cache holds only labelled workloads, so a missing one needs a read: somebody else may have the name. A new
        actor, which has no status yet, creates its workload without this read. If the name is taken, the create fails
        with a conflict, or with a refusal of admission, which sees the other workload first. Only then the actor reads.
        """
        namespace = actor.metadata.namespace
        live = informer.get(namespace, name)
        refused: WorkloadResult | None = None
        if live is None and actor.status is None:
            try:
                outcome = self._apply(actor, informer, None, manifest_for(None), plan_digest)
            except ApiError as error:
                if error.code != 409:
                    raise
            else:
                if outcome.live is not None:
                    return outcome
                refused = outcome
        if live is None:
            live = self._cluster.client.get(informer.resource, namespace, name)
        if live is None and refused is not None:
            return refused
        return self._apply(actor, informer, live, manifest_for(live), plan_digest)

    def _apply(
        self, actor: AsyncActor, informer: Informer, live: Object | None, manifest: Object, plan_digest: str
    ) -> WorkloadResult:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        not_owned = ownership_verdict(actor, live, manifest) if live is not None else None
        if not_owned is not None:
            return WorkloadResult(not_owned)
        if live is not None and live["metadata"].get("deletionTimestamp"):
            return WorkloadResult(status.workload_replaced(name), live)
        write = actor.metadata.generation, annotation(manifest, ANNOTATION_APPLIED), plan_digest, state_of(live)
        refusal = self._refused.find(actor.metadata.uid, write)
        if refusal is not None:
            return WorkloadResult(refusal, live)
        try:
            if kind == "Job" and live is not None and not has_same_inputs(live, manifest):
                self._rollouts.replace(live, _key(actor), lambda: self._cluster.delete(informer, live))
                return WorkloadResult(status.workload_replaced(name), live)
            written = self._write(actor, informer, live, manifest, plan_digest)
            if kind == "Job" and live is None:
                self._rollouts.succeeded(_key(actor), written)
        except NoPlace:
            return _waiting(actor, kind, name, live)
        except Contested as contested:
            return WorkloadResult(contested.verdict, live)
        except ApiError as error:
            verdict = status.workload_refused(kind, name, error)
            if verdict is None:
                raise
            self._refused.remember(actor.metadata.uid, write, verdict)
            return WorkloadResult(verdict, live)
        if has_opted_out(written):
            return WorkloadResult(status.workload_opted_out(kind, name), written)
        if digest(written) is None:
            return WorkloadResult(status.workload_not_injected(kind, name), written)
        return WorkloadResult(status.workload_created(kind, name), written)

    def _write(
        self, actor: AsyncActor, informer: Informer, live: Object | None, manifest: Object, plan_digest: str
    ) -> Object:
        """Apply ``manifest`` if the live workload differs. If that replaces pods, the workload needs a place."""
        if live is None or self._cluster.is_current(live, manifest):
            return self._cluster.ensure(informer, live, manifest)
        kind, manifest = manifest["kind"], applied_again(manifest)

        def apply() -> Object:
            if kind in desired.SCALABLE:
                give_away_replicas(self._cluster.client, informer.resource, live, manifest)
            return self._cluster.ensure(informer, live, manifest)

        name = manifest["metadata"]["name"]
        before = live
        if kind == "ScaledJob":  # KEDA follows the new ScaledJob's rollout strategy when it deletes running Jobs
            before = {**live, "spec": {**live["spec"], "rollout": manifest["spec"]["rollout"]}}
        return self._rollouts.write(
            before,
            _key(actor),
            apply,
            rolls=lambda: self._would_roll(informer, live, manifest, plan_digest),
            latest=lambda: informer.get(actor.metadata.namespace, name),
        )

    def _would_roll(self, informer: Informer, live: Object, manifest: Object, plan_digest: str) -> bool:
        """Whether applying ``manifest`` would replace pods, by a dry run through admission; one dry run per change."""
        metadata = live["metadata"]
        change = metadata.get("generation"), plan_digest, annotation(manifest, ANNOTATION_APPLIED)
        if self._rolls.get(metadata["uid"]) == change:
            return True
        try:
            dry_run = self._cluster.client.apply(informer.resource, manifest, uid=metadata["uid"], dry_run=True)
        except ApiError as error:
            if error.code == 400:  # another webhook does not support dry runs
                return True
            raise
        if not replaces_pods(live, {"kind": manifest["kind"], **dry_run}):
            return False
        if len(self._rolls) >= MAX_CACHED:
            self._rolls.clear()
        self._rolls[metadata["uid"]] = change
        return True

    def _prune(self, actor: AsyncActor, current: Object) -> list[Object]:
        """Delete the actor's earlier workloads of another kind or name.

        One with pods stays until the pods of ``current`` are available, as in a rollout. So deletion needs no place.

        Returns:
            The workloads that stay for now.
        """
        remaining = []
        is_available = self._rollouts.has_rolled_out(current)
        for informer in self._cluster.injectable:
            for obj in informer.owned_by(actor.metadata.namespace, actor.metadata.uid):
                if obj["metadata"]["uid"] == current["metadata"]["uid"] or obj["metadata"].get("deletionTimestamp"):
                    continue
                if is_available or not (is_running(obj) or has_pods(obj)):
                    self._cluster.delete(informer, obj)
                else:
                    remaining.append(obj)
        return remaining


def give_away_replicas(client: Client, resource: Resource, live: Object, manifest: Object) -> None:
    """Give ``spec.replicas`` to another field manager, if the operator owns it in ``live`` and not in ``manifest``.

    If the only owner of a field drops it, the API server resets the field to its default. That would scale the
    workload to one replica. The write is one of the scale, because admission would judge and inject the old template
    in a write of the workload.

    Raises:
        ApiError: code 409, the workload is not ``live`` any more. KEDA may have scaled it.
    """
    if scaling_mode(manifest) == "disabled" or scaling_mode(live) in ("enabled", "unmanaged"):
        return
    metadata = live["metadata"]
    names = {key: metadata[key] for key in ("name", "namespace", "resourceVersion")}
    replicas = {"replicas": live["spec"].get("replicas", 1)}
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": names, "spec": replicas}
    client.apply(resource, scale, manager=HANDOVER, subresource="scale", uid=metadata["uid"])


def _key(actor: AsyncActor) -> Key:
    return actor.metadata.namespace, actor.metadata.name


def _waiting(actor: AsyncActor, kind: str, name: str, live: Object | None) -> WorkloadResult:
    """The result while a write waits for a place: ready, unless the user's own change waits."""
    assert live is not None, "a new workload needs no place"
    if annotation(live, ANNOTATION_ACTOR_GENERATION) != str(actor.metadata.generation):
        return WorkloadResult(status.waiting_for_place(kind, name, WAITING_SECONDS), live, is_waiting=True)
    return WorkloadResult(replace(status.workload_created(kind, name), retry=WAITING_SECONDS), live, is_waiting=True)
