"""Templates that admission refuses because no pod of theirs could run, each with the field and the remedy.

The API server or the kubelet would refuse such a pod too, but later, and by a message that says nothing of the sidecar.
"""

import re
from decimal import Decimal
from typing import Any

from injection.inject import Denied
from injection.plan import Object, Plan

_QUANTITY = re.compile(r"([0-9]*\.?[0-9]+)(Ki|Mi|Gi|Ti|Pi|Ei|m|k|M|G|T|P|E)?")
_UNITS: dict[str, Decimal] = {
    **{unit: Decimal(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
    **{unit: Decimal(1000) ** power for power, unit in enumerate(("m", "", "k", "M", "G", "T", "P", "E"), -1)},
}
_REMEDY = "take the label asya.io/actor off, or move the workload to Linux nodes"


def refuse(template: Object, plan: Plan) -> None:
    """Refuse a template that could not run with ``plan`` in it.

    Raises:
        Denied: with the field, what was found and what to do.
    """
    spec = template.get("spec") or {}
    if field := _windows(spec):
        raise Denied(f"{field}: the sidecar runs on Linux and cannot join a Windows pod; {_REMEDY}")
    _refuse_small_pod(spec, plan)


def _windows(spec: Object) -> str:
    """The field that makes this a Windows pod, but for those that injection itself looks at."""
    if _map(spec.get("securityContext")).get("windowsOptions"):
        return "spec.securityContext.windowsOptions"
    for place in ("containers", "initContainers"):
        for i, container in enumerate(_list(spec.get(place))):
            if _map(_map(container).get("securityContext")).get("windowsOptions"):
                return f"spec.{place}[{i}].securityContext.windowsOptions"
    required = _map(_map(spec.get("affinity")).get("nodeAffinity")).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    terms = _list(_map(required).get("nodeSelectorTerms"))
    if terms and all(any(_wants_windows(e) for e in _list(_map(t).get("matchExpressions"))) for t in terms):
        return "spec.affinity.nodeAffinity"
    return ""


def _wants_windows(expression: Any) -> bool:
    found = _map(expression)
    wanted = (found.get("key"), found.get("operator"), found.get("values"))
    return wanted == ("kubernetes.io/os", "In", ["windows"])


def _refuse_small_pod(spec: Object, plan: Plan) -> None:
    pod = _quantity(_map(_map(spec.get("resources")).get("limits")).get("memory"))
    theirs = _map(plan.sidecar.get("resources"))
    for kind in ("limits", "requests"):
        sidecar = _quantity(_map(theirs.get(kind)).get("memory"))
        if pod is not None and sidecar is not None and pod < sidecar:
            raise Denied(
                f"spec.resources.limits.memory: {spec['resources']['limits']['memory']} for the whole pod is below the "
                f"sidecar's {kind}.memory of {theirs[kind]['memory']}; raise it, or set spec.sidecar.resources of the "
                "AsyncActor"
            )


def _quantity(value: Any) -> Decimal | None:
    found = _QUANTITY.fullmatch(str(value)) if isinstance(value, str | int) else None
    return Decimal(found[1]) * _UNITS[found[2] or ""] if found is not None else None


def _map(value: Any) -> Object:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
