"""Compares a live object with the desired one.

The API server adds defaults, and other writers add fields. The live object therefore need not be equal, but it must
*contain* the desired one. The comparison ignores changes of notation by the API server: it rewrites quantities
(``1000m`` becomes ``1``) and drops empty values. It drops ``false`` and ``0`` only in some fields. In other fields,
such as ``allowPrivilegeEscalation``, an absent value has a different meaning.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from kube.quantity import parse_quantity

_QUANTITY_PARENTS = frozenset({"limits", "requests", "capacity"})
_DROPPED_FALSE = frozenset(
    {
        "chapAuthDiscovery",
        "chapAuthSession",
        "hostIPC",
        "hostNetwork",
        "hostPID",
        "paused",
        "readOnly",
        "stdin",
        "stdinOnce",
        "tty",
    }
)
_DROPPED_ZERO = frozenset({"hostPort", "initialDelaySeconds", "minReadySeconds", "partition"})
"""Fields of pods and workloads whose Go type is not a pointer, so that the API server drops their zero value."""
_MERGE_KEYS = ("name", "mountPath", "key", "type", "uid", "devicePath")


def contains(live: Any, desired: Any, *, quantity: bool = False) -> bool:
    """Whether ``live`` contains all of ``desired``. Both are parsed JSON.

    A mapping in ``live`` may have more keys. Lists of named mappings are matched by name, and ``live`` may have more
    elements. Other lists must have the same elements in the same order. If ``quantity`` is true, strings are compared
    as resource quantities.
    """
    if isinstance(desired, dict):
        if live is None and not desired:
            return True
        if not isinstance(live, dict):
            return False
        for key, value in desired.items():
            child = live.get(key)
            if child is None and _is_dropped(key, value):
                continue
            is_quantity = key == "sizeLimit" or (quantity and not isinstance(value, dict))
            if not contains(child, value, quantity=is_quantity or key in _QUANTITY_PARENTS):
                return False
        return True
    if isinstance(desired, list | tuple):
        if live is None:
            return not desired
        return isinstance(live, list | tuple) and _contains_list(live, desired)
    if quantity and isinstance(live, str | int | float) and isinstance(desired, str | int | float):
        return bool(live == desired) or _quantity(live) == _quantity(desired)
    return bool(live == desired) and isinstance(live, bool) == isinstance(desired, bool)


def _is_dropped(key: str, value: Any) -> bool:
    """Whether the API server drops ``value`` in the field ``key``."""
    if isinstance(value, bool):
        return not value and key in _DROPPED_FALSE
    if isinstance(value, int | float):
        return value == 0 and key in _DROPPED_ZERO
    return value in (None, "", [], {}, ())


def _contains_list(live: Sequence[Any], desired: Sequence[Any]) -> bool:
    for merge_key in _MERGE_KEYS:
        if desired and all(_has_key(w, merge_key) for w in desired):
            by_key: dict[str, list[Any]] = {}
            for element in live:
                if _has_key(element, merge_key):
                    by_key.setdefault(element[merge_key], []).append(element)
            return all(any(contains(i, w) for i in by_key.get(w[merge_key], ())) for w in desired)
    return len(live) == len(desired) and all(contains(a, b) for a, b in zip(live, desired, strict=True))


def _has_key(element: Any, merge_key: str) -> bool:
    return isinstance(element, dict) and isinstance(element.get(merge_key), str)


def _quantity(value: Any) -> Decimal | str:
    try:
        return parse_quantity(value)
    except ValueError:
        return str(value)
