"""Determines the generation of an actor's sidecar, and the queue that this sidecar consumes.

Three generations are in use. They differ in the queue's name, the protocol on the socket and the variables that they
read. The operator sets the variables of all generations, so only the names here depend on the generation.
See ``docs/sidecars.md``.
"""

import re
from typing import Final, Literal

from crds.models import AsyncActor
from injection.settings import SidecarDefaults

Generation = Literal["frames", "frames-namespaced", "http"]

QUEUE_PREFIX: Final = "asya-"

FIRST_NAMESPACED: Final = (0, 2, 0)
FIRST_HTTP: Final = (0, 5, 1)
MISLABELLED: Final = (1, 0, 0)
"""This tag contains the code of 0.3 by mistake. The http generation continues from 0.5.16 to 1.0.6."""

_VERSION = re.compile(r"^v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?:[-+._].*)?$")
_NEWEST = 10**9
"""Value for a missing part of a version. The tag ``0.5``, for example, always points to the newest 0.5 release."""


def generation_of_image(image: str) -> Generation:
    """Return the generation for an image's tag. A tag that is not a version means the newest generation."""
    name = image.partition("@")[0].rpartition("/")[2]
    match = _VERSION.match(name.partition(":")[2])
    if match is None:
        return "http"
    version = tuple(_NEWEST if part is None else int(part) for part in match.groups())
    if version < FIRST_NAMESPACED:
        return "frames"
    return "frames-namespaced" if version < FIRST_HTTP or version == MISLABELLED else "http"


def sidecar_image(actor: AsyncActor, defaults: SidecarDefaults) -> str:
    """Return the image of the actor's sidecar."""
    return actor.spec.sidecar.image or defaults.image


def generation(actor: AsyncActor, defaults: SidecarDefaults) -> Generation:
    """Return the generation of the actor's sidecar: from the actor, else the operator's setting, else the image."""
    setting = actor.spec.sidecar.generation or defaults.generation
    return generation_of_image(sidecar_image(actor, defaults)) if setting == "auto" else setting


def sidecar_actor_name(actor: AsyncActor, defaults: SidecarDefaults) -> str:
    """Return ``ASYA_ACTOR_NAME``. The sidecar derives its queue from it, and routes name the actor by it."""
    name = own_value(actor, "ASYA_ACTOR_NAME")
    if name:
        return name
    queue, prefix = actor.spec.queue_name or "", _prefix(actor, defaults)
    return queue[len(prefix) :] if queue.startswith(prefix) and queue != prefix else actor.metadata.name


def consumed_queue(actor: AsyncActor, defaults: SidecarDefaults) -> str:
    """Return the queue that the actor's sidecar consumes."""
    return _prefix(actor, defaults) + sidecar_actor_name(actor, defaults)


def queue_name(actor: AsyncActor, defaults: SidecarDefaults) -> str:
    """Return the actor's queue: ``spec.queueName``, else the queue that its sidecar consumes."""
    return actor.spec.queue_name or consumed_queue(actor, defaults)


def _prefix(actor: AsyncActor, defaults: SidecarDefaults) -> str:
    if generation(actor, defaults) == "frames":
        return QUEUE_PREFIX
    return f"{QUEUE_PREFIX}{own_value(actor, 'ASYA_NAMESPACE') or actor.metadata.namespace}-"


def own_value(actor: AsyncActor, name: str) -> str | None:
    """Return the literal value of a variable in ``spec.sidecar.env``. The last entry of that name counts.

    Returns None if the variable is absent, uses ``valueFrom`` or refers to another variable.
    """
    literal = None
    for entry in actor.spec.sidecar.env or ():
        if entry["name"] == name:
            literal = entry.get("value")
    return literal if isinstance(literal, str) and "$(" not in literal else None
