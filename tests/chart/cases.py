"""A value of the chart and its effect on the rendered objects, and helpers to walk through values and objects."""

from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """With ``value`` at the dotted ``key`` of the values, ``path`` of the object has ``expected``."""

    key: str
    value: Any
    target: str
    path: str
    expected: Any
    beside: Object | None = None
    """Other values that this case needs."""


def nested(key: str, value: Any) -> Object:
    """Values with ``value`` at the dotted ``key``."""
    for part in reversed(key.split(".")):
        value = {part: value}
    made: Object = value
    return made


def merged(values: Object, more: Object) -> Object:
    """Both maps of values in one."""
    result_values = dict(values)
    for key, value in more.items():
        are_maps = isinstance(value, dict) and isinstance(result_values.get(key), dict)
        result_values[key] = merged(result_values[key], value) if are_maps else value
    return result_values


def values_of(case: Case) -> Object:
    """The values of one case."""
    return merged(case.beside or {}, nested(case.key, case.value))


def reached(objects: list[Object], target: str, path: str) -> Any:
    """The value at ``path`` of the last object with this kind and name. None if there is none.

    A part that is not an index finds the element with that name in a list. ``app_kubernetes_io`` is the only key with
    dots.
    """
    kind, name = target.split("/")
    match: Any = next((o for o in reversed(objects) if (o["kind"], o["metadata"]["name"]) == (kind, name)), None)
    for part in filter(None, path.split(".")):
        if isinstance(match, list) and part.isdecimal():
            match = match[int(part)] if int(part) < len(match) else None
        elif isinstance(match, list):
            match = next((item for item in match if item["name"] == part), None)
        elif isinstance(match, dict):
            match = match.get(part.replace("app_kubernetes_io", "app.kubernetes.io"))
        else:
            return None
    return match
