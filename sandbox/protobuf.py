"""Reads the protobuf that kubectl and Helm send. Every response is JSON, which both accept."""

import base64
from collections.abc import Iterator
from typing import Any

from sandbox.errors import Failure, Object
from sandbox.protobuf_kinds import KINDS, Schema

MAGIC = b"k8s\x00"

_UNKNOWN: Schema = {1: ("typeMeta", {1: ("apiVersion", "str"), 2: ("kind", "str")}), 2: ("raw", "raw")}


def decode(data: bytes) -> Object:
    """The object in a protobuf body.

    Raises:
        Failure: 415, if its kind or one of its fields is not in :mod:`sandbox.protobuf_kinds`.
    """
    if not data.startswith(MAGIC):
        raise Failure(415, "the body of the request is not Kubernetes protobuf")
    envelope = _message(data[len(MAGIC) :], _UNKNOWN)
    meta = envelope.get("typeMeta") or {}
    schema = KINDS.get(meta.get("kind", ""))
    if schema is None:
        raise Failure(415, f"the sandbox reads no protobuf of kind {meta.get('kind')}: use JSON or YAML")
    return {**meta, **_message(envelope.get("raw") or b"", schema)}


def _message(data: bytes, schema: Schema, of: str = "") -> Object:
    message: Object = {}
    for number, value in _fields(data):
        if number in schema:
            name, form = schema[number]
            _put(message, name, value, form, of)
        elif not _is_empty(value):
            raise Failure(
                415, f"the sandbox does not read field {number} of {of or 'the object'} as protobuf: use YAML"
            )
    return message


def _put(message: Object, name: str, value: Any, form: Any, of: str) -> None:
    """Set the field ``name`` of ``message``. If it is a list or map, add to it."""
    path = f"{of}.{name}" if of else name
    if isinstance(form, tuple):
        message.setdefault(name, []).append(_message(value, form[1], path))
    elif isinstance(form, dict):
        message[name] = _message(value, form, path)
    elif form.startswith("map "):
        entry = dict(_fields(value))
        message.setdefault(name, {})[entry.get(1, b"").decode()] = _scalar(entry.get(2, b""), form[4:])
    elif form.startswith("list "):
        message.setdefault(name, []).append(_scalar(value, form[5:]))
    else:
        scalar = _scalar(value, form)
        if scalar != "" and not (form.endswith("0") and not scalar):
            message[name] = scalar


def _is_empty(value: Any) -> bool:
    """Whether a field is empty. Go sends fields that are not pointers even if they are empty."""
    if not isinstance(value, bytes):
        return not value
    try:
        return all(_is_empty(inner) for _, inner in _fields(value))
    except Failure:
        return False


def _scalar(value: Any, form: str) -> Any:
    if form == "str":
        return value.decode()
    if form == "bytes":
        return base64.b64encode(value).decode()
    if form == "quantity":
        return dict(_fields(value)).get(1, b"").decode()
    if form == "intstr":
        fields = dict(_fields(value))
        return fields.get(3, b"").decode() if fields.get(1) else fields.get(2, 0)
    return bool(value) if form.startswith("bool") else value


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Number and raw value of each field: an integer, or the bytes of a length-delimited field."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
        elif key & 7 == 2:
            length, at = _varint(data, at)
            yield key >> 3, data[at : at + length]
            at += length
        elif key & 7 in (1, 5):
            at += 8 if key & 7 == 1 else 4
        else:
            raise Failure(400, "the body of the request is malformed protobuf")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise Failure(400, "the body of the request ends in the middle of a number")
