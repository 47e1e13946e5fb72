"""Fields that no AsyncActor has: the API server drops them and kubectl refuses them, parsing alone ignores them."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from crds.manifest import schema_of
from crds.models import AsyncActorSpec


@cache
def _spec() -> dict[str, Any]:
    return schema_of(AsyncActorSpec)


def unknown_fields(actor: Mapping[str, Any]) -> list[str]:
    """The paths in the actor's spec that its schema does not have."""
    return _unknown(actor.get("spec"), _spec(), "spec")


def _unknown(value: Any, schema: Mapping[str, Any], path: str) -> list[str]:
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return []
    unknown: list[str] = []
    if isinstance(value, list):
        for n, item in enumerate(value):
            unknown += _unknown(item, schema.get("items") or {}, f"{path}[{n}]")
    elif isinstance(value, dict):
        properties, others = schema.get("properties"), schema.get("additionalProperties")
        for name, item in value.items():
            if properties and name in properties:
                unknown += _unknown(item, properties[name], f"{path}.{name}")
            elif isinstance(others, dict):
                unknown += _unknown(item, others, f"{path}.{name}")
            elif properties:
                unknown.append(f"{path}.{name}")
    return unknown
