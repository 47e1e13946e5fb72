"""JSON pointers, and patches that copy only the changed values and their parents."""

from collections.abc import Iterable, Sequence
from typing import Any

Path = tuple[str | int, ...]
Operation = dict[str, Any]


def pointer(path: Sequence[str | int]) -> str:
    """A path as a JSON pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def parts(text: str) -> list[str]:
    """The parts of a JSON pointer."""
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def above(pointers: Iterable[str]) -> frozenset[str]:
    """The pointers to all parents of the values at ``pointers``."""
    return frozenset(text[:i] for text in pointers for i, c in enumerate(text) if c == "/")


def at(value: Any, text: str) -> Any:
    """The value at the pointer ``text``; None if there is none."""
    for part in parts(text):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list | tuple) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def put(value: Any, text: str, new: Any) -> Any:
    """``value`` with ``new`` at the pointer ``text``."""
    return patched(value, [{"op": "replace", "path": text, "value": new}])


def patched(value: Any, operations: Iterable[Operation]) -> Any:
    """``value`` after the operations of RFC 6902; ``value`` itself is not changed."""
    for operation in operations:
        value = _patched(value, parts(operation["path"]), operation)
    return value


def _patched(node: Any, path: list[str], operation: Operation) -> Any:
    if not path:
        return operation["value"]
    first, rest = path[0], path[1:]
    if isinstance(node, dict):
        copy = dict(node)
        if not rest and operation["op"] == "remove":
            del copy[first]
        else:
            copy[first] = _patched(node.get(first), rest, operation)
        return copy
    items = list(node)
    if rest:
        items[int(first)] = _patched(items[int(first)], rest, operation)
    elif operation["op"] == "add":
        items.insert(int(first), operation["value"])
    elif operation["op"] == "remove":
        del items[int(first)]
    else:
        items[int(first)] = operation["value"]
    return items
