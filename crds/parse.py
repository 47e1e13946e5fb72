"""From a plain object to an :class:`AsyncActor`, or to messages that name the field.

Parsing is where bad input is told apart from good, so every message says which field, what was
found there and what to do. A table of such cases is in ``tests/cases/invalid_actors.py``.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from crds.models import AsyncActor, field_path


class InvalidActor(ValueError):
    """An AsyncActor that breaks the schema; ``errors`` holds one ``field: message`` a fault."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors


def parse_actor(obj: Mapping[str, Any]) -> AsyncActor:
    """Parse ``obj``, an AsyncActor as JSON.

    Raises:
        InvalidActor: with every fault that was found, each naming its field.
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
