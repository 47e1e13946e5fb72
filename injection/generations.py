"""Which generation of the sidecar an actor has, and which queue that one consumes.

Three generations are in use. They differ in the queue's name, in what they speak on the socket and in what
they read from their environment; the operator sets the variables of all of them side by side, so that only
the names here depend on the generation. Docs: ``docs/sidecars.md``.
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
"""Published by accident with the code of 0.3: the http line goes on from 0.5.16 to 1.0.6."""

_VERSION = re.compile(r"^v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?:[-+._].*)?$")
_NEWEST = 10**9
"""Stands for the part of a version that a tag leaves open: the tag ``0.5`` moves to the newest of that line."""


def generation_of_image(image: str) -> Generation:
    """The generation that an image's tag tells; without a tag that is a version, the newest."""
    name = image.partition("@")[0].rpartition("/")[2]
    match = _VERSION.match(name.partition(":")[2])
    if match is None:
        return "http"
    version = tuple(_NEWEST if part is None else int(part) for part in match.groups())
    if version < FIRST_NAMESPACED:
        return "frames"
    return "frames-namespaced" if version < FIRST_HTTP or version == MISLABELLED else "http"


def sidecar_image(actor: AsyncActor, defaults: SidecarDefaults) -> str:
    """The image of the actor's sidecar."""
    return actor.spec.sidecar.image or defaults.image


def generation(actor: AsyncActor, defaults: SidecarDefaults) -> Generation:
    """The generation of the actor's sidecar: as the actor says, else as the operator's setting, else by the image."""
    setting = actor.spec.sidecar.generation or defaults.generation
    return generation_of_image(sidecar_image(actor, defaults)) if setting == "auto" else setting


def sidecar_actor_name(actor: AsyncActor, defaults: SidecarDefaults) -> str:
    """``ASYA_ACTOR_NAME``, from which the sidecar derives its queue, and by which routes name the actor."""
    name = own_value(actor, "ASYA_ACTOR_NAME")
    if name:
        return name
    queue, prefix = actor.spec.queue_name or "", _prefix(actor, defaults)
    return queue[len(prefix) :] if queue.startswith(prefix) and queue != prefix else actor.metadata.name


def consumed_queue(actor: AsyncActor, defaults: SidecarDefaults) -> str:
    """The queue that the actor's sidecar consumes."""
    return _prefix(actor, defaults) + sidecar_actor_name(actor, defaults)


def queue_name(actor: AsyncActor, defaults: SidecarDefaults) -> str:
    """The actor's queue: the one that it names, else the one that its sidecar consumes."""
    return actor.spec.queue_name or consumed_queue(actor, defaults)


def _prefix(actor: AsyncActor, defaults: SidecarDefaults) -> str:
    if generation(actor, defaults) == "frames":
        return QUEUE_PREFIX
    return f"{QUEUE_PREFIX}{own_value(actor, 'ASYA_NAMESPACE') or actor.metadata.namespace}-"


def own_value(actor: AsyncActor, name: str) -> str | None:
    """The plain value that the actor itself gives a variable of its sidecar; the last of a name counts."""
    result = None
    for entry in actor.spec.sidecar.env or ():
        if entry["name"] == name:
            result = entry.get("value")
    return result if isinstance(result, str) and "$(" not in result else None
