"""Generates the CustomResourceDefinition from the models.

A structural schema is stricter than JSON schema: it has no ``$ref``, no union with ``null``, and a type at every node.
:func:`structural` converts pydantic's JSON schema and keeps descriptions, defaults, bounds and CEL rules.
Kubernetes applies defaults from the outside in. A nested default therefore needs ``default={}`` on its parent.

The rules: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from pathlib import Path
from typing import Any

import yaml

from crds.models import (
    MAX_SCALED_NAME,
    SCALED_NAME_RULE,
    STATEFUL_SET_NAME,
    STATEFUL_SET_RULE,
    AsyncActorSpec,
    AsyncActorStatus,
)
from crds.names import GROUP, KIND, PLURAL, VERSION

MANIFEST = Path(__file__).with_name("asyncactors.yaml")
NAME = f"{PLURAL}.{GROUP}"

_KEPT_KEYS = (
    "type",
    "format",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "maxProperties",
    "required",
    "x-kubernetes-validations",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)

COLUMNS: list[dict[str, Any]] = [
    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
    {"name": "Type", "type": "string", "jsonPath": ".spec.workload.type"},
    {"name": "Queue", "type": "string", "jsonPath": ".status.queueName"},
    {"name": "Transport", "type": "string", "jsonPath": ".spec.transport.type"},
    {"name": "Up", "type": "integer", "jsonPath": ".status.readyReplicas"},
    {"name": "Replicas", "type": "integer", "jsonPath": ".status.desiredReplicas"},
    {"name": "Min", "type": "integer", "jsonPath": ".spec.scaling.minReplicas"},
    {"name": "Max", "type": "integer", "jsonPath": ".spec.scaling.maxReplicas"},
    {"name": "Active", "type": "boolean", "jsonPath": ".status.scalingActive"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    {"name": "Reason", "type": "string", "jsonPath": ".status.reason", "priority": 1},
    {"name": "Workload", "type": "string", "jsonPath": ".status.workloadRef.name", "priority": 1},
    {"name": "Outdated", "type": "integer", "jsonPath": ".status.outdatedWorkloads", "priority": 1},
]


def structural(node: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """Return ``node``, a part of a pydantic JSON schema, as a Kubernetes structural schema.

    ``defs`` is the schema's ``$defs``. The function does not change its arguments.
    """
    outer = node
    if "anyOf" in node:
        node = next(option for option in node["anyOf"] if option.get("type") != "null")
    if "$ref" in node:
        node = defs[node["$ref"].rpartition("/")[2]]
    if "const" in node:
        node = {"type": "string", "enum": [node["const"]], **node}
    schema: dict[str, Any] = {}
    description = outer.get("description") or node.get("description")
    if description:
        schema["description"] = " ".join(description.split())
    if "x-structural" in outer:
        schema.update(outer["x-structural"])
        return schema
    for key in _KEPT_KEYS:
        for source in (node, outer):
            if key in source:
                schema[key] = source[key]
    if outer.get("default") is not None:
        default = outer["default"]
        schema["default"] = {} if isinstance(default, dict) else default
    if "properties" in node:
        schema["properties"] = {name: structural(child, defs) for name, child in node["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            schema[key] = structural(node[key], defs)
    return schema


def schema_of(model: type[AsyncActorSpec] | type[AsyncActorStatus]) -> dict[str, Any]:
    """Return the structural schema of ``model``."""
    raw = model.model_json_schema()
    return structural(raw, raw.get("$defs", {}))


def manifest() -> dict[str, Any]:
    """Return the CustomResourceDefinition as a JSON object."""
    root = {
        "type": "object",
        "description": "A Python function that runs as autoscaled pods and consumes a queue.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": schema_of(AsyncActorSpec),
            "status": schema_of(AsyncActorStatus),
        },
        "x-kubernetes-validations": [
            {
                "rule": "self.metadata.name.size() <= 63",
                "message": "metadata.name: must be at most 63 characters, "
                "because it is the value of the label asya.io/actor",
            },
            {
                "rule": "!has(self.spec.scaling) || !self.spec.scaling.enabled || self.spec.workload.type == 'Job' || "
                f"self.metadata.name.size() <= {MAX_SCALED_NAME}",
                "message": f"metadata.name: {SCALED_NAME_RULE}",
            },
            {
                "rule": "self.spec.workload.type != 'StatefulSet' || !has(self.spec.workload.template) || "
                "(has(self.spec.workload.name) ? self.spec.workload.name : self.metadata.name)"
                f".matches('{STATEFUL_SET_NAME}')",
                "message": STATEFUL_SET_RULE,
            },
        ],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["asya", "asyas"],
                "categories": ["all"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": root},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": COLUMNS,
                }
            ],
        },
    }


def rendered() -> str:
    """Return the manifest as YAML. ``asya-operator crd`` prints it, and the repository contains it."""
    return "# Generated from crds/models.py by `make generate`. Do not edit.\n" + yaml.safe_dump(
        manifest(), sort_keys=False, width=110, allow_unicode=True
    )
