"""Where things are in a document's text between the marks that the parser gives: dashes, colons, ends of lines."""

import re

from files.nodes import Node

_PROPERTY = re.compile(r"[&!][^\s]*")
_OFFSET_LIST = re.compile(r"^( *)(?:- )?[^\s#-][^\r\n]*:[ \t]*(?:#[^\r\n]*)?\r?\n\1  +- ", re.MULTILINE)
"""A list whose dashes stand further in than the key above them."""


class Layout:
    """A document's text, and its ways: line endings, and how far lists are indented."""

    def __init__(self, text: str) -> None:
        self.text = text
        newline = text.find("\n")
        self.break_at = "\n" if newline >= 0 or "\r" not in text else "\r"
        self.newline = "\r\n" if newline > 0 and text[newline - 1] == "\r" else self.break_at
        self.offset = 2 if _OFFSET_LIST.search(text) else 0

    def line_start(self, position: int) -> int:
        """Where the line of ``position`` begins."""
        return self.text.rfind(self.break_at, 0, position) + 1

    def line_end(self, position: int) -> int:
        """Where the line behind that of ``position`` begins, or the text ends."""
        end = self.text.find(self.break_at, position)
        return len(self.text) if end < 0 else end + 1

    def column(self, position: int) -> int:
        """How far into its line ``position`` is."""
        return position - self.line_start(position)

    def leads_line(self, position: int) -> bool:
        """Whether nothing but blanks is before ``position`` in its line."""
        return not self.text[self.line_start(position) : position].strip(" \ufeff")

    def token(self, position: int) -> int:
        """The position of what is neither blank nor comment at or behind ``position``."""
        text, end = self.text, len(self.text)
        while position < end:
            if text[position].isspace():
                position += 1
            elif text[position] == "#":
                position = self.line_end(position)
            else:
                break
        return position

    def content(self, node: Node) -> int:
        """Where a node begins behind its anchor and tag."""
        position = node.start
        while (match := _PROPERTY.match(self.text, position)) and position < node.end:
            position = self.token(match.end())
        return position

    def entry_start(self, key: Node) -> int:
        """Where a map's entry begins: with its key, or with the ``?`` before it."""
        before = self.text[: key.start].rstrip()
        if before.endswith("?") and (len(before) < 2 or before[-2] in " \t\r\n{,-"):
            return len(before) - 1
        return key.start

    def colon(self, key: Node) -> int | None:
        """The position behind the colon of ``key``; None if it has none."""
        position = self.token(key.end)
        return position + 1 if self.text[position : position + 1] == ":" else None

    def dashes(self, node: Node) -> list[int]:
        """The positions of a block list's dashes."""
        positions, position = [], self.content(node)
        for item in node.items:
            position = self.token(position)
            positions.append(position)
            position = item.end
        return positions
