"""Whether a template has the shape that injection relies on, told by the first field that has not.

The API server checks the built-in kinds before admission sees them, but not a ScaledJob's template or an
AsyncActor's, whose fields it keeps as they are; and a review may come from anyone.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

Shape = type | Mapping[str, Any] | list[Any]
"""A type; a mapping of known keys (``*`` for all) to shapes; or a list of one shape for all its elements."""

_MAP: Shape = {"*": str}
_CONTAINER: Shape = {
    "name": str,
    "env": [{"name": str, "value": str, "valueFrom": dict}],
    "volumeMounts": [{"name": str, "mountPath": str}],
    "ports": [{"name": str, "containerPort": int, "protocol": str}],
    "command": [str],
    "securityContext": dict,
    "resources": {"limits": dict, "requests": dict},
}
METADATA: Shape = {"labels": _MAP, "annotations": _MAP, "ownerReferences": [dict]}
TEMPLATE: Shape = {
    "metadata": METADATA,
    "spec": {
        "containers": [_CONTAINER],
        "initContainers": [_CONTAINER],
        "ephemeralContainers": [_CONTAINER],
        "volumes": [{"name": str}],
        "terminationGracePeriodSeconds": int,
        "restartPolicy": str,
        "os": {"name": str},
        "nodeSelector": _MAP,
        "securityContext": dict,
    },
}
CLAIM: Shape = {"metadata": {"name": str}, "spec": dict}
_WORDS = {str: "a string", int: "a whole number", dict: "an object", list: "a list"}


class Fault(NamedTuple):
    """A field that has not the shape it must have."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path or 'the template'}: {self.message}"


def malformed(value: Any, shape: Shape = TEMPLATE, path: str = "") -> Fault | None:
    """The first field of ``value``, found at ``path``, that has not its shape. Null counts as absent."""
    if value is None:
        return None
    if isinstance(shape, type):
        good = isinstance(value, shape) and not (shape is int and isinstance(value, bool))
        return None if good else _fault(path, shape, value)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return _fault(path, list, value)
        if None in value:
            return Fault(f"{path}[{value.index(None)}]", "must not be null")
        parts = [(f"{path}[{number}]", item, shape[0]) for number, item in enumerate(value)]
    elif not isinstance(value, dict):
        return _fault(path, dict, value)
    else:
        known = dict.fromkeys(value, shape["*"]) if "*" in shape else {k: s for k, s in shape.items() if k in value}
        parts = [(f"{path}.{key}" if path else key, value[key], inner) for key, inner in known.items()]
    return next((fault for here, item, inner in parts if (fault := malformed(item, inner, here))), None)


def _fault(path: str, wanted: type, found: Any) -> Fault:
    shown = {dict: "an object", list: "a list", bool: "a boolean", str: "a string"}.get(type(found), "a number")
    return Fault(path, f"must be {_WORDS[wanted]}; found {shown}")
