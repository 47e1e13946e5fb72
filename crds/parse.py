"""Parses a JSON object into an :class:`AsyncActor`, or reports every invalid field.

Each message names the field, its present value and what to do. ``tests/cases/invalid_actors.py`` has a table of
invalid actors.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from crds.models import AsyncActor, field_path


class InvalidActor(ValueError):
    """An AsyncActor breaks the schema. ``errors`` holds one ``field: message`` for each fault."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors


def parse_actor(obj: Mapping[str, Any]) -> AsyncActor:
    """Parse ``obj``, an AsyncActor as JSON, and return the model.

    Raises:
        InvalidActor: ``obj`` has faults. The exception lists all of them, each with its field.
    """
    try:
        return AsyncActor.model_validate(obj)
    except ValidationError as error:
        raise InvalidActor([_message(e) for e in error.errors(include_url=False)]) from None


def _message(error: Any) -> str:
    path = field_path(error["loc"])
    if error["type"] == "asya":
        context = error.get("ctx") or {}
        if "path" not in context:
            return f"{path}: {error['msg']}"
        separator = "" if context["path"].startswith("[") else "."
        return f"{path}{separator}{context['path']}: {context['message']}"
    if error["type"] == "missing":
        return f"{path}: required"
    value = error.get("input")
    shown = "" if isinstance(value, dict | list) else f"; found {value!r}"
    return f"{path}: {error['msg'][:1].lower()}{error['msg'][1:]}{shown}"
