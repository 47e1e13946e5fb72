"""Deletion with ``propagationPolicy: Orphan``: the dependents stay and lose their owner."""

from typing import Any

from sandbox.builtin import ResourceType
from sandbox.store import Key, Store
from sandbox.writes import now

Object = dict[str, Any]


def delete_orphaning(store: Store, resource: ResourceType, key: Key, old: Object) -> Object:
    """Mark an object as being deleted before its dependents lose it, as the finalizer ``orphan`` does."""
    metadata = {**old["metadata"], "deletionTimestamp": old["metadata"].get("deletionTimestamp") or now()}
    marked = {**metadata, "finalizers": [*(metadata.get("finalizers") or ()), "orphan"]}
    stored = store.put(resource.qualified, key, {**old, "metadata": marked}, expect=old)
    _orphan(store, old["metadata"]["uid"])
    # Written to meanwhile, it may have other finalizers: of this one only the mark goes.
    latest = store.get(resource.qualified, key) or stored
    left = [f for f in latest["metadata"].get("finalizers") or () if f != "orphan"]
    return store.put(
        resource.qualified, key, {**latest, "metadata": {**latest["metadata"], "finalizers": left}}, expect=latest
    )


def _orphan(store: Store, uid: str) -> None:
    for resource, key in store.dependents(uid):
        obj = store.get(resource, key)
        if obj:
            owners = [o for o in obj["metadata"]["ownerReferences"] if o["uid"] != uid]
            metadata = {**obj["metadata"], "ownerReferences": owners}
            store.put(resource, key, {**obj, "metadata": metadata}, expect=obj)
