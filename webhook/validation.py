"""Checks an AsyncActor at ``kubectl apply``: errors that name the field, warnings for the unwise.

The API server checks the schema itself; here the same models are run once more, for clusters whose
API server knows no CEL, and then what only injection can tell: whether the actor's template can be
injected. It is tried, so that there is no second description of what is allowed.
"""

from typing import Any

from crds.models import AsyncActor
from crds.parse import InvalidActor, parse_actor
from injection.inject import Denied, inject, runtime_container
from injection.plan import consumed_by_released_sidecars, make_plan
from injection.settings import SidecarDefaults

TEMPLATE = "spec.workload.template"


def validate(obj: dict[str, Any], defaults: SidecarDefaults) -> tuple[list[str], list[str]]:
    """Errors and warnings for ``obj``, an AsyncActor as JSON. Valid if there are no errors."""
    try:
        actor = parse_actor(obj)
    except InvalidActor as invalid:
        return invalid.errors, []
    template = actor.spec.workload.template
    if template is None:
        return [], _warnings(actor)
    try:
        inject(template, make_plan(actor, defaults), job=actor.spec.workload.type == "Job")
    except Denied as denied:
        return [f"{TEMPLATE}.{denied}"], []
    return [], _warnings(actor)


def _warnings(actor: AsyncActor) -> list[str]:
    spec = actor.spec
    warnings = []
    if spec.timeout.graceful_shutdown <= spec.timeout.processing:
        warnings.append(
            f"spec.timeout.gracefulShutdown: {spec.timeout.graceful_shutdown}s is not more than "
            f"spec.timeout.processing ({spec.timeout.processing}s), so a pod that stops may cut a message short"
        )
    if not consumed_by_released_sidecars(actor):
        warnings.append(
            f"spec.queueName: released sidecars consume queues named asya-<name>, so they will consume "
            f"'asya-{actor.metadata.name}' and not {spec.queue_name!r}; use a name that starts with 'asya-', "
            "or a sidecar that reads ASYA_QUEUE_NAME"
        )
    template = spec.workload.template
    if template is not None:
        name = runtime_container(template)
        runtime = next(c for c in template["spec"]["containers"] if c["name"] == name)
        if not (runtime.get("resources") or {}).get("limits"):
            warnings.append(
                f"{TEMPLATE}.spec.containers[{name}].resources.limits: not set, "
                "so one actor may take all of a node's memory"
            )
    return warnings
