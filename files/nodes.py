"""A document as a tree of nodes, each with its value and its position in the text."""

from typing import Any, Literal

Kind = Literal["scalar", "map", "list", "alias"]


_NO_LIST: list[Any] = []
_NO_NAMES: frozenset[str] = frozenset()


class BadFile(Exception):
    """A file that cannot be understood; the message begins with its name, the line and the column."""


class Unreadable(BadFile):
    """A file that cannot be opened or read."""


class Node:
    """One node. ``start`` is the position of its anchor and tag; ``end`` is after its last character. No comments."""

    __slots__ = ("anchor", "end", "entries", "flow", "items", "kind", "merged", "start", "value")

    def __init__(self, kind: Kind, start: int, end: int, value: Any, *, flow: bool = True, anchor: str = "") -> None:
        self.kind, self.start, self.end, self.value, self.flow, self.anchor = kind, start, end, value, flow, anchor
        self.items: list[Node] = [] if kind == "list" else _NO_LIST
        """The items of a list."""
        self.entries: list[tuple[str | None, Node, Node]] = [] if kind == "map" else _NO_LIST
        """The entries of a map: name, key and value. The name of a merge key is None."""
        self.merged: frozenset[str] = _NO_NAMES
        """Names in a map whose values come from a merge key."""

    @property
    def is_empty(self) -> bool:
        """Whether the node has no text: a null that the file leaves out."""
        return self.kind == "scalar" and self.start == self.end


def is_same(a: Any, b: Any) -> bool:
    """Whether two values are the same in JSON: True differs from 1, and the order of a map's keys does not matter."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if type(a) is dict:
        return len(a) == len(b) and all(k in b and is_same(v, b[k]) for k, v in a.items())
    if type(a) is list:
        return len(a) == len(b) and all(map(is_same, a, b))
    return bool(a == b)


_NOTHING: tuple[Any, ...] = (None, {}, [])


def is_alike(a: Any, b: Any) -> bool:
    """Like :func:`is_same`, but null, an empty map and an empty list count as equal, as in Kubernetes."""
    if a is b:
        return True
    if type(a) is not type(b):
        return a in _NOTHING and b in _NOTHING
    if type(a) is dict:
        if a.keys() != b.keys():
            return all(is_alike(a.get(k), b.get(k)) for k in {**a, **b})
        return all(is_alike(v, b[k]) for k, v in a.items())
    if type(a) is list:
        return len(a) == len(b) and all(map(is_alike, a, b))
    return bool(a == b)
