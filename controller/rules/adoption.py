"""Whether an object that already exists is an actor's, may become it, or must be left alone."""

from controller.rules import status
from controller.rules.status import Verdict
from crds.models import AsyncActor
from crds.names import ANNOTATION_APPLIED
from injection.ownership import ownership
from kube.objects import Object, annotation


def not_ours(actor: AsyncActor, live: Object, wanted: Object) -> Verdict | None:
    """What it means that ``live``, which is there already, is not the actor's; None if it is, or can be adopted."""
    kind, name = wanted["kind"], wanted["metadata"]["name"]
    relation = ownership(live, actor.metadata.name, actor.metadata.uid)
    if relation == "owned":
        return None
    if relation == "predecessor" or (relation == "orphaned" and live["metadata"].get("deletionTimestamp")):
        return status.predecessors(kind, name)
    if relation == "orphaned" and _has_same_shape(live, wanted):
        return None
    return status.workload_not_owned(kind, name)


def _has_same_shape(live: Object, wanted: Object) -> bool:
    """Whether an orphan can become what is wanted without being made anew."""
    if wanted["kind"] == "Job":
        return has_same_inputs(live, wanted)
    return bool(live["spec"].get("selector") == wanted["spec"].get("selector"))


def has_same_inputs(live: Object, wanted: Object) -> bool:
    """Whether ``live`` was made of the same inputs as ``wanted``, by the digest that both carry."""
    return annotation(live, ANNOTATION_APPLIED) == annotation(wanted, ANNOTATION_APPLIED)
