"""Preserves the values of aliases: an edit of an anchor must not change the value of its aliases elsewhere."""

from typing import TYPE_CHECKING, Any

from files.alignment import align
from files.nodes import Node, is_same
from files.place import Place

if TYPE_CHECKING:
    from files.editing import Editor


class Sharing:
    """Replaces each alias whose value would be wrong after the edits."""

    def __init__(self, editor: "Editor") -> None:
        self._editor = editor
        self._values: dict[str, Any] = {}
        """By anchor: its value after the edits, at the present position in the document."""

    def walk(self, node: Node, new: Any, place: Place) -> None:
        """Visit all nodes in order. An alias that would get a wrong value becomes a copy with its anchor."""
        editor = self._editor
        if "*" not in editor._text or not editor._edits:
            return
        self._walk(node, new, place)

    def _walk(self, node: Node, new: Any, place: Place) -> None:
        editor = self._editor
        new_anchor = editor._written.get(id(node))
        if new_anchor is not None:
            if new_anchor:
                self._values[new_anchor] = new
            return
        if node.kind == "alias":
            if node.anchor not in self._values or not is_same(self._values[node.anchor], new):
                editor.replace(node, new, place, node.anchor)
                self._values[node.anchor] = new
            return
        if node.kind == "map":
            for name, key, child in node.entries:
                below = editor.child(node, key, child, name, place)
                self._walk_key(key)
                if name is None or not isinstance(new, dict) or name not in new:
                    desired = child.value
                else:
                    desired = new[name] if name not in node.merged else child.value
                self._walk(child, desired, below)
        elif node.kind == "list":
            places = dict(align(node.value, list(new))[0]) if isinstance(new, list | tuple) else {}
            for i, item in enumerate(node.items):
                j = places.get(i)
                below = editor.item(node, item, i if j is None or not editor._undo else j, place)
                self._walk(item, item.value if j is None else new[j], below)
        if node.anchor:
            self._values[node.anchor] = new

    def _walk_key(self, key: Node) -> None:
        if key.anchor and key.kind != "alias":
            self._values[key.anchor] = key.value
