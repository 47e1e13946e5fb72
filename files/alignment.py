"""Which items of two versions of a list are the same."""

from typing import Any

from files.nodes import same


def align(old: list[Any], new: list[Any]) -> tuple[list[tuple[int, int]], dict[int, list[Any]], list[int]]:
    """Which items of two versions of a list are the same: pairs of places, what is added before which, what is gone.

    An item of the same name, or of the same value, is the same one.
    """
    pairs: list[tuple[int, int]] = []
    added: dict[int, list[Any]] = {}
    gone: list[int] = []
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and _aligned(old[i], new[j]):
            pairs.append((i, j))
            i, j = i + 1, j + 1
            continue
        rest_new = next((k for k in range(j, len(new)) if i < len(old) and _aligned(old[i], new[k])), None)
        rest_old = next((k for k in range(i, len(old)) if j < len(new) and _aligned(old[k], new[j])), None)
        if rest_new is None and rest_old is None and len(old) - i == len(new) - j:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif i < len(old) and (rest_new is None or (rest_old is not None and rest_old - i <= rest_new - j)):
            gone.append(i)
            i += 1
        else:
            added.setdefault(i, []).append(new[j])
            j += 1
    return pairs, added, gone


def _aligned(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict) and ("name" in a or "name" in b):
        return same(a.get("name"), b.get("name"))
    return same(a, b)
