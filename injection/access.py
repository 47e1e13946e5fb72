"""Reading objects that may have any shape: a review may come from anyone, and an annotation may say anything."""

import posixpath
from typing import Any

from crds.names import DISABLED, INJECT

Object = dict[str, Any]


def map_of(obj: Object | None, part: str) -> Object:
    """A map of the metadata of an object: its ``labels`` or its ``annotations``."""
    metadata = (obj or {}).get("metadata")
    value = metadata.get(part) if isinstance(metadata, dict) else None
    return value if isinstance(value, dict) else {}


def name_of(item: Any) -> Any:
    """The name of a container, a volume or a variable."""
    return item.get("name") if isinstance(item, dict) else None


def list_of(holder: Any, key: str) -> list[Any]:
    """A list of an object; an empty one where there is none."""
    value = holder.get(key) if isinstance(holder, dict) else None
    return value if isinstance(value, list) else []


def value_of(container: Any, variable: str) -> str | None:
    """The plain value of a container's variable; None where it has none, or one from elsewhere."""
    result = None
    for entry in list_of(container, "env"):
        if name_of(entry) == variable:
            value = entry.get("value")
            result = value if isinstance(value, str) else None
    return result


def is_disabled(obj: Object) -> bool:
    """Whether a workload, a template or a pod says ``asya.io/inject: disabled``, as label or annotation."""
    return DISABLED in (map_of(obj, part).get(INJECT) for part in ("labels", "annotations"))


def mount_path(mount: Any) -> str | None:
    """Where a volume mount is in the container, as the kubelet takes its path: absolute, without ``.`` and ``//``."""
    path = mount.get("mountPath") if isinstance(mount, dict) else None
    return "/" + posixpath.normpath("/" + path).lstrip("/") if isinstance(path, str) else None


def linked_path(path: str) -> str:
    """Where ``path`` leads on most images, on which ``/var/run`` is a link to ``/run``."""
    return path.removeprefix("/var") if f"{path}/".startswith("/var/run/") else path
