"""The parts that all API models share: the base class, patterns for names, and helpers for CEL rules."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
MAX_NAME = 63
"""Longest name of an actor, in characters. The name is a label value, and Kubernetes limits those to 63 characters."""

Object = dict[str, Any]
"""A Kubernetes object, or a part of one, as parsed JSON."""


def fail(path: str, message: str) -> PydanticCustomError:
    """Return a validation error with ``message``. ``path`` is relative to the model that is being validated."""
    return PydanticCustomError("asya", "{path}: {message}", {"path": path, "message": message})


class Model(BaseModel):
    """Base of all API models: camelCase in JSON, snake_case in Python. A null field counts as absent."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, strict=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, section: Any) -> Any:
        return {k: v for k, v in section.items() if v is not None} if isinstance(section, dict) else section


def cel(*rules: tuple[str, str]) -> dict[str, Any]:
    """Return the JSON-schema extra for ``x-kubernetes-validations``. Each rule is a pair of CEL and message."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}


def schema(**extra: Any) -> dict[str, Any]:
    """Return the JSON-schema extra for a field that holds a Kubernetes type without a model here."""
    return {"x-structural": extra}
