"""What is unwise in a valid AsyncActor: one pure function, whose answer everybody gets to read.

Admission shows it at ``kubectl apply``, the controller as Events and in the status, since whoever deploys by GitOps
never sees an answer of admission, and the command line in ``explain`` and ``render``.
"""

from crds.models import AsyncActor
from injection.generations import consumed_queue
from injection.inject import Denied, runtime_container
from injection.scaling_risks import TEMPLATE, scaling_risks
from injection.settings import SidecarDefaults
from injection.sidecar_limits import sidecar_limits


def warnings_of(actor: AsyncActor, defaults: SidecarDefaults) -> list[str]:
    """Warnings about ``actor``, each of which names the field, what was found and what to do."""
    return [
        *_timeout(actor),
        *_queue(actor, defaults),
        *sidecar_limits(actor, defaults),
        *scaling_risks(actor),
        *_resources(actor),
    ]


def _timeout(actor: AsyncActor) -> list[str]:
    timeout = actor.spec.timeout
    if timeout.grace_period > timeout.processing:
        return []
    return [
        f"spec.timeout.gracefulShutdown: {timeout.grace_period}s is not more than "
        f"spec.timeout.processing ({timeout.processing}s), so a pod that stops may cut a message short"
    ]


def _queue(actor: AsyncActor, defaults: SidecarDefaults) -> list[str]:
    queue, consumed = actor.spec.queue_name, consumed_queue(actor, defaults)
    if queue in (None, consumed):
        return []
    return [
        f"spec.queueName: the actor's sidecar consumes {consumed!r} and not {queue!r}; "
        "leave the field out, or use the name that the sidecar consumes"
    ]


def _resources(actor: AsyncActor) -> list[str]:
    template = actor.spec.workload.template
    if template is None:
        return []
    try:
        name = runtime_container(template)
    except Denied:
        return []  # an error, and told as one
    runtime = next(c for c in template["spec"]["containers"] if c["name"] == name)
    if (runtime.get("resources") or {}).get("limits"):
        return []
    return [
        f"{TEMPLATE}.spec.containers[{name}].resources.limits: not set, so one actor may take all of a node's memory"
    ]
