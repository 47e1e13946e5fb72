"""Decides the relation between an object and an actor.

Every code path that writes or deletes an object calls :func:`ownership` first and follows this table. The label is
``asya.io/actor``. The controller is the owner reference with ``controller: true``.

| | criterion | the operator writes | if the actor changes | if the actor is deleted |
|---|---|---|---|---|
| owned | its controller is this actor, by uid | all desired fields | applies it again | leaves it to garbage collection |
| borrowed | the label, and ``spec.workload.name`` without a template | sidecar, replicas while scaled | re-injects it | restores its replicas, removes its label |
| labelled | the label | sidecar | re-injects it | removes its label |
| orphaned | the label, ``managed-by`` and ``asya.io/applied``, no controller | sidecar | adopts it if it has the actor's name and shape, else re-injects it | leaves it as it is |
| foreign | none of the above; also objects of other actors | nothing | nothing | nothing |
| predecessor | its controller is an actor of this name with another uid | nothing | waits until it is gone | leaves it to garbage collection |
"""  # noqa: E501 - a table

from typing import Final, Literal

from crds.names import ANNOTATION_APPLIED, API_VERSION, KIND, LABEL_ACTOR, LABEL_MANAGED_BY, OPERATOR
from injection.access import map_of
from kube.objects import Object

Ownership = Literal["owned", "borrowed", "labelled", "orphaned", "foreign", "predecessor"]

RELEASED: Final[tuple[Ownership, ...]] = ("borrowed", "labelled")
"""Objects that the operator must release when the actor is deleted. Garbage collection does not."""
RENEWED: Final[tuple[Ownership, ...]] = ("owned", "borrowed", "labelled", "orphaned")
"""Objects that are injected with the actor's plan."""

_GROUP = API_VERSION.partition("/")[0]


def ownership(obj: Object, name: str, uid: str, borrows: tuple[str, str] | None = None) -> Ownership:
    """Return the relation of ``obj`` to the actor ``name`` in the same namespace.

    Args:
        obj: an object with at least its kind, name, labels, annotations and owner references.
        name: the actor's name.
        uid: the actor's uid. Empty if the actor does not exist.
        borrows: kind and name of the workload that the actor names instead of a template.
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
    """Return the owner reference to the AsyncActor that controls ``obj``. None if it has no or another controller."""
    owner = _controller(obj)
    return owner if owner is not None and _is_actor(owner) else None


def _controller(obj: Object) -> Object | None:
    return next((o for o in obj["metadata"].get("ownerReferences") or () if o.get("controller")), None)


def _is_actor(reference: Object) -> bool:
    return reference.get("kind") == KIND and str(reference.get("apiVersion", "")).partition("/")[0] == _GROUP


def _was_applied(obj: Object) -> bool:
    """Whether the operator created ``obj`` for an actor. A user who labels a workload sets neither of these."""
    return map_of(obj, "labels").get(LABEL_MANAGED_BY) == OPERATOR and ANNOTATION_APPLIED in map_of(obj, "annotations")
