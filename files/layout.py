"""Finds positions in a document's text that the parser does not report: dashes, colons, ends of lines."""

import re

from files.nodes import Node

_PROPERTY = re.compile(r"[&!][^\s]*")
_OFFSET_LIST = re.compile(r"^( *)(?:- )?[^\s#-][^\r\n]*:[ \t]*(?:#[^\r\n]*)?\r?\n\1  +- ", re.MULTILINE)
"""A list whose dashes are indented more than the key above them."""


class Layout:
    """A document's text, its line endings, and the indentation of its lists."""

    def __init__(self, text: str) -> None:
        self.text = text
        newline = text.find("\n")
        self.break_at = "\n" if newline >= 0 or "\r" not in text else "\r"
        self.newline = "\r\n" if newline > 0 and text[newline - 1] == "\r" else self.break_at
        self.offset = 2 if _OFFSET_LIST.search(text) else 0

    def line_start(self, position: int) -> int:
        """The position at which the line of ``position`` begins."""
        return self.text.rfind(self.break_at, 0, position) + 1

    def line_end(self, position: int) -> int:
        """The position at which the next line begins, or the text ends."""
        end = self.text.find(self.break_at, position)
        return len(self.text) if end < 0 else end + 1

    def column(self, position: int) -> int:
        """The column of ``position`` in its line, from 0."""
        return position - self.line_start(position)

    def leads_line(self, position: int) -> bool:
        """Whether only blanks are before ``position`` in its line."""
        return not self.text[self.line_start(position) : position].strip(" \ufeff")

    def token(self, position: int) -> int:
        """The first position, from ``position`` on, that is neither in blanks nor in a comment."""
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
        """The position after a node's anchor and tag."""
        position = node.start
        while (match := _PROPERTY.match(self.text, position)) and position < node.end:
            position = self.token(match.end())
        return position

    def entry_start(self, key: Node) -> int:
        """The position of a map's entry: that of its key, or of the ``?`` before the key."""
        before = self.text[: key.start].rstrip()
        if before.endswith("?") and (len(before) < 2 or before[-2] in " \t\r\n{,-"):
            return len(before) - 1
        return key.start

    def colon(self, key: Node) -> int | None:
        """The position after the colon of ``key``; None if it has none."""
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
