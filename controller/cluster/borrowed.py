"""The replicas of a borrowed workload: stored before KEDA scales it, restored when KEDA no longer does.

An annotation of the workload stores them. A status would not do: a restore from a backup drops it. Older operators
stored them in the actor's status alone; this one copies them to the workload once.
"""

from controller.cluster.access import Cluster
from controller.cluster.reporter import Reporter
from controller.cluster.scaling import Scaling
from controller.cluster.workloads import WorkloadResult
from controller.rules import desired
from crds.models import AsyncActor
from crds.names import ANNOTATION_REPLICAS_BEFORE, LABEL_ACTOR
from injection.inject import map_of
from kube.failures import ApiError
from kube.informer import Informer
from kube.objects import Key, Object


def replicas_before(workload: Object) -> int | None:
    """The replicas that the workload had before KEDA scaled it, by its annotation; None without a valid annotation."""
    text = map_of(workload, "annotations").get(ANNOTATION_REPLICAS_BEFORE)
    return int(text) if isinstance(text, str) and text.isdecimal() and len(text) < 10 else None


def in_status(actor: Object, workload: Object) -> int | None:
    """The replicas before KEDA scaled, by the actor's status; None if that is about another workload."""
    stored = actor.get("status") or {}
    reference = stored.get("workloadRef") or {}
    named = reference.get("kind"), reference.get("name")
    before: int | None = stored.get("replicasBeforeScaling")
    return before if named == (workload["kind"], workload["metadata"]["name"]) else None


class Borrowed:
    """Stores and restores the replicas of borrowed workloads. Safe to use from several threads."""

    def __init__(self, cluster: Cluster, scaling: Scaling, reporter: Reporter) -> None:
        self._cluster, self._scaling, self._reporter = cluster, scaling, reporter

    def before(self, obj: Object, actor: AsyncActor) -> int | None:
        """The stored replicas of the workload that ``actor`` borrows now; None if KEDA has not scaled it yet.

        ``actor`` is ``obj`` parsed.
        """
        if actor.spec.workload.template is not None:
            return None
        kind, name = _borrows(actor)
        if kind not in desired.SCALABLE:
            return None
        live = self._cluster.get(self._cluster.workloads[kind], actor.metadata.namespace, name)
        return self._stored(obj, {"kind": kind, **live}) if live is not None else None

    def restore_others(self, obj: Object, actor: AsyncActor) -> None:
        """Restore the workloads that ``actor`` borrowed before and does not borrow now; ``actor`` is ``obj`` parsed."""
        borrows = _borrows(actor) if actor.spec.workload.template is None else None
        for informer, live in self._all((actor.metadata.namespace, actor.metadata.name), obj):
            replicas = self._stored(obj, live)
            is_other = (live["kind"], live["metadata"]["name"]) != borrows
            if is_other and replicas is not None and not self._is_scaled(actor, live):
                self._restore(obj, informer, live, replicas)

    def borrow(self, obj: Object, actor: AsyncActor, workload: WorkloadResult, before: int | None) -> int | None:
        """Store the replicas of the borrowed workload before KEDA scales it, or restore them once KEDA does not.

        Returns:
            The stored replicas; None if there is nothing to restore.
        """
        live = workload.live
        if live is None or live["kind"] not in desired.SCALABLE:
            return None  # the workload is deleted, or has no replicas
        informer = self._cluster.workloads[live["kind"]]
        if actor.spec.scaling.enabled and not workload.is_unrelated:
            if before is None and workload.verdict.status == "True" and self._cluster.keda is not None:
                before = int(live["spec"].get("replicas", 1))
            if before is not None and replicas_before(live) != before:
                self._annotate(informer, live, str(before))
            return before
        if before is not None and self._scaling.scaled_object(actor) is None:
            self._restore(obj, informer, live, before)
            return None
        return before

    def restore_all(self, key: Key, obj: Object) -> None:
        """Restore every workload that the deleted actor ``obj`` has borrowed."""
        for informer, live in self._all(key, obj):
            replicas = self._stored(obj, live)
            if replicas is not None:
                self._restore(obj, informer, live, replicas)

    def _all(self, key: Key, obj: Object) -> list[tuple[Informer, Object]]:
        """The workloads that the actor may have borrowed: those with its label, and the one that its status names."""
        borrowed = {
            (kind, live["metadata"]["name"]): (self._cluster.workloads[kind], live)
            for kind in desired.SCALABLE
            for live in self._cluster.workloads[kind].labelled(*key)
        }
        stored = obj.get("status") or {}
        reference = stored.get("workloadRef") or {}
        named = reference.get("kind", ""), reference.get("name", "")
        if "replicasBeforeScaling" in stored and named[0] in desired.SCALABLE and named not in borrowed:
            informer = self._cluster.workloads[named[0]]
            live = self._cluster.get(informer, key[0], named[1])
            if live is not None:
                borrowed[named] = informer, {"kind": named[0], **live}
        return list(borrowed.values())

    def _stored(self, obj: Object, live: Object) -> int | None:
        replicas = replicas_before(live)
        return replicas if replicas is not None else in_status(obj, live)

    def _is_scaled(self, actor: AsyncActor, live: Object) -> bool:
        """Whether the actor's ScaledObject still scales ``live``. Then it is too early to restore the replicas."""
        scaled = self._scaling.scaled_object(actor)
        target = ((scaled or {}).get("spec") or {}).get("scaleTargetRef") or {}
        return (target.get("kind", "Deployment"), target.get("name")) == (live["kind"], live["metadata"]["name"])

    def _annotate(self, informer: Informer, live: Object, text: str | None) -> None:
        metadata = live["metadata"]
        patch: Object = {"metadata": {"annotations": {ANNOTATION_REPLICAS_BEFORE: text}}}
        written = self._cluster.client.merge_patch(
            informer.resource, metadata["namespace"], metadata["name"], patch, uid=metadata["uid"]
        )
        if LABEL_ACTOR in map_of(written, "labels"):
            informer.observe(written)

    def _restore(self, obj: Object, informer: Informer, live: Object, replicas: int) -> None:
        """Restore the replicas that a borrowed workload had before KEDA scaled it."""
        metadata = live["metadata"]
        try:
            if live["spec"].get("replicas", 1) != replicas:
                self._cluster.client.merge_patch(
                    informer.resource,
                    metadata["namespace"],
                    metadata["name"],
                    {"spec": {"replicas": replicas}},
                    subresource="scale",
                    uid=metadata["uid"],
                )
            if ANNOTATION_REPLICAS_BEFORE in map_of(live, "annotations"):
                self._annotate(informer, live, None)
        except ApiError as error:
            if error.code == 404 or error.is_namespace_terminating:
                return
            raise
        name = metadata["name"]
        self._reporter.event(obj, "ReplicasRestored", f"the {live['kind']} {name!r} has {replicas} replicas again")


def _borrows(actor: AsyncActor) -> tuple[str, str]:
    return actor.spec.workload.type, desired.workload_name(actor)
