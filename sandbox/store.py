"""Stores versioned objects and a log of their changes, as etcd and the API server's watch cache do."""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.errors import Failure

Object = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name."""
HISTORY = 5000
"""Number of changes that are kept for each resource. A watch from an older version gets 410."""


@dataclass(frozen=True)
class Change:
    """One change of one object. ``old`` is the object before the change, None if it is new."""

    version: int
    type: str
    object: Object
    old: Object | None


class Store:
    """All objects, by resource (``plural.group``) and key. Stored objects are never changed; they are replaced."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._version = 1
        self._objects: dict[str, dict[Key, Object]] = defaultdict(dict)
        self._log: dict[str, deque[Change]] = defaultdict(lambda: deque(maxlen=HISTORY))
        self._dropped: dict[str, int] = defaultdict(int)
        self._dependents: dict[str, set[tuple[str, Key]]] = defaultdict(set)
        self._uids: dict[str, tuple[str, Key]] = {}
        self.listeners: list[Callable[[str, Change], None]] = []
        self.closed = False

    @property
    def version(self) -> int:
        """The latest resource version."""
        return self._version

    def get(self, resource: str, key: Key) -> Object | None:
        """The object, or None."""
        return self._objects[resource].get(key)

    def all(self, resource: str, namespace: str = "") -> list[Object]:
        """All objects of ``resource``, ordered by namespace and name."""
        with self.lock:
            items = sorted(self._objects[resource].items())
        return [obj for (ns, _), obj in items if not namespace or ns == namespace]

    def put(self, resource: str, key: Key, obj: Object, *, expect: Object | None) -> Object:
        """Store ``obj`` with the next resource version, if the stored object is still ``expect``.

        Raises:
            Failure: 409, if the stored object changed.
        """
        with self.lock:
            old = self._objects[resource].get(key)
            if old is not expect:
                if expect is None:
                    raise Failure(409, f'{resource} "{key[1]}" already exists', "AlreadyExists")
                raise Failure(
                    409,
                    f'Operation cannot be fulfilled on {resource} "{key[1]}": the object has been modified; '
                    "please apply your changes to the latest version and try again",
                )
            self._version += 1
            stored = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self._version)}}
            self._objects[resource][key] = stored
            self._index(resource, key, old, stored)
            self._emit(resource, Change(self._version, "MODIFIED" if old else "ADDED", stored, old))
            return stored

    def remove(self, resource: str, key: Key, *, expect: Object) -> Object:
        """Remove the object, if it is still ``expect``. Return its last state, with a new resource version.

        Raises:
            Failure: 409, if the stored object changed.
        """
        with self.lock:
            old = self._objects[resource].get(key)
            if old is not expect:
                raise Failure(409, f'Operation cannot be fulfilled on {resource} "{key[1]}": it has been modified')
            self._version += 1
            del self._objects[resource][key]
            self._index(resource, key, old, None)
            last = {**expect, "metadata": {**expect["metadata"], "resourceVersion": str(self._version)}}
            self._emit(resource, Change(self._version, "DELETED", last, expect))
            return last

    def dependents(self, uid: str) -> list[tuple[str, Key]]:
        """Resource and key of each object that names ``uid`` as an owner."""
        with self.lock:
            return sorted(self._dependents.get(uid, ()))

    def exists(self, uid: str) -> bool:
        """Whether an object with this uid is stored."""
        return uid in self._uids

    def watch(self, resource: str, since: int, timeout: float) -> Iterator[Change | None]:
        """Yield changes after version ``since`` as they happen. Yield None after ``timeout`` seconds without a change.

        Raises:
            Failure: 410, if ``since`` is older than the log.
        """
        while not self.closed:
            with self._changed:
                if since < self._dropped[resource]:
                    raise Failure(410, f"too old resource version: {since} ({self._dropped[resource]})")
                newer = self._after(resource, since)
                if not newer:
                    self._changed.wait(timeout)
                    newer = self._after(resource, since)
                    since = max(since, self._version if not newer else since)
            if not newer:
                yield None
            for change in newer:
                yield change
                since = change.version

    def close(self) -> None:
        """End all watches."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def _after(self, resource: str, since: int) -> list[Change]:
        newer: list[Change] = []
        for change in reversed(self._log[resource]):
            if change.version <= since:
                break
            newer.append(change)
        return newer[::-1]

    def _emit(self, resource: str, change: Change) -> None:
        log = self._log[resource]
        if len(log) == log.maxlen:
            self._dropped[resource] = log[0].version
        log.append(change)
        self._changed.notify_all()
        for listener in self.listeners:
            listener(resource, change)

    def _index(self, resource: str, key: Key, old: Object | None, new: Object | None) -> None:
        for owner in ((old or {}).get("metadata") or {}).get("ownerReferences") or ():
            self._dependents[owner["uid"]].discard((resource, key))
        for owner in ((new or {}).get("metadata") or {}).get("ownerReferences") or ():
            self._dependents[owner["uid"]].add((resource, key))
        if old:
            self._uids.pop(old["metadata"]["uid"], None)
        if new:
            self._uids[new["metadata"]["uid"]] = (resource, key)
