"""Reads YAML into nodes with positions, each with the value that kubectl gives it.

libyaml's events have the positions of all nodes, also of aliases. PyYAML's composer drops those of aliases, so this
module builds the nodes itself. kubectl's parser comes from libyaml too, so both accept nearly the same documents.
"""

import re
from typing import Any, NoReturn

import yaml

from files.nodes import BadFile, Node
from files.scalars import PREFIX, BadScalar, key, resolve, tagged, through_json

MOST_NODES = 1_000_000
"""The most nodes of a document, with each alias replaced by its nodes. A larger document may be an attack."""
_CONTROL = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAB_LINE = re.compile(r"^[ ]*\t[ \t]*#", re.MULTILINE)
_HEADER = re.compile(r"(?:[&!][^\s]*\s+)*[|>][0-9-]*(\+)?")


class Place:
    """The file of a text, and the line at which the text begins, for messages."""

    def __init__(self, origin: str, text: str, line: int = 1) -> None:
        self.origin, self.text, self.line = origin, text, line

    def fail(self, position: int, problem: str) -> NoReturn:
        """Raise :class:`BadFile` that names line and column of ``position``."""
        before = self.text[:position].replace("\r\n", "\n").replace("\r", "\n")
        column = len(before) - (before.rfind("\n") + 1)
        raise BadFile(f"{self.origin}:{self.line + before.count(chr(10))}:{column + 1}: {problem}")


def read_yaml(text: str, place: Place) -> tuple[Node | None, int]:
    """The first document in ``text``, and the position of its end. kubectl ignores the rest, too.

    Raises:
        BadFile: if it is not YAML, or a Kubernetes object cannot have such values.
    """
    if bad := _CONTROL.search(text):
        place.fail(bad.start(), "control characters are not allowed")
    builder = _Builder(text, place)
    try:
        return builder.document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = ", ".join(part for part in (error.context, error.problem) if part)
        place.fail(mark.index if mark is not None else 0, message)
    except yaml.YAMLError as error:
        place.fail(0, " ".join(str(error).split()))
    except RecursionError:
        place.fail(0, "is nested too deeply")


def _end(event: Any) -> int:
    return int(event.end_mark.index)


