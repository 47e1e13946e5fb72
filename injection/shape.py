"""Whether a template has the shape that injection relies on, told by the first field that has not.

The API server checks the built-in kinds before admission sees them, but not a ScaledJob's template or an
AsyncActor's, whose fields it keeps as they are; and a review may come from anyone.
"""

from collections.abc import Mapping
from typing import Any

Shape = type | Mapping[str, Any] | list[Any]
"""A type; a mapping of known keys (``*`` for all) to shapes; or a list of one shape for all its elements."""

_MAP: Shape = {"*": str}
_CONTAINER: Shape = {
    "name": str,
    "env": [{"name": str, "value": str, "valueFrom": dict}],
    "volumeMounts": [{"name": str, "mountPath": str}],
    "ports": [dict],
    "command": [str],
    "securityContext": dict,
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
_WORDS = {str: "a string", int: "a whole number", dict: "an object", list: "a list"}


def malformed(value: Any, shape: Shape = TEMPLATE, path: str = "") -> str:
    """What is wrong with ``value``: a sentence that names the field, or an empty string. Null counts as absent."""
    if value is None:
        return ""
    if isinstance(shape, type):
        good = isinstance(value, shape) and not (shape is int and isinstance(value, bool))
        return "" if good else _wrong(path, shape, value)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return _wrong(path, list, value)
        for number, item in enumerate(value):
            here = f"{path}[{number}]"
            wrong = malformed(item, shape[0], here) if item is not None else f"{here}: must not be null"
            if wrong:
                return wrong
        return ""
    if not isinstance(value, dict):
        return _wrong(path, dict, value)
    if "*" in shape:
        pairs = [(key, item, shape["*"]) for key, item in value.items()]
    else:
        pairs = [(key, value[key], part) for key, part in shape.items() if key in value]
    for key, item, part in pairs:
        wrong = malformed(item, part, f"{path}.{key}" if path else key)
        if wrong:
            return wrong
    return ""


def _wrong(path: str, wanted: type, found: Any) -> str:
    shown = {dict: "an object", list: "a list", bool: "a boolean", str: "a string"}.get(type(found), "a number")
    return f"{path or 'the template'}: must be {_WORDS[wanted]}; found {shown}"
