"""What an edit replaced, kept in the record that injection leaves, so that the same bytes can be put back.

Most edits need none: a line that was added is taken out again. An alias, a ``null`` or a number in another spelling
does. The original texts are one more member of the record's JSON, which those who read only the record pass over.
"""

import json
from collections.abc import Mapping
from typing import Any

from files.editing import CannotEdit, Editor
from files.nodes import BadFile, alike
from files.pointers import at
from files.reading import Document

MEMBER = "text"
"""Of the record: original texts by JSON pointer, from the document's root."""


def remembering(record: str, originals: Mapping[str, str]) -> str:
    """The record's JSON with original texts in it."""
    return json.dumps({**json.loads(record), MEMBER: dict(originals)}, separators=(",", ":"), ensure_ascii=False)


def remembered(record: Any) -> dict[str, str]:
    """The original texts in what may be a record's JSON."""
    try:
        parsed = json.loads(record).get(MEMBER) if isinstance(record, str) else None
    except (ValueError, AttributeError, RecursionError):
        return {}
    return {k: v for k, v in parsed.items() if isinstance(v, str)} if isinstance(parsed, dict) else {}


def changed(document: Document, new: Any) -> tuple[Document, dict[str, str]]:
    """``document`` saying ``new``, and the original texts of what was replaced.

    Raises:
        BadFile: if its text cannot be edited so that it does.
    """
    assert document.root is not None, "a document that says nothing is never changed"
    editor = Editor(document.text, document.root, as_json=document.json)
    try:
        made = document.with_text(editor.change(new))
    except CannotEdit:
        made = document
    if not alike(made.value, new):
        raise BadFile(
            f"{document.origin}:{document.line}:1: this document's style is not understood well enough to edit it "
            "in place; write its pod template in block style, without anchors"
        )
    return made, editor.originals


def restored(document: Document, wanted: Any, originals: Mapping[str, str]) -> Document:
    """``document`` saying ``wanted``, with those original texts put back that still mean what is wanted.

    Raises:
        BadFile: if its text cannot be edited so that it does.
    """
    assert document.root is not None, "a document that says nothing is never changed"
    left = dict(originals)
    while True:
        editor = Editor(document.text, document.root, as_json=document.json, undo=True, restore=left)
        try:
            made = document.with_text(editor.change(wanted))
        except (CannotEdit, BadFile):
            made = None
        if made is not None and alike(made.value, wanted):
            return made
        if not left:
            raise BadFile(
                f"{document.origin}:{document.line}:1: the injection cannot be taken out of this document's text"
            )
        keep = {p: t for p, t in left.items() if made is not None and alike(at(made.value, p), at(wanted, p))}
        left = keep if len(keep) < len(left) else {}
