"""JSON patch from two versions of an object that share their unchanged parts.

Injection copies only the spine of what it changes, so whatever *is* the same object in both
versions is unchanged, and the comparison walks nothing else. That costs microseconds where a
comparison of whole pods costs milliseconds.
"""

from typing import Any

Operation = dict[str, Any]
"""One operation of RFC 6902: ``op``, ``path`` and, but for ``remove``, ``value``."""


def operations(old: Any, new: Any, path: str = "") -> list[Operation]:
    """Operations at and below ``path`` (a JSON pointer) that make ``old`` into ``new``.

    A list that only gained or only lost elements is patched element by element, any other one that
    changed in length is replaced as a whole.
    """
    result: list[Operation] = []
    _compare(old, new, path, result)
    return result


def _compare(old: Any, new: Any, path: str, out: list[Operation]) -> None:
    if old is new:
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old:
            if key not in new:
                out.append({"op": "remove", "path": f"{path}/{_escape(key)}"})
        for key, value in new.items():
            here = f"{path}/{_escape(key)}"
            if key in old:
                _compare(old[key], value, here, out)
            else:
                out.append({"op": "add", "path": here, "value": value})
    elif isinstance(old, list) and isinstance(new, list):
        _compare_lists(old, new, path, out)
    elif type(old) is not type(new) or old != new:
        out.append({"op": "replace", "path": path, "value": new})


def _compare_lists(old: list[Any], new: list[Any], path: str, out: list[Operation]) -> None:
    if len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            _compare(a, b, f"{path}/{i}", out)
        return
    grown = len(new) - len(old)
    if 0 < grown <= 3:
        for start in (0, len(old)):
            rest = new[:start] + new[start + grown :]
            if _aligned(old, rest):
                for i in range(start, start + grown):
                    out.append({"op": "add", "path": f"{path}/{i}", "value": new[i]})
                for i, (a, b) in enumerate(zip(old, rest, strict=True)):
                    _compare(a, b, f"{path}/{i if i < start else i + grown}", out)
                return
    out.append({"op": "replace", "path": path, "value": new})


def _aligned(old: list[Any], new: list[Any]) -> bool:
    """Whether each element is the other's later version: the same object, or of the same name."""
    return all(
        a is b or (isinstance(a, dict) and isinstance(b, dict) and a.get("name", a) == b.get("name", b))
        for a, b in zip(old, new, strict=True)
    )


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
