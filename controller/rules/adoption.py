"""Whether the actor owns an object that already exists, may adopt it, or must leave it alone."""

from controller.rules import status
from controller.rules.status import Verdict
from crds.models import AsyncActor
from crds.names import ANNOTATION_APPLIED
from injection.ownership import ownership
from kube.objects import Object, annotation


def ownership_verdict(actor: AsyncActor, live: Object, manifest: Object) -> Verdict | None:
    """None if the actor owns ``live`` or can adopt it; else a verdict that says why not.

    Args:
        actor: the actor.
        live: the object that exists.
        manifest: the object that the operator would apply.
    """
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    relation = ownership(live, actor.metadata.name, actor.metadata.uid)
    if relation == "owned":
        return None
    if relation == "predecessor" or (relation == "orphaned" and live["metadata"].get("deletionTimestamp")):
        return status.owned_by_predecessor(kind, name)
    if relation == "orphaned" and _has_same_shape(live, manifest):
        return None
    return status.workload_not_owned(kind, name)


def _has_same_shape(live: Object, manifest: Object) -> bool:
    """Whether an orphan can be changed to ``manifest`` without deleting it: the immutable fields are equal."""
    if manifest["kind"] == "Job":
        return has_same_inputs(live, manifest)
    return bool(live["spec"].get("selector") == manifest["spec"].get("selector"))


def has_same_inputs(live: Object, manifest: Object) -> bool:
    """Whether both objects were made from the same inputs, by the digest in their annotations."""
    return annotation(live, ANNOTATION_APPLIED) == annotation(manifest, ANNOTATION_APPLIED)
