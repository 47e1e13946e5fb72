"""What is unwise in a valid AsyncActor: one pure function, whose answer everybody gets to read.

Admission shows it at ``kubectl apply``, the controller as Events and in the status, since whoever deploys by GitOps
never sees an answer of admission, and the command line in ``explain`` and ``render``.
"""

from crds.models import AsyncActor
from injection.inject import Denied, runtime_container
from injection.plan import consumed_by_released_sidecars
from injection.settings import SidecarDefaults

TEMPLATE = "spec.workload.template"


def warnings_of(actor: AsyncActor, defaults: SidecarDefaults) -> list[str]:
    """Warnings about ``actor``, each of which names the field, what was found and what to do."""
    return [*_timeout(actor), *_queue(actor), *_resources(actor)]


def _timeout(actor: AsyncActor) -> list[str]:
    timeout = actor.spec.timeout
    if timeout.graceful_shutdown > timeout.processing:
        return []
    return [
        f"spec.timeout.gracefulShutdown: {timeout.graceful_shutdown}s is not more than "
        f"spec.timeout.processing ({timeout.processing}s), so a pod that stops may cut a message short"
    ]


def _queue(actor: AsyncActor) -> list[str]:
    if consumed_by_released_sidecars(actor):
        return []
    return [
        f"spec.queueName: released sidecars consume queues named asya-<name>, so they will consume "
        f"'asya-{actor.metadata.name}' and not {actor.spec.queue_name!r}; use a name that starts with 'asya-', "
        "or a sidecar that reads ASYA_QUEUE_NAME"
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
