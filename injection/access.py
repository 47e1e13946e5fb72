"""Reads parts of objects that may have any shape.

Any client can send a review, and any user can write an annotation, so these functions trust no type.
"""

import posixpath
from typing import Any

from crds.names import DISABLED, INJECT
from kube.objects import Object


def map_of(obj: Object | None, part: str) -> Object:
    """Return the ``labels`` or the ``annotations`` of an object, or an empty map."""
    metadata = (obj or {}).get("metadata")
    mapping = metadata.get(part) if isinstance(metadata, dict) else None
    return mapping if isinstance(mapping, dict) else {}


def name_of(part: Any) -> Any:
    """Return the name of a container, a volume or a variable, or None."""
    return part.get("name") if isinstance(part, dict) else None


def list_of(parent: Any, key: str) -> list[Any]:
    """Return the list at ``key`` of ``parent``, or an empty list."""
    elements = parent.get(key) if isinstance(parent, dict) else None
    return elements if isinstance(elements, list) else []


def value_of(container: Any, variable: str) -> str | None:
    """Return the literal value of a container's variable. None if the variable is absent or uses ``valueFrom``."""
    literal = None
    for entry in list_of(container, "env"):
        if name_of(entry) == variable:
            value = entry.get("value")
            literal = value if isinstance(value, str) else None
    return literal


def is_disabled(obj: Object) -> bool:
    """Whether a workload, a template or a pod has ``asya.io/inject: disabled`` as label or annotation."""
    return DISABLED in (map_of(obj, part).get(INJECT) for part in ("labels", "annotations"))


def mount_path(mount: Any) -> str | None:
    """Return a mount's path as the kubelet interprets it: absolute, without ``.`` and ``//``. None if there is none."""
    path = mount.get("mountPath") if isinstance(mount, dict) else None
    return "/" + posixpath.normpath("/" + path).lstrip("/") if isinstance(path, str) else None


def linked_path(path: str) -> str:
    """Return ``path`` with the link ``/var/run`` resolved. On most images it points to ``/run``."""
    return path.removeprefix("/var") if f"{path}/".startswith("/var/run/") else path
