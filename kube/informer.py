"""Watch caches: what :class:`kube.reflector.Reflector` copies, found by owner and label, with our own writes at once.

What is kept is only what is needed: ``managedFields`` are dropped before an object is cached.
"""

import threading
import time
from collections.abc import Callable

from kube.client import Client
from kube.objects import Key, Object, controller_of, key_of, slim, version_of
from kube.reflector import Reflector
from kube.resources import Resource

WRITTEN_SECONDS = 30.0
"""For how long a write of our own stands in for what the watch has not brought yet."""

REMEMBERED = 1000
"""Deleted objects that are remembered, so that none rises from the answer to an earlier write."""


class _Index:
    """Keys by one value each."""

    def __init__(self) -> None:
        self._values: dict[Key, str] = {}
        self._keys: dict[str, set[Key]] = {}

    def put(self, key: Key, value: str) -> None:
        """``key`` has ``value`` now; none if it is empty."""
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
        """The keys of ``value``, in order."""
        return sorted(self._keys.get(value, ()))


class Informer:
    """A watch cache of one resource.

    ``index_label`` is a label by whose values :meth:`labelled` finds objects. ``reduce`` makes of each object what is
    to be kept of it: at least its name, namespace, uid, resource version and what the index needs.

    ``on_change`` is called with each object that appeared, changed or went, and whether it went, on the informer's
    thread; ``resource`` may be served only later.
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
        self._buried: dict[str, None] = {}
        """Uids of the objects that were deleted last, oldest first."""
        self._label = index_label
        self._by_owner, self._by_label = _Index(), _Index()
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        self._reflector = Reflector(
            client,
            resource,
            self._arrived,
            namespace=namespace,
            query={name: value for name, value in selectors.items() if value is not None},
            keep=reduce or slim,
        )

    def start(self) -> None:
        """Start to list and watch, on a thread of its own."""
        self._reflector.start()

    def restart(self) -> None:
        """Leave a thread that hangs to itself, and go on with another from a new list."""
        self._reflector.restart()

    def stop(self) -> None:
        """Stop without waiting for the thread, which is a daemon."""
        self._reflector.stop()

    def apply(self, event: Object) -> None:
        """Take an event as the watch brings it: change the cache, and tell of it."""
        self._reflector.apply(event)

    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds for the first list; whether it has arrived."""
        return self._reflector.synced.wait(timeout)

    @property
    def synced(self) -> bool:
        """Whether the first list has arrived."""
        return self._reflector.synced.is_set()

    @property
    def thread(self) -> threading.Thread | None:
        """The thread that lists and watches, the latest one."""
        return self._reflector.thread

    @property
    def last_contact(self) -> float:
        """When the API server last said anything, by the monotonic clock."""
        return self._reflector.last_contact

    @property
    def last_attempt(self) -> float:
        """When the API server was last listened to or asked, by the monotonic clock."""
        return self._reflector.last_attempt

    def get(self, namespace: str, name: str) -> Object | None:
        """The cached object, or None. Shared: never change it."""
        live = self._reflector.objects.get((namespace, name))
        written = self._written.get((namespace, name))
        if written is not None:
            until, obj = written
            if time.monotonic() < until and (live is None or version_of(live) < version_of(obj)):
                return obj
            self._written.pop((namespace, name), None)
        return live

    def observe(self, obj: Object) -> None:
        """Have :meth:`get` answer with ``obj``, which was just written, until the watch has caught up."""
        self._written[key_of(obj)] = (time.monotonic() + WRITTEN_SECONDS, slim(obj))
        if obj["metadata"]["uid"] in self._buried:
            # It was deleted before the answer to our write was here. Looked at only now, as it may be just happening.
            self._written.pop(key_of(obj), None)

    def _arrived(self, obj: Object, deleted: bool) -> None:
        key = key_of(obj)
        if deleted:
            self._buried[obj["metadata"]["uid"]] = None
            if len(self._buried) > REMEMBERED:
                del self._buried[next(iter(self._buried))]
            self._written.pop(key, None)
        else:
            # What only left the selection of a watch, by its label say, may come back.
            self._buried.pop(obj["metadata"]["uid"], None)
        owner = controller_of(obj)
        self._by_owner.put(key, "" if deleted or not owner else f"{key[0]}/{owner}")
        if self._label is not None:
            value = (obj["metadata"].get("labels") or {}).get(self._label)
            self._by_label.put(key, "" if deleted or not value else f"{key[0]}/{value}")
        if self._on_change is not None:
            self._on_change(obj, deleted)

    def owned_by(self, namespace: str, uid: str) -> list[Object]:
        """Cached objects of ``namespace`` whose controller is the object of that uid.

        Anyone may write an owner's uid anywhere; one of another namespace is none.
        """
        return [obj for obj in map(self._get, self._by_owner.keys(f"{namespace}/{uid}")) if obj is not None]

    def labelled(self, namespace: str, value: str) -> list[Object]:
        """Cached objects of ``namespace`` whose index label has that value."""
        return [obj for obj in map(self._get, self._by_label.keys(f"{namespace}/{value}")) if obj is not None]

    def _get(self, key: Key) -> Object | None:
        return self.get(*key)

    def all(self) -> list[Object]:
        """All cached objects. Shared: never change them."""
        return list(self._reflector.objects.values())
