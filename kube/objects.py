"""Kubernetes objects as plain JSON, and the facts of their metadata that many need."""

from typing import Any

Object = dict[str, Any]
Objects = list[Object]
Key = tuple[str, str]
"""Namespace and name."""


def key_of(obj: Object) -> Key:
    """Namespace and name of ``obj``."""
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def controller_of(obj: Object) -> str:
    """Uid of the owner that controls ``obj``, or an empty string."""
    owners = obj["metadata"].get("ownerReferences") or ()
    return next((o["uid"] for o in owners if o.get("controller")), "")


def version_of(obj: Object) -> int:
    """The resource version, as a number; 0 if it is none.

    Those of one resource can be compared, by Kubernetes' promise since 1.35 and by etcd's before.
    """
    version = obj["metadata"].get("resourceVersion", "")
    return int(version) if version.isdecimal() else 0


def slim(obj: Object) -> Object:
    """``obj`` without its managedFields, which are half of it and never read from a cache."""
    if isinstance(obj.get("metadata"), dict):
        obj["metadata"].pop("managedFields", None)
    return obj


def annotation(obj: Object, name: str) -> str:
    """The value of an annotation; empty where there is none."""
    return str((obj["metadata"].get("annotations") or {}).get(name, ""))
