"""What all models of the API share: the base class, patterns, and how a rule is written for the API server."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"
MAX_NAME = 63
"""An actor's name is a label value, and label values hold 63 characters."""

Object = dict[str, Any]
"""A Kubernetes object, or a part of one, as plain JSON."""


def fail(path: str, message: str) -> PydanticCustomError:
    """A validation error of ``message`` at ``path`` below the model being validated."""
    return PydanticCustomError("asya", "{path}: {message}", {"path": path, "message": message})


class Model(BaseModel):
    """Base of all: camelCase on the wire, snake_case in Python; null means absent, as in Kubernetes."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, strict=True, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:
        return {k: v for k, v in data.items() if v is not None} if isinstance(data, dict) else data


def cel(*rules: tuple[str, str]) -> dict[str, Any]:
    """JSON-schema extra that becomes ``x-kubernetes-validations``: pairs of rule and message."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}


def schema(**extra: Any) -> dict[str, Any]:
    """JSON-schema extra for a field whose value is Kubernetes' own and is not modelled here."""
    return {"x-structural": extra}
