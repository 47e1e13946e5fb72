"""Types for Kubernetes objects as parsed JSON, and helpers that read their metadata."""

from typing import Any

Object = dict[str, Any]
Objects = list[Object]
Key = tuple[str, str]
"""Namespace and name."""


def key_of(obj: Object) -> Key:
    """Return the namespace and the name of ``obj``."""
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def controller_of(obj: Object) -> str:
    """Return the uid of the owner that controls ``obj``, or an empty string."""
    owners = obj["metadata"].get("ownerReferences") or ()
    return next((o["uid"] for o in owners if o.get("controller")), "")


def version_of(obj: Object) -> int:
    """Return the resource version as a number. Return 0 if it is not a number.

    Versions of the same resource can be compared. Kubernetes guarantees it since 1.35, and etcd guaranteed it before.
    """
    version = obj["metadata"].get("resourceVersion", "")
    return int(version) if version.isdecimal() else 0


def slim(obj: Object) -> Object:
    """Remove managedFields from ``obj`` and return it. They are half of an object, and no cache needs them."""
    if isinstance(obj.get("metadata"), dict):
        obj["metadata"].pop("managedFields", None)
    return obj


def annotation(obj: Object, name: str) -> str:
    """Return the value of an annotation, or an empty string."""
    return str((obj["metadata"].get("annotations") or {}).get(name, ""))
