"""Anchors and aliases: an edit must not change what an alias elsewhere in the document stands for."""

from typing import TYPE_CHECKING, Any

from files.alignment import align
from files.nodes import Node, same
from files.place import Place

if TYPE_CHECKING:
    from files.editing import Editor


class Sharing:
    """Sees to it that each alias goes on meaning what it is to mean."""

    def __init__(self, editor: "Editor") -> None:
        self._editor = editor
        self._meaning: dict[str, Any] = {}

    def walk(self, node: Node, new: Any, place: Place) -> None:
        """Follow the document's order; an alias that would mean something else becomes a copy with its anchor."""
        editor = self._editor
        if "*" not in editor._text or not editor._edits:
            return
        self._walk(node, new, place)

    def _walk(self, node: Node, new: Any, place: Place) -> None:
        editor = self._editor
        written = editor._written.get(id(node))
        if written is not None:
            if written:
                self._meaning[written] = new
            return
        if node.kind == "alias":
            if node.anchor not in self._meaning or not same(self._meaning[node.anchor], new):
                editor.replace(node, new, place, node.anchor)
                self._meaning[node.anchor] = new
            return
        if node.kind == "map":
            for name, key, child in node.entries:
                below = editor.child(node, key, child, name, place)
                self._walk_key(key)
                if name is None or not isinstance(new, dict) or name not in new:
                    wanted = child.value
                else:
                    wanted = new[name] if name not in node.merged else child.value
                self._walk(child, wanted, below)
        elif node.kind == "list":
            places = dict(align(node.value, list(new))[0]) if isinstance(new, list | tuple) else {}
            for i, item in enumerate(node.items):
                j = places.get(i)
                below = editor.item(node, item, i if j is None or not editor._undo else j, place)
                self._walk(item, item.value if j is None else new[j], below)
        if node.anchor:
            self._meaning[node.anchor] = new

    def _walk_key(self, key: Node) -> None:
        if key.anchor and key.kind != "alias":
            self._meaning[key.anchor] = key.value
