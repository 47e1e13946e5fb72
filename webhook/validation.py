"""Validates an AsyncActor at ``kubectl apply``. It returns errors that name the field, and warnings about risks.

The API server validates the schema itself. This module validates the same models again, for API servers without CEL.
Then it tries to inject the actor's template, because only injection knows which templates it supports.
"""

from typing import Any

from crds.parse import InvalidActor, parse_actor
from injection.inject import Denied, inject
from injection.plan import make_plan
from injection.settings import SidecarDefaults
from injection.warnings import warnings_of

TEMPLATE = "spec.workload.template"


def validate(obj: dict[str, Any], defaults: SidecarDefaults) -> tuple[list[str], list[str]]:
    """Return errors and warnings for ``obj``, an AsyncActor as JSON. Without errors, the actor is valid."""
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
