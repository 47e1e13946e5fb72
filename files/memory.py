"""Stores the texts that an edit replaces in the record of the injection, so that the same bytes can be restored.

Most edits need no stored text: to undo an added line, it is deleted. Only a replaced text must be stored, for example
an alias, a ``null`` or a number in another notation. The texts are an additional member of the record's JSON. Readers
of the record ignore this member.
"""

import json
from collections.abc import Mapping
from typing import Any

from files.editing import CannotEdit, Editor
from files.nodes import BadFile, is_alike
from files.pointers import at
from files.reading import Document

MEMBER = "text"
"""The member of the record with the original texts, by JSON pointer from the document's root."""


def add_originals(record: str, originals: Mapping[str, str]) -> str:
    """The record's JSON with original texts in it."""
    return json.dumps({**json.loads(record), MEMBER: dict(originals)}, separators=(",", ":"), ensure_ascii=False)


def originals_of(record: Any) -> dict[str, str]:
    """The original texts in ``record``; empty if it is not a record's JSON."""
    try:
        parsed = json.loads(record).get(MEMBER) if isinstance(record, str) else None
    except (ValueError, AttributeError, RecursionError):
        return {}
    return {k: v for k, v in parsed.items() if isinstance(v, str)} if isinstance(parsed, dict) else {}


def edit(document: Document, new: Any) -> tuple[Document, dict[str, str]]:
    """``document`` with the value ``new``, and the texts that the edit replaced.

    Raises:
        BadFile: if the document's text cannot be edited to have this value.
    """
    assert document.root is not None, "an empty document is never changed"
    editor = Editor(document.text, document.root, as_json=document.json)
    try:
        edited = document.with_text(editor.change(new))
    except CannotEdit:
        edited = document
    if not is_alike(edited.value, new):
        raise BadFile(
            f"{document.origin}:{document.line}:1: this document's style is not understood well enough to edit it "
            "in place; write its pod template in block style, without anchors"
        )
    return edited, editor.originals


def undo(document: Document, desired: Any, originals: Mapping[str, str]) -> Document:
    """``document`` with the value ``desired``. An original text is restored if it still has the desired value.

    Raises:
        BadFile: if the document's text cannot be edited to have this value.
    """
    assert document.root is not None, "an empty document is never changed"
    remaining = dict(originals)
    while True:
        editor = Editor(document.text, document.root, as_json=document.json, undo=True, restore=remaining)
        try:
            edited = document.with_text(editor.change(desired))
        except (CannotEdit, BadFile):
            edited = None
        if edited is not None and is_alike(edited.value, desired):
            return edited
        if not remaining:
            raise BadFile(
                f"{document.origin}:{document.line}:1: the injection cannot be taken out of this document's text"
            )
        keep = {
            p: t for p, t in remaining.items() if edited is not None and is_alike(at(edited.value, p), at(desired, p))
        }
        remaining = keep if len(keep) < len(remaining) else {}