class _Builder:
    """Builds one document from libyaml's events."""

    def __init__(self, text: str, place: Place) -> None:
        # kubectl adds a newline at the end of a file that has none.
        whole = text if text.endswith("\n") else text + "\n"
        self._length = len(text)
        self._text, self._place, self._anchors = text, place, dict[str, tuple[Node | None, int]]()
        self._next: Any = yaml.CSafeLoader(whole).get_event

    def document(self) -> tuple[Node | None, int]:
        """The root, and the position where the document ends."""
        self._next()
        event = self._next()
        if type(event) is yaml.StreamEndEvent:
            return None, len(self._text)
        root, size = self._node(self._next())
        if size > MOST_NODES:
            self._place.fail(root.start, "has too many aliases of aliases")
        end = self._next()
        return root, min(end.end_mark.index, len(self._text)) if end.explicit else len(self._text)

    def _node(self, event: Any) -> tuple[Node, int]:
        """The node that begins with ``event``, and the number of nodes in it."""
        kind = type(event)
        start = event.start_mark.index
        if kind is yaml.ScalarEvent:
            return self._scalar(event), 1
        anchor = event.anchor
        if kind is yaml.AliasEvent:
            node, size = self._anchors.get(anchor, (None, -1))
            if node is None:
                self._place.fail(start, f"anchor {anchor!r} {'is not known' if size < 0 else 'contains itself'}")
            node = Node("alias", start, event.end_mark.index, node.value, anchor=anchor)
            return node, size
        if anchor:
            self._anchors[anchor] = (None, 0)
        flow = bool(event.flow_style)
        node = Node(
            "list" if kind is yaml.SequenceStartEvent else "map", start, start, None, flow=flow, anchor=anchor or ""
        )
        size = self._list(node) if kind is yaml.SequenceStartEvent else self._map(node)
        if anchor:
            self._anchors[anchor] = (node, size)
        return node, size

    def _scalar(self, event: Any) -> Node:
        start, end = event.start_mark.index, event.end_mark.index
        text, tag, anchor = event.value, event.tag, event.anchor
        try:
            if tag is not None:
                value = text if tag == "!" else tagged(tag, text)
            else:
                value = resolve(text) if event.implicit[0] else text
            if type(value) is float or type(value) is int:
                value = through_json(value)
        except BadScalar as bad:
            self._place.fail(start, str(bad))
        if event.style in ("|", ">"):
            end = self._block_end(start, end)
        node = Node("scalar", start, end if end < self._length else self._length, value)
        if anchor:
            node.anchor = anchor
            self._anchors[anchor] = (node, 1)
        return node

    def _block_end(self, start: int, end: int) -> int:
        """The end of a block scalar. Empty last lines belong to it only if its header keeps them (``+``)."""
        header = _HEADER.match(self._text, start)
        if header is not None and header[1]:
            return end - 1 if self._text[end - 1 : end] in ("\n", "\r") else end
        return start + len(self._text[start:end].rstrip())

    def _list(self, node: Node) -> int:
        size, items = 1, node.items
        event: Any = self._next()
        while type(event) is not yaml.SequenceEndEvent:
            item, more = self._node(event)
            size += more
            items.append(item)
            event = self._next()
        node.value = [item.value for item in items]
        node.end = _end(event) if node.flow or not items else items[-1].end
        return size

    def _map(self, node: Node) -> int:
        size, merges = 1, False
        value: dict[str, Any] = {}
        event: Any = self._next()
        while type(event) is not yaml.MappingEndEvent:
            name, key_node = self._key(event)
            event = self._next()
            if type(event) is yaml.ScalarEvent:
                child = self._scalar(event)
                size += 2
            else:
                child, more = self._node(event)
                size += more + 1
            if name is None:
                merges = True
            elif name in value:
                self._place.fail(key_node.start, f"the key {name!r} is there twice")
            else:
                value[name] = child.value
            node.entries.append((name, key_node, child))
            event = self._next()
        if node.flow or not node.entries:
            node.end = _end(event)
        else:
            _, key_node, child = node.entries[-1]
            node.end = max(key_node.end, child.end if not child.is_empty else self._after_colon(key_node, child))
        node.value = self._merged(node) if merges else value
        return size

    def _after_colon(self, key_node: Node, child: Node) -> int:
        return child.end if self._text[child.end - 1 : child.end] == ":" else key_node.end

    def _key(self, event: Any) -> tuple[str | None, Node]:
        if type(event) is not yaml.ScalarEvent:
            node, _ = self._node(event)
            raw = node.value
        else:
            node = self._scalar(event)
            if event.value == "<<" and (event.tag == PREFIX + "merge" or (event.tag is None and event.implicit[0])):
                return None, node
            if type(node.value) is str:
                return node.value, node
            # An integer with a fraction of zero is a float until JSON makes it an integer.
            raw = resolve(event.value) if event.tag is None else tagged(event.tag, event.value)
        if isinstance(raw, dict | list):
            self._place.fail(node.start, "a list or a map cannot be a key")
        try:
            return key(raw), node
        except BadScalar as bad:
            self._place.fail(node.start, str(bad))

    def _merged(self, node: Node) -> dict[str, Any]:
        """The map's value. A merge key overrides the entries above it, and the entries below override the merge key."""
        value: dict[str, Any] = {}
        through: set[str] = set()
        for name, _, child in node.entries:
            if name is not None:
                value[name] = child.value
                through.discard(name)
                continue
            sources = list(reversed(child.value)) if isinstance(child.value, list) else [child.value]
            for source in sources:
                if not isinstance(source, dict):
                    self._place.fail(child.start, "<< needs a map, or a list of maps")
                value.update(source)
                through |= set(source)
        node.merged = frozenset(through)
        return value
