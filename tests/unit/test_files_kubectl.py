# ruff: noqa: E501
"""The project reads a file as kubectl does."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings

from files.nodes import BadFile
from files.reading import documents_of, written
from files.scalars import BadScalar
from tests.files import kubectl
from tests.files.kubectl import comparable
from tests.files.manifests import FILES, SEEDS
from tests.files.table import FILE, drawn, ours, theirs
from tests.golden import offline

needs_kubectl = pytest.mark.skipif(bool(kubectl.why_not()), reason=kubectl.why_not())
C = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"
J = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s"}}'
A, B, JA, JB = C % "a", C % "b", J % "a", J % "b"


def as_numbers(pair: tuple[Any, str | None]) -> tuple[Any, str | None]:
    return (pair[0] if pair[0] is BadScalar else comparable(pair[0])), pair[1]


def test_every_scalar_of_the_recorded_table() -> None:
    rows = json.loads(FILE.read_text())
    assert len(rows) > 900
    matches = {text: as_numbers(ours(text)) for text in rows}
    assert matches == {t: as_numbers((BadScalar if v == "refused" else v["is"], k)) for t, (v, k) in rows.items()}


@needs_kubectl
@settings(max_examples=5)
@given(SEEDS)
def test_every_scalar_in_every_place(rnd: random.Random) -> None:
    texts = drawn(rnd, 300)
    assert [as_numbers(ours(t)) for t in texts] == [as_numbers(t) for t in theirs(texts)]


@needs_kubectl
@settings(max_examples=12)
@given(FILES)
def test_whole_files_before_and_after_injection(file: tuple[bytes, list[Any]]) -> None:
    documents = documents_of(file[0], "f")
    known = offline()
    for version in (documents, [known.inject(d) for d in documents]):
        mine = [d.value for d in version if d.value is not None]
        assert comparable(mine) == comparable(kubectl.objects(written(version)))


STREAMS: dict[str, tuple[str | bytes, list[str] | None]] = {
    "documents": (A + "---\n" + B, ["a", "b"]),
    "a comment behind the separator": (A + "--- # c\n" + B, ["a", "b"]),
    "a value behind the separator": (A + "--- {a: b}\n", None),
    "a tag behind the separator": ("--- !!map\n" + A, None),
    "what follows the end of a document is not read": (A + "...\n" + B, ["a"]),
    "not even if it is bad": (A + "...\na: [", ["a"]),
    "an end and a separator": (A + "...\n---\n" + B, ["a", "b"]),
    "a directive before a separator": ("%YAML 1.1\n---\n" + A, None),
    "a byte order mark": ("\ufeff" + A, ["a"]),
    "another in the second document": (A + "---\n\ufeff" + B, ["a", "b"]),
    "a byte order mark before JSON": ("\ufeff" + JA, ["a"]),
    "JSON objects one behind the other": (JA + JB, ["a", "b"]),
    "JSON objects on lines": (JA + "\n" + JB + "\n", ["a", "b"]),
    "JSON, then YAML": (JA + "\n---\n" + B, ["a", "b"]),
    "JSON, then JSON behind a separator": (JA + "\n---\n" + JB, ["a", "b"]),
    "JSON behind a separator": ("---\n" + JA + "\n---\n" + JB, ["a", "b"]),
    "JSON that is cut off": (JA + '\n{"a":', None),
    "JSON, then something else": (JA + " xx", None),
    "flow style is no JSON": ("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n---\n" + B, ["a", "b"]),
    "nor with a trailing comma": (JA[:-2] + ",},}\n", ["a"]),
    "nor with a comment": (JA.replace(",", ", # c\n", 1), ["a"]),
    "a comment before JSON": ("# c\n" + JA, ["a"]),
    "emoji as surrogate pairs": (JA[:-1] + ',"data":{"x":"\\ud83d\\ude00"}}', ["a"]),
    "half a pair": (JA[:-1] + ',"data":{"x":"\\ud83d"}}', ["a"]),
    "a surrogate pair in YAML": (A + 'data: {x: "\\ud83d\\ude00"}\n', None),
    "an emoji": (A + 'data: {x: "\U0001f600"}\n', ["a"]),
    "UTF-16, little end first": (("\ufeff" + A + "---\n" + B).encode("utf-16-le"), ["a", "b"]),
    "UTF-16, big end first": (("\ufeff" + A).encode("utf-16-be"), ["a"]),
    "UTF-16 without a byte order mark": (A.encode("utf-16-le"), None),
    "UTF-16 with an emoji": (("\ufeff" + A + 'data: {x: "\U0001f600"}\n').encode("utf-16-le"), ["a"]),
    "UTF-32": (("\ufeff" + A).encode("utf-32-le"), None),
    "CRLF": ((A + "---\n" + B).replace("\n", "\r\n"), ["a", "b"]),
    "bytes that are not UTF-8": (A.encode() + b'data: {x: "\xe9"}\n', ["a"]),
    "bytes that are not UTF-8 in JSON": (JA[:-1].encode() + b',"data":{"x":"\xe9"}}', ["a"]),
    "a control character": (A + 'data: {x: "\x01"}\n', None),
    "a form feed": (A + "\x0c---\n" + B, None),
    "no line feed at the end of a block": (A + "data:\n  x: |\n    text", ["a"]),
    "a tab before a comment": (A + "data: {}\t# c\n", ["a"]),
    "a tab for indentation": (A + "data:\n\tx: y\n", None),
    "a tab before a comment on its own line": (A + "data:\n  x: y\n\t# c\n", None),
    "a tab behind a dash": (A + "x:\n  -\t# c\n    a: b\n", None),
    "nothing": ("", []),
    "empty documents": ("---\n---\n" + A + "---\n# end\n", ["a"]),
    "null": ("null\n---\n" + A, ["a"]),
    "NaN": (A + "data: {x: .nan}\n", None),
    "a tag that does not fit": (A + "data: {x: !!int y}\n", None),
    "tags that fit": (A + 'data: {x: !!int "0o17", y: !!str 1, z: !foo 12, b: !!bool "yes", f: !!float 1, h: !!binary aGk=}\n', ["a"]),
    "tags of collections": (A + "data: {a: !!set {a, b}, b: !!omap [a: b], c: !foo {a: b}, d: ! 12}\n", ["a"]),
    "a null key": (A + "data: {~: x}\n", None),
    "a list as a key": (A + "data: {[a]: x}\n", None),
    "keys of other types": (A + "data: {1: a, 1.5: b, yes: c, 0x10: d, 1e30: e, 2020-01-01: f, 1e6: g}\n", ["a"]),
    "merge keys": (A + "b: &b {x: 1}\nc: &c {x: 2, z: 3}\nd: {<<: [*b, *c], w: 1}\ne: {x: 0, <<: *b}\nf: {<<: *b, x: 4}\n", ["a"]),
    "a quoted merge key is none": (A + 'd: {"<<": {x: 1}, !!str <<: 1}\n'.replace(", !!str <<: 1", ""), ["a"]),
    "a merge of null": (A + "d: {<<: null}\n", None),
    "two merge keys": (A + "d:\n  <<: {x: 1}\n  <<: {x: 2}\n", ["a"]),
    "an anchor that is not known": (A + "d: *x\n", None),
    "an anchor in itself": (A + "d: &x [*x]\n", None),
    "an anchor that is given twice": (A + "b: &x 1\nc: &x 2\nd: *x\n", ["a"]),
    "an alias as a key": (A + "d: {&k a: 1, b: *k}\n", ["a"]),
    "block scalars": (A + "d:\n  a: |+\n    x\n\n\n  b: >-\n    y\n    z\n\n  c: |2\n     k\n", ["a"]),
}  # fmt: skip


@pytest.mark.parametrize("name", STREAMS)
def test_streams(name: str) -> None:
    text, names = STREAMS[name]
    data = text.encode() if isinstance(text, str) else text
    if not kubectl.why_not():
        objects = kubectl.objects(data)
        assert (None if isinstance(objects, str) else [o["metadata"]["name"] for o in objects]) == names
    if names is None:
        with pytest.raises(BadFile, match=r"^f:\d+:\d+: "):
            documents_of(data, "f")
        return
    documents = documents_of(data, "f")
    assert written(documents) == data
    mine = [d.value for d in documents if d.value is not None]
    assert [o["metadata"]["name"] for o in mine] == names
    if not kubectl.why_not():
        assert comparable(mine) == comparable(kubectl.objects(data))
