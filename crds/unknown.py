"""Finds fields in an actor's spec that the schema does not define.

The API server drops such fields and kubectl refuses them, but the models ignore them. The command uses this module to
report them without a cluster.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from crds.manifest import schema_of
from crds.models import AsyncActorSpec


@cache
def _spec() -> dict[str, Any]:
    return schema_of(AsyncActorSpec)


def unknown_fields(actor: Mapping[str, Any]) -> list[str]:
    """Return the paths of all fields in the actor's spec that the schema does not define."""
    return _unknown(actor.get("spec"), _spec(), "spec")


def _unknown(value: Any, schema: Mapping[str, Any], path: str) -> list[str]:
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return []
    unknown: list[str] = []
    if isinstance(value, list):
        for n, element in enumerate(value):
            unknown += _unknown(element, schema.get("items") or {}, f"{path}[{n}]")
    elif isinstance(value, dict):
        properties, map_values = schema.get("properties"), schema.get("additionalProperties")
        for name, child in value.items():
            if properties and name in properties:
                unknown += _unknown(child, properties[name], f"{path}.{name}")
            elif isinstance(map_values, dict):
                unknown += _unknown(child, map_values, f"{path}.{name}")
            elif properties:
                unknown.append(f"{path}.{name}")
    return unknown
