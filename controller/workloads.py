"""An actor's workload: applied plain and injected by admission, replaced where it must be, never taken over."""

from dataclasses import dataclass
from typing import Any

from controller import desired, status
from controller.cluster import Cluster, Contested
from controller.labelled import digest, opted_out
from controller.status import Verdict
from crds.models import AsyncActor
from crds.names import ANNOTATION_APPLIED, ANNOTATION_SCALING, LABEL_ACTOR, OPERATOR
from injection.settings import SidecarDefaults
from kube.client import ApiError, Object
from kube.informer import Informer, controller_of

HANDOVER = f"{OPERATOR}-replicas"
"""Field manager that holds ``spec.replicas`` between the operator's giving it up and KEDA's taking it."""


@dataclass(frozen=True)
class Found:
    """What became of the workload."""

    verdict: Verdict
    live: Object | None = None
    strange: bool = False
    """Whether it is no workload of this actor's (any more): it is not there, or does not bear the label."""


class Workloads:
    """Makes each actor's workload what it should be."""

    def __init__(self, cluster: Cluster, defaults: SidecarDefaults) -> None:
        self._cluster, self._defaults = cluster, defaults

    def ensure(self, actor: AsyncActor) -> Found:
        """Have the workload of ``actor``, which has a template, exist as desired; remove those that it had before.

        Raises:
            ApiError: for a failure that says nothing of the workload itself.
        """
        keda = actor.spec.scaling.enabled and self._cluster.keda is not None
        if keda and desired.scaled_by_job(actor):
            found = self._apply(actor, self._scaled_jobs(), desired.scaled_job(actor, self._defaults))
        else:
            informer = self._cluster.workloads[actor.spec.workload.type]
            found = self._apply(actor, informer, desired.workload(actor, keda=keda))
        if found.verdict.status == "True":
            self._prune(actor, found.live)
        return found

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
        if digest(live) is None and not opted_out(live):
            return Found(status.workload_not_injected(kind, name), live)
        return Found(status.workload_found(kind, name), live)

    def _apply(self, actor: AsyncActor, informer: Informer, wanted: Object) -> Found:
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        live = self._cluster.get(informer, actor.metadata.namespace, name)
        if live is not None and controller_of(live) != actor.metadata.uid:
            going = desired.is_predecessors(live, actor)
            return Found(status.predecessors(kind, name) if going else status.workload_not_owned(kind, name))
        if live is not None and live["metadata"].get("deletionTimestamp"):
            return Found(status.workload_replaced(name), live)
        try:
            if kind == "Job" and live is not None and not _same_inputs(live, wanted):
                self._cluster.delete(informer, live)
                return Found(status.workload_replaced(name), live)
            if live is not None:
                self._hand_over_replicas(informer, live, wanted)
            result = self._cluster.ensure(informer, live, wanted)
        except Contested as contested:
            return Found(contested.verdict, live)
        except ApiError as error:
            verdict = status.workload_refused(kind, name, error)
            if verdict is None:
                raise
            return Found(verdict, live)
        if digest(result) is None:
            return Found(status.workload_not_injected(kind, name), result)
        return Found(status.workload_created(kind, name), result)

    def _hand_over_replicas(self, informer: Informer, live: Object, wanted: Object) -> None:
        """Before the operator stops to apply ``spec.replicas``, have another manager own its present value.

        A field that its only owner drops is reset to its default, which would scale the workload to one.
        """
        if _scaling(wanted) == "disabled" or _scaling(live) != "disabled":
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
        )

    def _prune(self, actor: AsyncActor, kept: Object | None) -> None:
        """Delete the workloads of another kind or name that the actor had before."""
        keep = kept["metadata"]["uid"] if kept is not None else ""
        for informer in self._cluster.injectable:
            for obj in informer.owned_by(actor.metadata.namespace, actor.metadata.uid):
                if obj["metadata"]["uid"] != keep:
                    self._cluster.delete(informer, obj)


def _annotation(obj: Object, name: str) -> Any:
    return (obj["metadata"].get("annotations") or {}).get(name)


def _scaling(workload: Object) -> Any:
    return _annotation(workload, ANNOTATION_SCALING)


def _same_inputs(live: Object, wanted: Object) -> bool:
    return bool(_annotation(live, ANNOTATION_APPLIED) == _annotation(wanted, ANNOTATION_APPLIED))
