"""Computes a JSON patch between two versions of an object that share their unchanged parts.

Injection copies only the parts that it changes, and the path from the root to them. A part that *is* the same Python
object in both versions is therefore unchanged, and the comparison skips it. This takes microseconds. A comparison of
whole pods takes milliseconds.
"""

from typing import Any

Operation = dict[str, Any]
"""One operation of RFC 6902: ``op``, ``path`` and, except for ``remove``, ``value``."""


def operations(old: Any, new: Any, path: str = "") -> list[Operation]:
    """Return the operations at and below ``path`` (a JSON pointer) that change ``old`` into ``new``.

    If a list only gained or only lost elements, each element has its own operation. Otherwise one operation replaces
    the list.
    """
    patch: list[Operation] = []
    if old is not new:
        _compare(old, new, path, patch)
    return patch


def _compare(old: Any, new: Any, path: str, out: list[Operation]) -> None:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old:
            if key not in new:
                out.append({"op": "remove", "path": f"{path}/{_escape(key)}"})
        for key, value in new.items():
            if key not in old:
                out.append({"op": "add", "path": f"{path}/{_escape(key)}", "value": value})
            elif old[key] is not value:
                _compare(old[key], value, f"{path}/{_escape(key)}", out)
    elif isinstance(old, list) and isinstance(new, list):
        _compare_lists(old, new, path, out)
    elif type(old) is not type(new) or old != new:
        out.append({"op": "replace", "path": path, "value": new})


def _compare_lists(old: list[Any], new: list[Any], path: str, out: list[Operation]) -> None:
    shorter, longer = (old, new) if len(old) <= len(new) else (new, old)
    extra = _extra(longer, shorter)
    if extra is None:
        out.append({"op": "replace", "path": path, "value": new})
        return
    if longer is old:
        out += [{"op": "remove", "path": f"{path}/{i}"} for i in reversed(extra)]
    else:
        out += [{"op": "add", "path": f"{path}/{i}", "value": new[i]} for i in extra]
    extra_indexes = set(extra)
    common = [(i, value) for i, value in enumerate(longer) if i not in extra_indexes]
    for n, ((i, a), b) in enumerate(zip(common, shorter, strict=True)):
        if a is b:
            continue
        if longer is old:
            _compare(a, b, f"{path}/{n}", out)
        else:
            _compare(b, a, f"{path}/{i}", out)


def _extra(longer: list[Any], shorter: list[Any]) -> list[int] | None:
    """Return the indexes of elements in ``longer`` that ``shorter`` lacks. None if the others differ in order."""
    if len(longer) == len(shorter):
        return []
    extra: list[int] = []
    n = 0
    for i, value in enumerate(longer):
        if n < len(shorter) and _is_same_element(value, shorter[n]):
            n += 1
        else:
            extra.append(i)
    return extra if n == len(shorter) else None


def _is_same_element(a: Any, b: Any) -> bool:
    """Whether ``a`` and ``b`` are versions of the same element: the same object, or mappings with the same name."""
    if a is b:
        return True
    if isinstance(a, dict) and isinstance(b, dict):
        return bool(a.get("name", a) == b.get("name", b))
    return type(a) is type(b) and bool(a == b)


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
