"""The replicas of a workload that an actor borrows: remembered on the workload before KEDA scales it, restored after.

They stand in an annotation of the workload, so that a restore from a backup, which drops every status, does not
lose them. Operators before this one kept them in the actor's status alone; those are moved to the workload once.
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
    """The replicas that the workload had before it was scaled, if it says so."""
    text = map_of(workload, "annotations").get(ANNOTATION_REPLICAS_BEFORE)
    return int(text) if isinstance(text, str) and text.isdecimal() and len(text) < 10 else None


def in_status(actor: Object, workload: Object) -> int | None:
    """The same by the actor's status, where that speaks of this workload."""
    stored = actor.get("status") or {}
    reference = stored.get("workloadRef") or {}
    named = reference.get("kind"), reference.get("name")
    before: int | None = stored.get("replicasBeforeScaling")
    return before if named == (workload["kind"], workload["metadata"]["name"]) else None


class Borrowed:
    """Remembers and restores them."""

    def __init__(self, cluster: Cluster, scaling: Scaling, reporter: Reporter) -> None:
        self._cluster, self._scaling, self._reporter = cluster, scaling, reporter

    def before(self, obj: Object, actor: AsyncActor) -> int | None:
        """Those of the workload that ``actor``, which is ``obj`` parsed, borrows now; None if it was not scaled yet."""
        if actor.spec.workload.template is not None:
            return None
        kind, name = _borrows(actor)
        if kind not in desired.SCALABLE:
            return None
        live = self._cluster.get(self._cluster.workloads[kind], actor.metadata.namespace, name)
        return self._known(obj, {"kind": kind, **live}) if live is not None else None

    def restore_others(self, obj: Object, actor: AsyncActor) -> None:
        """Restore those of workloads that ``actor``, which is ``obj`` parsed, has borrowed and borrows no more."""
        borrows = _borrows(actor) if actor.spec.workload.template is None else None
        for informer, live in self._all((actor.metadata.namespace, actor.metadata.name), obj):
            replicas = self._known(obj, live)
            is_other = (live["kind"], live["metadata"]["name"]) != borrows
            if is_other and replicas is not None and not self._is_scaled(actor, live):
                self._restore(obj, informer, live, replicas)

    def borrow(self, obj: Object, actor: AsyncActor, workload: WorkloadResult, before: int | None) -> int | None:
        """Remember the replicas of the borrowed workload before it is scaled, or restore them after.

        They are written to the workload before KEDA scales it, so that they cannot be lost.
        """
        live = workload.live
        if live is None or live["kind"] not in desired.SCALABLE:
            return None  # one that is gone needs none any more
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
        """Restore those of every workload that the actor, which is deleted, has borrowed."""
        for informer, live in self._all(key, obj):
            replicas = self._known(obj, live)
            if replicas is not None:
                self._restore(obj, informer, live, replicas)

    def _all(self, key: Key, obj: Object) -> list[tuple[Informer, Object]]:
        """The workloads that may have been borrowed: those with the label, and the one that the status names."""
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

    def _known(self, obj: Object, live: Object) -> int | None:
        replicas = replicas_before(live)
        return replicas if replicas is not None else in_status(obj, live)

    def _is_scaled(self, actor: AsyncActor, live: Object) -> bool:
        """Whether the actor's ScaledObject still scales it: then it is too early to restore anything."""
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
        """Have a borrowed workload have its own replicas again."""
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
            if error.code == 404 or error.namespace_is_going:
                return
            raise
        name = metadata["name"]
        self._reporter.event(obj, "ReplicasRestored", f"the {live['kind']} {name!r} has {replicas} replicas again")


def _borrows(actor: AsyncActor) -> tuple[str, str]:
    return actor.spec.workload.type, desired.workload_name(actor)
