"""Tables, which ``kubectl get`` requests from the server."""

import re
from datetime import UTC, datetime
from typing import Any

from sandbox.builtin import ResourceType

Object = dict[str, Any]

_COLUMNS: dict[str, list[tuple[str, str]]] = {
    "Deployment": [
        ("Ready", "{.status.readyReplicas}/{.spec.replicas}"),
        ("Up-to-date", "{.status.updatedReplicas}"),
        ("Available", "{.status.availableReplicas}"),
    ],
    "StatefulSet": [("Ready", "{.status.readyReplicas}/{.spec.replicas}")],
    "ReplicaSet": [("Desired", "{.spec.replicas}"), ("Ready", "{.status.readyReplicas}")],
    "Pod": [("Status", "{.status.phase}")],
    "Job": [("Status", '{.status.conditions[?(@.status=="True")].type}'), ("Active", "{.status.active}")],
    "Namespace": [("Status", "{.status.phase}")],
    "Event": [
        ("Type", "{.type}"),
        ("Reason", "{.reason}"),
        ("Object", "{.involvedObject.kind}/{.involvedObject.name}"),
        ("Message", "{.message}"),
    ],
}
_FILTER = re.compile(r'^(\w+)\[\?\(@\.(\w+)\s*==\s*"([^"]*)"\)\]$')


def lookup(obj: Any, path: str) -> Any:
    """The first value at a JSONPath, or None. The path may have names and equality filters."""
    node = obj
    for part in re.findall(r"\w+\[\?\([^)]*\)\]|[\w-]+", path):
        match = _FILTER.match(part)
        if match:
            items = node.get(match[1]) if isinstance(node, dict) else None
            node = next((i for i in items or () if i.get(match[2]) == match[3]), None)
        else:
            node = node.get(part) if isinstance(node, dict) else None
    return node


def age(timestamp: str) -> str:
    """The time since ``timestamp``, in kubectl's short form."""
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(timestamp)).total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{max(seconds, 0)}s"


def table(resource: ResourceType, items: list[Object], metadata: Object) -> Object:
    """A ``meta.k8s.io/v1`` Table of ``items``."""
    columns: list[Object] = [{"name": "Name", "type": "string", "format": "name", "priority": 0}]
    if resource.columns:
        columns += [{"priority": 0, "format": "", **c} for c in resource.columns]
    else:
        columns += [
            {"name": name, "type": "string", "format": "", "priority": 0, "template": template}
            for name, template in _COLUMNS.get(resource.kind, ())
        ]
        columns.append(
            {
                "name": "Age",
                "type": "date",
                "format": "",
                "priority": 0,
                "jsonPath": ".metadata.creationTimestamp",
            }
        )
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [
            {k: c[k] for k in ("name", "type", "format", "priority")} | {"description": ""} for c in columns
        ],
        "rows": [{"cells": [_cell(c, obj) for c in columns], "object": _partial(obj)} for obj in items],
    }


def _cell(column: Object, obj: Object) -> Any:
    if column["name"] == "Name":
        return obj["metadata"]["name"]
    if "template" in column:
        return re.sub(
            r"\{([^}]*)\}",
            lambda m: str(lookup(obj, m[1]) or 0 if "eplicas" in m[1] else lookup(obj, m[1]) or ""),
            column["template"],
        )
    value = lookup(obj, column["jsonPath"])
    return age(value) if column["type"] == "date" and value else value


def _partial(obj: Object) -> Object:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {k: v for k, v in obj["metadata"].items() if k != "managedFields"},
    }
