"""Splits files into documents as kubectl does: at ``---`` lines, or as a stream of JSON objects.

The joined documents of a file are equal to the file, byte for byte. This includes its byte order mark, its line
endings, and bytes that are not UTF-8.
"""

import codecs
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from files.json_reader import NotJson, read_json
from files.nodes import BadFile, Node, Unreadable
from files.yaml_reader import Place, read_yaml

Object = dict[str, Any]

_SEPARATOR = re.compile(r"^---([^\r\n]*)(?:\r\n|\n|\Z)", re.MULTILINE)
_SPACE = re.compile(r"\s*")
_NOT_UTF8 = re.compile(r"[\ud800-\udfff]")
_BOM = "\ufeff"
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


@dataclass(frozen=True)
class Document:
    """One YAML or JSON document: its text and its value."""

    origin: str
    separator: str
    """The text before it: the ``---`` line, if there is one, and a byte order mark."""
    text: str
    line: int
    """The line of the file at which ``text`` begins."""
    root: Node | None
    """None if the document is empty."""
    json: bool = False
    encoding: str = "utf-8"
    ignored: int = 0
    """The first line between this document's end and the next document; kubectl ignores it. 0 if there is none."""

    @property
    def value(self) -> Any:
        """The value of the document."""
        return None if self.root is None else self.root.value

    @property
    def whole(self) -> str:
        """The text with its separator."""
        return self.separator + self.text

    def objects(self) -> list[tuple[str, Object]]:
        """The objects in it, each with a JSON pointer: itself, or the items of a List."""
        if not isinstance(self.value, dict):
            return []
        items = self.value.get("items")
        if str(self.value.get("kind", "")).endswith("List") and isinstance(items, list):
            return [(f"/items/{i}", item) for i, item in enumerate(items) if isinstance(item, dict)]
        return [("", self.value)]

    def with_text(self, text: str) -> "Document":
        """The document with another text.

        Raises:
            BadFile: if the text is not YAML or JSON.
        """
        place = Place(self.origin, text, self.line)
        if self.json:
            try:
                return replace(self, text=text, root=read_json(text, 0))
            except NotJson as error:
                place.fail(error.position, str(error))
        return replace(self, text=text, root=read_yaml(_readable(text), place)[0])


def read(paths: Iterable[str]) -> list[Document]:
    """All documents of files; ``-`` is standard input.

    Raises:
        BadFile: if one cannot be read.
    """
    documents = []
    for path in paths:
        origin = "standard input" if path == "-" else path
        try:
            data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        except OSError as error:
            raise Unreadable(f"{origin}: cannot be read: {error}") from None
        documents += documents_of(data, origin)
    return documents


def documents_of(data: bytes, origin: str = "") -> list[Document]:
    """The documents of a file's bytes.

    Raises:
        BadFile: if it is not YAML or JSON.
    """
    encoding = _UTF16.get(data[:2])
    if encoding is None:
        return split(data.decode("utf-8", "surrogateescape"), origin)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise BadFile(f"{origin}:1:1: is not UTF-16, which its byte order mark says: {error.reason}") from None
    return [replace(document, encoding=encoding) for document in split(text, origin)]


def written(documents: list[Document]) -> bytes:
    """The bytes of documents. A ``---`` line separates several files. One file, or files of one encoding, keep it."""
    parts: list[str] = []
    before = None
    for document in documents:
        if before is not None and document.origin != before.origin:
            parts.append("" if before.whole.endswith("\n") else "\n")
            parts.append("" if "---" in document.separator else "---\n")
            document = replace(document, separator=document.separator.removeprefix(_BOM))
        parts.append(document.whole)
        before = document
    text = "".join(parts)
    encodings = {document.encoding for document in documents}
    encoding = encodings.pop() if len(encodings) == 1 else "utf-8"
    return text.encode(encoding, "surrogateescape" if encoding == "utf-8" else "strict")


def split(text: str, origin: str = "") -> list[Document]:
    """The documents of ``text``. Joined, they are equal to ``text``.

    Raises:
        BadFile: if it is not YAML or JSON.
    """
    mark = _BOM if text.startswith(_BOM) else ""
    start = len(mark)
    documents: list[Document] = []
    if text[_end_of_space(text, start) :].startswith("{"):
        documents, start = _json_stream(text, start, origin)
    documents += _yaml_stream(text, start, origin)
    if mark and documents:
        documents[0] = replace(documents[0], separator=mark + documents[0].separator)
    return documents


def _end_of_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    assert match is not None, "it matches nothing too"
    return match.end()


def _json_stream(text: str, start: int, origin: str) -> tuple[list[Document], int]:
    """JSON documents from ``start`` on, and their end: the end of the text, or the beginning of YAML."""
    documents: list[Document] = []
    position = start
    while (at := _end_of_space(text, position)) < len(text):
        if text[at] != "{":
            break
        try:
            root = read_json(text, at)
        except NotJson as error:
            if documents:
                Place(origin, text).fail(error.position, str(error))
            break
        end = root.end
        if not text[_end_of_space(text, end) :].startswith("{"):
            newline = text.find("\n", end, _end_of_space(text, end))
            end = newline + 1 if newline >= 0 else end
        if text[position:end].isspace():
            break
        line = 1 + text.count("\n", 0, position)
        documents.append(Document(origin, "", text[position:end], line, _moved(root, -position), json=True))
        position = end
    rest = _end_of_space(text, position)
    if documents and rest < len(text) and not text.startswith(("---", "#"), rest):
        Place(origin, text).fail(rest, "neither a JSON object nor a --- line follows")
    if documents and rest == len(text):
        documents[-1] = replace(documents[-1], text=documents[-1].text + text[position:])
        position = rest
    return documents, position


def _moved(node: Node, by: int) -> Node:
    """Move the positions of ``node`` itself by this number of characters, and return it."""
    if by:
        node.start += by
        node.end += by
        for item in node.items:
            _moved(item, by)
        for _, key, child in node.entries:
            _moved(key, by)
            _moved(child, by)
    return node


def _yaml_stream(text: str, start: int, origin: str) -> list[Document]:
    marks = list(_SEPARATOR.finditer(text, start))
    for m in marks:
        if m[1].strip() and not m[1].strip().startswith("#"):
            Place(origin, text).fail(m.start(1), "kubectl takes nothing but a comment behind ---")
    starts = [(start, start), *((m.start(), m.end()) for m in marks)]
    ends = [*(m.start() for m in marks), len(text)]
    documents = []
    line, line_position = 1, 0
    for (at, begin), end in zip(starts, ends, strict=True):
        separator, body = text[at:begin], text[begin:end]
        if not separator and not body:
            continue
        if body.startswith(_BOM):
            if separator and at == start:
                Place(origin, text).fail(
                    begin, "kubectl takes this byte order mark for a part of the first key; remove it"
                )
            separator, body, begin = separator + _BOM, body[1:], begin + 1
        line, line_position = line + text.count("\n", line_position, begin), begin
        readable = _readable(body)
        root, over = read_yaml(readable, Place(origin, body, line))
        rest = _end_of_space(readable, over)
        while readable.startswith("#", rest):
            newline = readable.find("\n", rest)
            rest = _end_of_space(readable, newline) if newline >= 0 else len(readable)
        ignored = line + readable.count("\n", 0, rest) if rest < len(readable) else 0
        documents.append(Document(origin, separator, body, line, root, ignored=ignored))
    return documents


def _readable(text: str) -> str:
    """``text`` with U+FFFD for each byte that is not UTF-8, as kubectl reads it."""
    return _NOT_UTF8.sub("\ufffd", text) if not text.isascii() else text
