"""Checks an AsyncActor at ``kubectl apply``: errors that name the field, warnings for the unwise.

The API server checks the schema itself; here the same models are run once more, for clusters whose
API server knows no CEL, and then what only injection can tell: whether the actor's template can be
injected. It is tried, so that there is no second description of what is allowed.
"""

from typing import Any

from crds.parse import InvalidActor, parse_actor
from injection.inject import Denied, inject
from injection.plan import make_plan
from injection.settings import SidecarDefaults
from injection.warnings import warnings_of

TEMPLATE = "spec.workload.template"


def validate(obj: dict[str, Any], defaults: SidecarDefaults) -> tuple[list[str], list[str]]:
    """Errors and warnings for ``obj``, an AsyncActor as JSON. Valid if there are no errors."""
    try:
        actor = parse_actor(obj)
    except InvalidActor as invalid:
        return invalid.errors, []
    template = actor.spec.workload.template
    try:
        plan = make_plan(actor, defaults)
        if template is not None:
            inject(template, plan, job=actor.spec.workload.type == "Job")
    except InvalidActor as invalid:
        return invalid.errors, []
    except Denied as denied:
        return [f"{TEMPLATE}.{denied}"], []
    return [], warnings_of(actor, defaults)
