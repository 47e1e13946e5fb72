"""Kubernetes' own schemas, each read once. Rendered objects are checked against those of every supported version."""

import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema
from referencing import Registry, Resource

Object = dict[str, Any]

ROOT = files("kubernetes_validate") / "kubernetes-json-schema"
VERSIONS = [f"1.{minor}" for minor in range(25, 38)]
FOREIGN = ("cert-manager.io", "monitoring.coreos.com")
"""API groups without a schema in Kubernetes."""


def is_foreign(obj: Object) -> bool:
    """Whether the object's API group is not part of Kubernetes."""
    return obj["apiVersion"].split("/")[0] in FOREIGN


@cache
def _read(version: str, name: str) -> Resource[Any]:
    return Resource.from_contents(json.loads((ROOT / f"v{version}.0-local-strict" / name).read_text()))


@cache
def _validator(version: str, kind: str, api_version: str) -> Any:
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    schema = _read(version, f"{kind.lower()}-{group}.json")
    registry: Registry[Any] = _read(version, "_definitions.json") @ (schema @ Registry())
    return jsonschema.Draft202012Validator(schema.contents, registry=registry)


def complaints(obj: Object, version: str) -> list[str]:
    """The errors of ``obj`` by the strict schemas of a Kubernetes version."""
    errors = _validator(version, obj["kind"], obj["apiVersion"]).iter_errors(obj)
    about = f"{obj['kind']} {obj['metadata']['name']}"
    return [f"{about}: {error.json_path}: {error.message}" for error in errors]
