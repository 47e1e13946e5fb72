"""Whether the queue that an actor names is the one that its sidecar consumes: a pure function of its spec.

Released sidecars derive the queue's name from the actor's and take no other. A sidecar of another project may
consume any queue, so there is no verdict on it, unless its generation is set.
"""

from typing import Final

from controller.rules.remedies import remedy
from controller.rules.status import Verdict, false, true
from crds.models import AsyncActor
from injection.generations import consumed_queue, queue_name, sidecar_image
from injection.settings import SidecarDefaults

KNOWN_IMAGE: Final = "asya-sidecar"
"""The released image's name, wherever it is mirrored to."""


def queue_verdict(actor: AsyncActor, defaults: SidecarDefaults) -> Verdict:
    """The condition QueueConsumed."""
    queue, consumed = queue_name(actor, defaults), consumed_queue(actor, defaults)
    if queue == consumed:
        return true("QueueConsumed", f"the sidecar consumes the queue {queue!r}")
    if not is_known_sidecar(actor, defaults):
        image = sidecar_image(actor, defaults)
        return true("SidecarUnknown", f"whether the sidecar {image!r} consumes the queue {queue!r} is not known")
    message = f"spec.queueName is {queue!r}, and the actor's sidecar consumes {consumed!r}"
    return false("QueueMismatch", f"{message}. {remedy('QueueMismatch', consumed=repr(consumed))}")


def is_known_sidecar(actor: AsyncActor, defaults: SidecarDefaults) -> bool:
    """Whether it is known which queue the actor's sidecar consumes: by its image's name, or since a setting says it."""
    name = sidecar_image(actor, defaults).partition("@")[0].rpartition("/")[2].partition(":")[0]
    setting = actor.spec.sidecar.generation or defaults.generation
    return name == KNOWN_IMAGE or setting != "auto"
