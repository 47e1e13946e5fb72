"""Does a live object hold what was asked for?

The API server adds defaults and other writers add their own, so equality is the wrong question:
the live object must *contain* the wanted one. Containment also forgives what the API server
rewrites without a change of meaning, namely quantities (``1000m`` is ``1``) and empty values,
which it drops. It drops ``false`` and ``0`` of some fields only: elsewhere absent means another thing, as in
``allowPrivilegeEscalation``.
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
"""Fields of a pod's or workload's spec that are no pointers in the API, so that their zero value is absent."""
_MERGE_KEYS = ("name", "mountPath", "key", "type", "uid", "devicePath")


def contains(live: Any, wanted: Any, *, quantity: bool = False) -> bool:
    """Whether ``live`` holds all of ``wanted``, both plain JSON.

    Mappings may have more keys in ``live``. Lists of named mappings are matched by name and may have
    more elements; other lists must have the same elements in order. ``quantity`` says that strings
    are resource quantities.
    """
    if isinstance(wanted, dict):
        if live is None and not wanted:
            return True
        if not isinstance(live, dict):
            return False
        for key, value in wanted.items():
            child = live.get(key)
            if child is None and _is_dropped(key, value):
                continue
            of_quantity = key == "sizeLimit" or (quantity and not isinstance(value, dict))
            if not contains(child, value, quantity=of_quantity or key in _QUANTITY_PARENTS):
                return False
        return True
    if isinstance(wanted, list | tuple):
        if live is None:
            return not wanted
        return isinstance(live, list | tuple) and _contains_list(live, wanted)
    if quantity and isinstance(live, str | int | float) and isinstance(wanted, str | int | float):
        return bool(live == wanted) or _quantity(live) == _quantity(wanted)
    return bool(live == wanted) and isinstance(live, bool) == isinstance(wanted, bool)


def _is_dropped(key: str, value: Any) -> bool:
    """Whether the API server stores nothing where ``key`` is set to ``value``."""
    if isinstance(value, bool):
        return not value and key in _DROPPED_FALSE
    if isinstance(value, int | float):
        return value == 0 and key in _DROPPED_ZERO
    return value in (None, "", [], {}, ())


def _contains_list(live: Sequence[Any], wanted: Sequence[Any]) -> bool:
    for merge_key in _MERGE_KEYS:
        if wanted and all(_keyed(w, merge_key) for w in wanted):
            by_key: dict[str, list[Any]] = {}
            for item in live:
                if _keyed(item, merge_key):
                    by_key.setdefault(item[merge_key], []).append(item)
            return all(any(contains(i, w) for i in by_key.get(w[merge_key], ())) for w in wanted)
    return len(live) == len(wanted) and all(contains(a, b) for a, b in zip(live, wanted, strict=True))


def _keyed(item: Any, merge_key: str) -> bool:
    return isinstance(item, dict) and isinstance(item.get(merge_key), str)


def _quantity(value: Any) -> Decimal | str:
    try:
        return parse_quantity(value)
    except ValueError:
        return str(value)
