"""Checks that a pod template has the types that injection relies on, and names the first field that does not.

The API server validates built-in kinds before it calls admission. It does not validate the template of a ScaledJob or
of an AsyncActor, because their schemas preserve unknown fields. A client can also send a review directly. Only the
fields below are checked. A null field counts as absent, as in Kubernetes.
"""

from typing import Any, NamedTuple

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

_Map = dict[str, str | None]
_Any = dict[str, Any]


@with_config(ConfigDict(strict=True))
class Shape(TypedDict, total=False):
    """An object with typed fields. The check is strict: a numeric string is not a number, a number is not a string."""


class _Named(Shape, total=False):
    name: str | None


class _Variable(_Named, total=False):
    value: str | None
    valueFrom: _Any | None


class _Mount(_Named, total=False):
    mountPath: str | None


class _Port(_Named, total=False):
    containerPort: int | None
    protocol: str | None


class _Resources(Shape, total=False):
    limits: _Any | None
    requests: _Any | None


class _Container(_Named, total=False):
    env: list[_Variable] | None
    volumeMounts: list[_Mount] | None
    ports: list[_Port] | None
    command: list[str] | None
    securityContext: _Any | None
    resources: _Resources | None


class _Metadata(Shape, total=False):
    labels: _Map | None
    annotations: _Map | None
    ownerReferences: list[_Any] | None


class _PodSpec(Shape, total=False):
    containers: list[_Container] | None
    initContainers: list[_Container] | None
    ephemeralContainers: list[_Container] | None
    volumes: list[_Named] | None
    terminationGracePeriodSeconds: int | None
    restartPolicy: str | None
    os: _Named | None
    nodeSelector: _Map | None
    securityContext: _Any | None


class _Template(Shape, total=False):
    metadata: _Metadata | None
    spec: _PodSpec | None


class _Claim(Shape, total=False):
    metadata: _Named | None
    spec: _Any | None


METADATA: TypeAdapter[_Metadata | None] = TypeAdapter(_Metadata | None)
TEMPLATE: TypeAdapter[_Template | None] = TypeAdapter(_Template | None)
CLAIM: TypeAdapter[_Claim | None] = TypeAdapter(_Claim | None)

_WORDS = {"string_type": "a string", "int_type": "a whole number", "dict_type": "an object", "list_type": "a list"}


class Fault(NamedTuple):
    """A field with a wrong type."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path or 'the template'}: {self.message}"


def shape_fault(value: Any, shape: TypeAdapter[Any] = TEMPLATE, path: str = "") -> Fault | None:
    """Return the first fault of ``value``, or None. ``path`` is where ``value`` stands in its object."""
    try:
        shape.validate_python(value)
    except ValidationError as invalid:
        error = invalid.errors(include_url=False, include_context=False)[0]
        expected = _WORDS.get(error["type"], error["msg"])
        return Fault(_join(path, error["loc"]), f"must be {expected}; found {_type_word(error['input'])}")
    return None


def _join(path: str, parts: tuple[int | str, ...]) -> str:
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _type_word(value: Any) -> str:
    words = {dict: "an object", list: "a list", bool: "a boolean", str: "a string", float: "a fraction"}
    return "null" if value is None else words.get(type(value), "a number")
