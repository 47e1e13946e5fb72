"""The owner of a workload's replicas: the operator, KEDA, or another writer."""

from controller.rules import desired
from crds.models import AsyncActor
from crds.names import ANNOTATION_SCALING
from kube.objects import Object, annotation

STARTING = "starting"
"""The mode of a new workload without pods, until the operator has given its replicas to KEDA."""


def starts_asleep(actor: AsyncActor, *, keda: bool) -> bool:
    """Whether a new workload of the actor has no pods until KEDA scales it up."""
    return keda and actor.spec.workload.type in desired.SCALABLE and actor.spec.scaling.min_replicas == 0


def desired_workload(actor: AsyncActor, live: Object | None, *, keda: bool) -> Object:
    """The workload to apply for ``actor``. The owner of the replicas depends on the actor and on ``live``.

    Args:
        actor: an actor with a template.
        live: the workload now; None if it does not exist.
        keda: whether KEDA shall scale it.
    """
    if live is None and starts_asleep(actor, keda=keda):
        # The same object with its digest, so that no second apply is needed after the replicas are given to KEDA.
        manifest = desired.workload(actor, keda=True)
        annotations = {**manifest["metadata"]["annotations"], ANNOTATION_SCALING: STARTING}
        metadata = {**manifest["metadata"], "annotations": annotations}
        return {**manifest, "metadata": metadata, "spec": {**manifest["spec"], "replicas": 0}}
    mode = scaling_mode(live) if live is not None and live["kind"] in desired.SCALABLE else ""
    if mode == "enabled" and actor.spec.scaling.enabled:
        return desired.workload(actor, keda=True)  # also after KEDA was removed, so that the replicas do not change
    is_asleep = live is not None and mode in ("enabled", STARTING) and live["spec"].get("replicas", 1) == 0
    if is_asleep and not keda and actor.spec.workload.replicas is None:
        return desired.workload(actor, keda=False, replicas=1)  # only the operator can start a pod now
    return desired.workload(actor, keda=keda)


def scaling_mode(workload: Object) -> str:
    """The mode of the last apply: ``enabled`` (KEDA owns the replicas), ``disabled`` (the operator), ``unmanaged``.

    ``starting`` until the replicas of a new workload belong to KEDA. Empty if the operator never applied the workload.
    """
    return annotation(workload, ANNOTATION_SCALING)
