"""Collects warnings about risks in a valid AsyncActor.

Admission returns them to ``kubectl apply``. The controller writes them as Events and into the status, because users of
GitOps never see admission's response. The command shows them in ``explain`` and ``render``.
"""

from crds.models import AsyncActor
from injection.generations import consumed_queue
from injection.inject import find_runtime
from injection.scaling_risks import TEMPLATE, scaling_risks
from injection.settings import SidecarDefaults
from injection.sidecar_limits import sidecar_limits


def warnings_of(actor: AsyncActor, defaults: SidecarDefaults) -> list[str]:
    """Return the warnings about ``actor``. Each names the field, its value and what to do."""
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
        f"spec.timeout.processing ({timeout.processing}s), so a stopping pod may abort a message; "
        "leave the field out, or set it higher"
    ]


def _queue(actor: AsyncActor, defaults: SidecarDefaults) -> list[str]:
    queue, consumed = actor.spec.queue_name, consumed_queue(actor, defaults)
    if queue in (None, consumed):
        return []
    return [
        f"spec.queueName: found {queue!r}, but the actor's sidecar consumes {consumed!r}; "
        f"leave the field out, or set it to {consumed!r}"
    ]


def _resources(actor: AsyncActor) -> list[str]:
    runtime = find_runtime(actor.spec.workload.template)
    if runtime is None or (runtime.get("resources") or {}).get("limits"):
        return []
    return [
        f"{TEMPLATE}.spec.containers[{runtime['name']}].resources.limits: not set, so one actor may use all memory of "
        "a node; set a memory limit"
    ]
