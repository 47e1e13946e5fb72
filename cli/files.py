"""Files as kubectl reads them: several documents, Lists, JSON, standard input, and comments that stay.

A document that nothing is done to comes out letter for letter as it went in. One that is changed keeps
its comments, its order and its quotes: it is edited by the same patch that admission would answer with.
"""

import io
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import SingleQuotedScalarString

Object = dict[str, Any]
Operation = dict[str, Any]

_SEPARATOR = re.compile(r"^---(?=[ \t\r\n]|$)[^\n]*\n?", re.MULTILINE)
_OFFSET_LIST = re.compile(r"^( *)[^\s#-][^\n]*:[ \t]*\n\1  +- ", re.MULTILINE)
"""A list whose dashes stand further in than the key above them."""


class BadFile(Exception):
    """A file that cannot be read or is not YAML; the message names it."""


@dataclass(frozen=True)
class Document:
    """One YAML or JSON document: its text, and what it says."""

    origin: str
    separator: str
    """The ``---`` line before it, if there is one."""
    text: str
    value: Any

    def objects(self) -> list[tuple[str, Object]]:
        """The objects in it, each with a JSON pointer: itself, or the items of a List."""
        if not isinstance(self.value, dict):
            return []
        items = self.value.get("items")
        if str(self.value.get("kind", "")).endswith("List") and isinstance(items, list):
            return [(f"/items/{i}", item) for i, item in enumerate(items) if isinstance(item, dict)]
        return [("", self.value)]

    def edited(self, operations: list[Operation]) -> str:
        """The text after ``operations``; the text itself if there are none."""
        if not operations:
            return self.text
        if self.text.lstrip().startswith("{"):
            return json.dumps(patched(self.value, operations), indent=2, ensure_ascii=False) + "\n"
        editor = YAML()
        editor.preserve_quotes = True
        editor.brace_single_entry_mapping_in_flow_sequence = True
        editor.width = 4096
        if _OFFSET_LIST.search(self.text):
            editor.indent(mapping=2, sequence=4, offset=2)
        document = editor.load(self.text)
        for operation in operations:
            _apply(document, {**operation, "value": _quoted(operation.get("value"))})
        stream = io.StringIO()
        editor.dump(document, stream)
        return stream.getvalue()


def read(paths: Iterable[str]) -> list[Document]:
    """All documents of files; ``-`` is standard input.

    Raises:
        BadFile: if one cannot be read.
    """
    documents = []
    for path in paths:
        origin = "standard input" if path == "-" else path
        try:
            text = sys.stdin.read() if path == "-" else Path(path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise BadFile(f"{origin}: cannot be read: {error}") from None
        documents += split(text, origin)
    return documents


def split(text: str, origin: str = "") -> list[Document]:
    """The documents of ``text``, which joined together are ``text`` again.

    Raises:
        BadFile: if it is not YAML.
    """
    marks = list(_SEPARATOR.finditer(text))
    starts = [("", 0), *((m.group(), m.end()) for m in marks)]
    ends = [*(m.start() for m in marks), len(text)]
    documents = []
    for (separator, start), end in zip(starts, ends, strict=True):
        body = text[start:end]
        try:
            value = yaml.load(body, yaml.CSafeLoader)
        except yaml.YAMLError as error:
            raise BadFile(f"{origin}: is not YAML: {error}") from None
        if separator or body:
            documents.append(Document(origin, separator, body, value))
    return documents


def patched(value: Any, operations: list[Operation]) -> Any:
    """``value`` after ``operations``; ``value`` itself is not changed."""
    copy = json.loads(json.dumps(value, default=str))
    for operation in operations:
        _apply(copy, operation)
    return copy


def _apply(node: Any, operation: Operation) -> None:
    """One operation of RFC 6902 on nested maps and lists, in place; the path is known to exist."""
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    for part in parents:
        node = node[int(part)] if isinstance(node, list) else node[part]
    if isinstance(node, list):
        if operation["op"] == "add":
            node.insert(int(last), operation["value"])
        elif operation["op"] == "remove":
            del node[int(last)]
        else:
            node[int(last)] = operation["value"]
    elif operation["op"] == "remove":
        del node[last]
    else:
        node[last] = operation["value"]


def _quoted(value: Any) -> Any:
    """``value`` with quotes around each text that Kubernetes' YAML would take for something else."""
    if isinstance(value, dict):
        return {key: _quoted(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_quoted(child) for child in value]
    return SingleQuotedScalarString(value) if isinstance(value, str) and not _is_plain(value) else value


def _is_plain(text: str) -> bool:
    """Whether ``text`` without quotes is that text, in a list between brackets too."""
    try:
        return bool(yaml.load(f"[{text}]", yaml.CSafeLoader) == [text])
    except yaml.YAMLError:
        return False


def dump(objects: list[Object], form: str) -> str:
    """``objects`` as ``yaml`` documents or as ``json``: one object, or a List of several, as kubectl prints them."""
    if form == "json":
        whole = objects[0] if len(objects) == 1 else {"apiVersion": "v1", "kind": "List", "items": objects}
        return json.dumps(whole, indent=4, ensure_ascii=False) + "\n"
    return "---\n".join(
        yaml.dump(obj, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True) for obj in objects
    )


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, and what is the same in two places twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
