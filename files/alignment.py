"""Aligns two versions of a list, so that an edit of a document changes only the items that differ."""

from typing import Any

from files.nodes import is_same


def align(old: list[Any], new: list[Any]) -> tuple[list[tuple[int, int]], dict[int, list[Any]], list[int]]:
    """Align two versions of a list. Items with the same name, or with the same value, are the same item.

    Returns:
        Pairs of indexes of the same item in ``old`` and ``new``; new items, by the index in ``old`` before which they
        belong; and indexes in ``old`` of removed items.
    """
    pairs: list[tuple[int, int]] = []
    added: dict[int, list[Any]] = {}
    removed: list[int] = []
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and _is_same_item(old[i], new[j]):
            pairs.append((i, j))
            i, j = i + 1, j + 1
            continue
        next_new = next((k for k in range(j, len(new)) if i < len(old) and _is_same_item(old[i], new[k])), None)
        next_old = next((k for k in range(i, len(old)) if j < len(new) and _is_same_item(old[k], new[j])), None)
        if next_new is None and next_old is None and len(old) - i == len(new) - j:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif i < len(old) and (next_new is None or (next_old is not None and next_old - i <= next_new - j)):
            removed.append(i)
            i += 1
        else:
            added.setdefault(i, []).append(new[j])
            j += 1
    return pairs, added, removed


def _is_same_item(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict) and ("name" in a or "name" in b):
        return is_same(a.get("name"), b.get("name"))
    return is_same(a, b)
