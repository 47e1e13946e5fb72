"""Watch caches with indexes by owner and by label. They show the operator's own writes at once.

:class:`kube.reflector.Reflector` maintains the copy. To save memory, the cache drops ``managedFields``.
"""

import threading
import time
from collections.abc import Callable

from kube.client import Client
from kube.objects import Key, Object, controller_of, key_of, slim, version_of
from kube.reflector import Reflector
from kube.resources import Resource

WRITTEN_SECONDS = 30.0
"""How long the operator's own write replaces a cached object that the watch has not updated yet."""

REMEMBERED = 1000
"""Number of deleted uids to remember. The response to an earlier write must not bring a deleted object back."""


class _Index:
    """Finds keys by a value. Each key has one value."""

    def __init__(self) -> None:
        self._values: dict[Key, str] = {}
        self._keys: dict[str, set[Key]] = {}

    def put(self, key: Key, value: str) -> None:
        """Set the value of ``key``. An empty value removes the key."""
        before = self._values.get(key, "")
        if before == value:
            return
        if before:
            self._keys[before].discard(key)
            if not self._keys[before]:
                del self._keys[before]
            del self._values[key]
        if value:
            self._values[key] = value
            self._keys.setdefault(value, set()).add(key)

    def keys(self, value: str) -> list[Key]:
        """Return the sorted keys with ``value``."""
        return sorted(self._keys.get(value, ()))


class Informer:
    """A watch cache of one resource.

    Args:
        client: a client of the API server.
        resource: the resource to watch. The API server may serve it only later.
        on_change: called on the informer's thread with each created, changed or deleted object. Its second argument
            says whether the object was deleted.
        label_selector: limits the objects by labels.
        field_selector: limits the objects by fields.
        index_label: the label by whose value :meth:`labelled` finds objects.
        reduce: returns the parts of an object to cache. It must keep name, namespace, uid, resource version, and the
            fields for the indexes.
        namespace: the namespace to watch. Empty for all namespaces.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        on_change: Callable[[Object, bool], None] | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        index_label: str | None = None,
        reduce: Callable[[Object], Object] | None = None,
        namespace: str = "",
    ) -> None:
        self.resource = resource
        self._on_change = on_change
        self._written: dict[Key, tuple[float, Object]] = {}
        self._deleted: dict[str, None] = {}
        """Uids of the last deleted objects, oldest first."""
        self._label = index_label
        self._by_owner, self._by_label = _Index(), _Index()
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        self._reflector = Reflector(
            client,
            resource,
            self._on_event,
            namespace=namespace,
            query={name: value for name, value in selectors.items() if value is not None},
            keep=reduce or slim,
        )

    def start(self) -> None:
        """Start to list and watch on a separate thread."""
        self._reflector.start()

    def restart(self) -> None:
        """Abandon a thread that hangs. Continue on a new thread with a new list."""
        self._reflector.restart()

    def stop(self) -> None:
        """Stop without waiting for the thread, which is a daemon."""
        self._reflector.stop()

    def apply(self, event: Object) -> None:
        """Process an event of the watch: change the cache and call ``on_change``."""
        self._reflector.apply(event)

    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds for the first list. Return whether it has arrived."""
        return self._reflector.synced.wait(timeout)

    @property
    def is_synced(self) -> bool:
        """Whether the first list has arrived."""
        return self._reflector.synced.is_set()

    @property
    def thread(self) -> threading.Thread | None:
        """The current thread that lists and watches."""
        return self._reflector.thread

    @property
    def last_contact(self) -> float:
        """Time of the last data from the API server, by the monotonic clock."""
        return self._reflector.last_contact

    @property
    def last_attempt(self) -> float:
        """Time of the last request or read, successful or not, by the monotonic clock."""
        return self._reflector.last_attempt

    def get(self, namespace: str, name: str) -> Object | None:
        """Return the cached object, or None. Callers share it and must not change it."""
        live = self._reflector.objects.get((namespace, name))
        written = self._written.get((namespace, name))
        if written is not None:
            until, obj = written
            if time.monotonic() < until and (live is None or version_of(live) < version_of(obj)):
                return obj
            self._written.pop((namespace, name), None)
        return live

    def observe(self, obj: Object) -> None:
        """Make :meth:`get` return ``obj``, which was just written, until the watch has caught up."""
        self._written[key_of(obj)] = (time.monotonic() + WRITTEN_SECONDS, slim(obj))
        if obj["metadata"]["uid"] in self._deleted:
            # The object was deleted before the response arrived. This check must come after the assignment above,
            # because the watch may report the deletion at this moment.
            self._written.pop(key_of(obj), None)

    def _on_event(self, obj: Object, deleted: bool) -> None:
        key = key_of(obj)
        if deleted:
            self._deleted[obj["metadata"]["uid"]] = None
            if len(self._deleted) > REMEMBERED:
                del self._deleted[next(iter(self._deleted))]
            self._written.pop(key, None)
        else:
            # An object that only left the watch's selection, for example by a label change, may come back.
            self._deleted.pop(obj["metadata"]["uid"], None)
        owner = controller_of(obj)
        self._by_owner.put(key, "" if deleted or not owner else f"{key[0]}/{owner}")
        if self._label is not None:
            value = (obj["metadata"].get("labels") or {}).get(self._label)
            self._by_label.put(key, "" if deleted or not value else f"{key[0]}/{value}")
        if self._on_change is not None:
            self._on_change(obj, deleted)

    def owned_by(self, namespace: str, uid: str) -> list[Object]:
        """Return the cached objects in ``namespace`` whose controller has this uid.

        Any user can write any uid into an owner reference. An owner in another namespace does not count.
        """
        return [obj for obj in map(self._get, self._by_owner.keys(f"{namespace}/{uid}")) if obj is not None]

    def labelled(self, namespace: str, value: str) -> list[Object]:
        """Return the cached objects in ``namespace`` whose index label has this value."""
        return [obj for obj in map(self._get, self._by_label.keys(f"{namespace}/{value}")) if obj is not None]

    def _get(self, key: Key) -> Object | None:
        return self.get(*key)

    def all(self) -> list[Object]:
        """Return all cached objects. Callers share them and must not change them."""
        return list(self._reflector.objects.values())
