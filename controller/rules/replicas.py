"""Who owns a workload's replicas: the operator, KEDA, or nobody that the operator knows."""

from controller.rules import desired
from crds.models import AsyncActor
from crds.names import ANNOTATION_SCALING
from kube.objects import Object, annotation


def starts_asleep(actor: AsyncActor, *, keda: bool) -> bool:
    """Whether a new workload of the actor has no pods until KEDA wakes it."""
    return keda and actor.spec.workload.type in desired.SCALABLE and actor.spec.scaling.min_replicas == 0


def desired_workload(actor: AsyncActor, live: Object | None, *, keda: bool) -> Object:
    """The workload that ``actor`` wants where ``live`` is now: who owns its replicas depends on both."""
    if live is None and starts_asleep(actor, keda=keda):
        return desired.workload(actor, keda=False, replicas=0)
    was_keda = live is not None and live["kind"] in desired.SCALABLE and scaling_mode(live) == "enabled"
    if was_keda and actor.spec.scaling.enabled:
        return desired.workload(actor, keda=True)  # also where KEDA has vanished: its replicas stay as they are
    asleep = was_keda and live is not None and live["spec"].get("replicas", 1) == 0
    if asleep and not actor.spec.scaling.enabled and actor.spec.workload.replicas is None:
        return desired.workload(actor, keda=False, replicas=1)  # nobody else would wake it
    return desired.workload(actor, keda=keda)


def scaling_mode(workload: Object) -> str:
    """Who owned the workload's replicas when the operator applied it last; empty where it never did."""
    return annotation(workload, ANNOTATION_SCALING)
