"""As much of Kubernetes' protobuf as Helm speaks, which keeps its releases in Secrets or ConfigMaps that way.

Everything else is JSON here. Field numbers are from ``generated.proto`` in k8s.io/api and
k8s.io/apimachinery.
"""

import base64
from collections.abc import Iterator
from typing import Any

from sandbox.errors import Failure, Object

MAGIC = b"k8s\x00"

Schema = dict[int, tuple[str, Any]]
"""Number to name and form: ``str``, ``int``, ``bool``, ``bytes``, a schema, or one of the last two in a list or map."""

_META: Schema = {
    1: ("name", "str"),
    2: ("generateName", "str"),
    3: ("namespace", "str"),
    5: ("uid", "str"),
    6: ("resourceVersion", "str"),
    11: ("labels", "map str"),
    12: ("annotations", "map str"),
    14: ("finalizers", "list str"),
}
_OBJECTS: dict[str, Schema] = {
    "Secret": {1: ("metadata", _META), 2: ("data", "map bytes"), 3: ("type", "str"), 4: ("stringData", "map str")},
    "ConfigMap": {1: ("metadata", _META), 2: ("data", "map str"), 3: ("binaryData", "map bytes")},
    "DeleteOptions": {1: ("gracePeriodSeconds", "int"), 4: ("propagationPolicy", "str"), 5: ("dryRun", "list str")},
}
_UNKNOWN: Schema = {1: ("typeMeta", {1: ("apiVersion", "str"), 2: ("kind", "str")}), 2: ("raw", "raw")}


def decode(data: bytes) -> Object:
    """The object in a protobuf body.

    Raises:
        Failure: 415, if it is of a kind that is not known here.
    """
    if not data.startswith(MAGIC):
        raise Failure(415, "the body of the request is no protobuf of Kubernetes")
    envelope = _message(data[len(MAGIC) :], _UNKNOWN)
    meta = envelope.get("typeMeta") or {}
    schema = _OBJECTS.get(meta.get("kind", ""))
    if schema is None:
        raise Failure(415, f"the sandbox reads no protobuf of kind {meta.get('kind')}: use JSON or YAML")
    return {**meta, **_message(envelope.get("raw") or b"", schema)}


def _message(data: bytes, schema: Schema) -> Object:
    result: Object = {}
    for number, value in _fields(data):
        if number not in schema:
            continue
        name, form = schema[number]
        if isinstance(form, dict):
            result[name] = _message(value, form)
        elif form.startswith("map "):
            entry = dict(_fields(value))
            result.setdefault(name, {})[entry.get(1, b"").decode()] = _scalar(entry.get(2, b""), form[4:])
        elif form.startswith("list "):
            result.setdefault(name, []).append(_scalar(value, form[5:]))
        else:
            scalar = _scalar(value, form)
            if scalar != "":
                result[name] = scalar
    return result


def _scalar(value: Any, form: str) -> Any:
    if form == "str":
        return value.decode()
    if form == "bytes":
        return base64.b64encode(value).decode()
    return bool(value) if form == "bool" else value


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Number and raw value of each field: an integer, or the bytes of a length-delimited one."""
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
    result = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7
    raise Failure(400, "the body of the request ends in the middle of a number")
