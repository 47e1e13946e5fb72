"""What an object is to an actor, decided in one place.

Every path that writes or deletes asks :func:`ownership` first and does what this table says. The label is
``asya.io/actor``; the controller is the owner reference with ``controller: true``.

| | known by | the operator writes | the actor changes | the actor is deleted |
|---|---|---|---|---|
| owned | its controller is this actor, by uid | all that it wants of it | applied again | left to garbage collection |
| borrowed | the label, and ``spec.workload.name`` without a template | sidecar, replicas while scaled | re-injected | its replicas are restored, its label is taken off |
| labelled | the label | sidecar | re-injected | its label is taken off |
| orphaned | the label, ``managed-by`` and ``asya.io/applied``, no controller | sidecar | one of the actor's name and shape is adopted, others are re-injected | left as it is |
| foreign | anything else, another actor's included | nothing | nothing | nothing |
| predecessor | its controller is an actor of this name with another uid | nothing | waited for | left to garbage collection |
"""  # noqa: E501 - a table

from typing import Final, Literal

from crds.names import ANNOTATION_APPLIED, API_VERSION, KIND, LABEL_ACTOR, LABEL_MANAGED_BY, OPERATOR
from injection.access import Object, map_of

Ownership = Literal["owned", "borrowed", "labelled", "orphaned", "foreign", "predecessor"]

RELEASED: Final[tuple[Ownership, ...]] = ("borrowed", "labelled")
"""What an actor that goes has to let go: no garbage collection does."""
RENEWED: Final[tuple[Ownership, ...]] = ("owned", "borrowed", "labelled", "orphaned")
"""What is injected by the actor's plan."""

_GROUP = API_VERSION.partition("/")[0]


def ownership(obj: Object, name: str, uid: str, borrows: tuple[str, str] | None = None) -> Ownership:
    """What ``obj`` is to the actor ``name`` of its namespace.

    Args:
        obj: an object, as far as its kind, name, labels, annotations and owner references go.
        name: the actor's name.
        uid: the actor's uid; empty if there is no such actor (any more).
        borrows: kind and name of the workload that the actor brings along instead of a template.
    """
    actor = controlling_actor(obj)
    if actor is not None:
        if uid and actor.get("uid") == uid:
            return "owned"
        return "predecessor" if actor.get("name") == name else "foreign"
    if map_of(obj, "labels").get(LABEL_ACTOR) != name:
        return "foreign"
    if borrows is not None and (obj.get("kind"), obj["metadata"]["name"]) == borrows:
        return "borrowed"
    return "orphaned" if _controller(obj) is None and _was_applied(obj) else "labelled"


def controlling_actor(obj: Object) -> Object | None:
    """The owner reference to the AsyncActor that controls ``obj``; None if another object does, or none."""
    owner = _controller(obj)
    return owner if owner is not None and _is_actor(owner) else None


def _controller(obj: Object) -> Object | None:
    return next((o for o in obj["metadata"].get("ownerReferences") or () if o.get("controller")), None)


def _is_actor(reference: Object) -> bool:
    return reference.get("kind") == KIND and str(reference.get("apiVersion", "")).partition("/")[0] == _GROUP


def _was_applied(obj: Object) -> bool:
    """Whether the operator made it for an actor: whoever labels a workload of his own sets neither of these."""
    return map_of(obj, "labels").get(LABEL_MANAGED_BY) == OPERATOR and ANNOTATION_APPLIED in map_of(obj, "annotations")
