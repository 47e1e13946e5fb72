"""Deletion with ``propagationPolicy: Orphan``: the dependents stay, without their owner reference."""

from typing import Any

from sandbox.builtin import ResourceType
from sandbox.store import Key, Store
from sandbox.writes import now

Object = dict[str, Any]


def delete_orphaning(store: Store, resource: ResourceType, key: Key, old: Object) -> Object:
    """Mark an object as deleted, then remove it from the owners of its dependents, as the finalizer ``orphan`` does."""
    metadata = {**old["metadata"], "deletionTimestamp": old["metadata"].get("deletionTimestamp") or now()}
    marked = {**metadata, "finalizers": [*(metadata.get("finalizers") or ()), "orphan"]}
    stored = store.put(resource.qualified, key, {**old, "metadata": marked}, expect=old)
    _orphan(store, old["metadata"]["uid"])
    # Another writer may have added finalizers meanwhile, so remove only this one.
    latest = store.get(resource.qualified, key) or stored
    remaining = [f for f in latest["metadata"].get("finalizers") or () if f != "orphan"]
    return store.put(
        resource.qualified, key, {**latest, "metadata": {**latest["metadata"], "finalizers": remaining}}, expect=latest
    )


def _orphan(store: Store, uid: str) -> None:
    for resource, key in store.dependents(uid):
        obj = store.get(resource, key)
        if obj:
            owners = [o for o in obj["metadata"]["ownerReferences"] if o["uid"] != uid]
            metadata = {**obj["metadata"], "ownerReferences": owners}
            store.put(resource, key, {**obj, "metadata": metadata}, expect=obj)
