"""The owner of a workload's replicas: the operator, KEDA, or another writer."""

from controller.rules import desired
from crds.models import AsyncActor
from crds.names import ANNOTATION_SCALING
from kube.objects import Object, annotation

CREATED = "created"
"""The mode of a workload that the operator created without pods, until its next apply.

KEDA scales it as in the mode ``enabled``. But the operator owns the replicas until KEDA changes them for the first
time, and must give them away before it applies the workload without them.
"""


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
        manifest = _in_mode(desired.workload(actor, keda=True), CREATED)
        return {**manifest, "spec": {**manifest["spec"], "replicas": 0}}
    mode = scaling_mode(live) if live is not None and live["kind"] in desired.SCALABLE else ""
    if mode in ("enabled", CREATED) and actor.spec.scaling.enabled:
        # Also after KEDA was removed, so that the replicas do not change.
        return _in_mode(desired.workload(actor, keda=True), mode)
    is_asleep = live is not None and mode in ("enabled", CREATED) and live["spec"].get("replicas", 1) == 0
    if is_asleep and not keda and actor.spec.workload.replicas is None:
        return desired.workload(actor, keda=False, replicas=1)  # only the operator can start a pod now
    return desired.workload(actor, keda=keda)


def applied_again(manifest: Object) -> Object:
    """``manifest`` for a second apply: its mode is no longer :data:`CREATED`."""
    return _in_mode(manifest, "enabled") if scaling_mode(manifest) == CREATED else manifest


def scaling_mode(workload: Object) -> str:
    """The mode of the last apply: ``enabled`` (KEDA owns the replicas), ``disabled`` (the operator), ``unmanaged``.

    :data:`CREATED` after the first apply of a workload without pods. Empty if the operator never applied the workload.
    """
    return annotation(workload, ANNOTATION_SCALING)


def _in_mode(manifest: Object, mode: str) -> Object:
    """The same manifest, with the same digest, in another mode."""
    annotations = {**manifest["metadata"]["annotations"], ANNOTATION_SCALING: mode}
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": annotations}}
