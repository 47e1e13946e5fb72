"""Whether an actor's sidecar consumes the queue in ``spec.queueName``: a pure function of its spec.

Released sidecars derive the queue's name from the actor's name. Any other sidecar may consume any queue, so there is
no verdict on it unless its generation is set.
"""

from typing import Final

from controller.rules.remedies import remedy
from controller.rules.status import Verdict, false, true
from crds.models import AsyncActor
from injection.generations import consumed_queue, queue_name, sidecar_image
from injection.settings import SidecarDefaults

KNOWN_IMAGE: Final = "asya-sidecar"
"""The name of the released image, in any registry."""


def queue_verdict(actor: AsyncActor, defaults: SidecarDefaults) -> Verdict:
    """The condition QueueConsumed."""
    queue, consumed = queue_name(actor, defaults), consumed_queue(actor, defaults)
    if queue == consumed:
        return true("QueueConsumed", f"the sidecar consumes the queue {queue!r}")
    if not is_known_sidecar(actor, defaults):
        image = sidecar_image(actor, defaults)
        return true("SidecarUnknown", f"the operator does not know whether the sidecar {image!r} consumes {queue!r}")
    message = f"spec.queueName is {queue!r}, but the actor's sidecar consumes {consumed!r}"
    return false("QueueMismatch", f"{message}. {remedy('QueueMismatch', consumed=repr(consumed))}")


def is_known_sidecar(actor: AsyncActor, defaults: SidecarDefaults) -> bool:
    """Whether the operator knows which queue the sidecar consumes: by its image's name or the generation setting."""
    name = sidecar_image(actor, defaults).partition("@")[0].rpartition("/")[2].partition(":")[0]
    setting = actor.spec.sidecar.generation or defaults.generation
    return name == KNOWN_IMAGE or setting != "auto"
