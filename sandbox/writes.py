"""Pure functions about writes: the fields that a write may change, and those that the API server changes by itself."""

from datetime import UTC, datetime
from typing import Any

from sandbox.builtin import ResourceType

Object = dict[str, Any]


def now() -> str:
    """The current time in Kubernetes' format."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def restrict(resource: ResourceType, old: Object, new: Object, subresource: str) -> Object:
    """``new`` with the old values of all fields that this endpoint does not write."""
    unchangeable = (
        "uid",
        "creationTimestamp",
        "generation",
        "resourceVersion",
        "deletionTimestamp",
        "namespace",
        "name",
    )
    metadata = {**new["metadata"], **{k: old["metadata"][k] for k in unchangeable if k in old["metadata"]}}
    if "deletionTimestamp" not in old["metadata"]:
        metadata.pop("deletionTimestamp", None)
    if subresource == "status":
        written = {"managedFields": new["metadata"].get("managedFields")}
        if resource.kind == "Deployment":  # its controller writes the revision with the status
            written["annotations"] = new["metadata"].get("annotations") or {}
        return {
            **old,
            "metadata": {**old["metadata"], **written},
            **({"status": new["status"]} if "status" in new else {}),
        }
    restricted = {**new, "metadata": metadata}
    if "status" in resource.subresources:
        restricted.pop("status", None)
        if "status" in old:
            restricted["status"] = old["status"]
    return restricted


def with_generation(old: Object | None, new: Object, subresource: str) -> Object:
    """``new`` with its generation. It grows with every change outside of metadata and status."""
    ignored = ("metadata", "status")
    if old is None or subresource == "status":
        return new
    # A Deployment's annotations are copied to its ReplicaSets, so changing them counts as a change of the Deployment.
    is_annotated = new["kind"] == "Deployment" and old["metadata"].get("annotations") != new["metadata"].get(
        "annotations"
    )
    if is_annotated or {k: v for k, v in old.items() if k not in ignored} != {
        k: v for k, v in new.items() if k not in ignored
    }:
        new = {
            **new,
            "metadata": {**new["metadata"], "generation": old["metadata"].get("generation", 0) + 1},
        }
    return new


def is_same(old: Object, new: Object) -> bool:
    """Whether a write changes nothing."""
    return old == new or old == {
        **new,
        "metadata": {**new["metadata"], "resourceVersion": old["metadata"].get("resourceVersion")},
    }
