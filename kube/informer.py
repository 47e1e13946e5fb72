"""Watch caches: ``kubernetes.informer.SharedInformer``, kept from its two ways of going silent.

The informer of ``kubernetes`` 37 reads a watch without a timeout, so a connection that a firewall
forgot hangs for ever, and reconnects without a pause, so an API server that is down gets a storm.
Both are cured where the informer meets the API, in the function that it lists and watches with:
each watch asks the server to end it after some minutes and gives up on a silent socket soon after,
or on one that goes on past its end; and a reconnect that follows a failure waits, longer each time,
with jitter. What hangs all the same is started anew by :mod:`kube.watchdog`.

What is kept is only what is needed: ``managedFields`` are dropped before an object is cached.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
import urllib3
from kubernetes.client.exceptions import ApiException
from kubernetes.informer import ADDED, DELETED, MODIFIED, SharedInformer

from kube.client import CONNECT_TIMEOUT, ApiError, Client, Object, Resource

log = structlog.get_logger(__name__)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether the library's log record says more than this module's ``watch_failed`` does."""
    return not (record.exc_info and isinstance(record.exc_info[1], ApiException))


# The library logs a traceback for each failed list: on a first install, one for each resource not served yet.
logging.getLogger("kubernetes.informer.informer").addFilter(_is_news)

WATCH_SECONDS = 290
"""After how long the server is asked to end a watch, so that a new connection proves it alive."""
SILENT_SECONDS = 75
"""A watch without a byte for so long is dead: bookmarks arrive every minute."""
MAX_BACKOFF = 15.0
HEALTHY_SECONDS = 5.0
"""A watch that lived so long was not a failure."""


WRITTEN_SECONDS = 30.0
"""For how long a write of our own stands in for what the watch has not brought yet."""

REMEMBERED = 1000
"""Deleted objects that are remembered, so that none rises from the answer to an earlier write."""

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


@dataclass
class _Metadata:
    resource_version: str


@dataclass
class _List:
    items: list[Object]
    metadata: _Metadata


class _Stream:
    """A watch's response as ``kubernetes.watch.Watch`` reads it, without managedFields."""

    status = 200

    def __init__(
        self,
        response: Any,
        touched: Callable[[], None],
        until: float,
        reduce: Callable[[Object], Object] | None = None,
    ) -> None:
        self._response, self._touched, self._until, self._reduce = response, touched, until, reduce

    @property
    def connection(self) -> Any:
        return self._response.connection

    def stream(self, **_: Any) -> Iterator[bytes]:
        rest = b""
        try:
            for chunk in self._response.stream(amt=None, decode_content=False):
                self._touched()
                if time.monotonic() > self._until:
                    raise ApiException(status=0, reason="the watch went on past its end")
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line:
                        yield _slim_event(line, self._reduce) + b"\n"
        except (urllib3.exceptions.HTTPError, orjson.JSONDecodeError) as broken:
            # As an ApiException the informer takes it for what it is: a reason to watch again.
            raise ApiException(status=0, reason=f"the watch broke off: {broken}") from broken

    def close(self) -> None:
        self._response.close()

    def release_conn(self) -> None:
        self._response.release_conn()


def _slim_event(line: bytes, reduce: Callable[[Object], Object] | None = None) -> bytes:
    event = orjson.loads(line)
    obj = event.get("object") or {}
    if reduce is not None and event.get("type") in (ADDED, MODIFIED, DELETED):
        event["object"] = {"apiVersion": obj.get("apiVersion"), "kind": obj.get("kind"), **reduce(obj)}
    else:
        slim(obj)
    return orjson.dumps(event)


def slim(obj: Object) -> Object:
    """``obj`` without its managedFields, which are half of it and never read from a cache."""
    if isinstance(obj.get("metadata"), dict):
        obj["metadata"].pop("managedFields", None)
    return obj


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

    ``on_change`` is called with the namespace and name of each object that appeared, changed or
    went, on the informer's thread; ``resource`` may be served only later.
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
        self._reduce = reduce
        self._client, self._namespace = client, namespace
        self._synced = threading.Event()
        self._stopping = threading.Event()
        self._failures = 0
        self._connected = 0.0
        self.last_contact = self.last_attempt = time.monotonic()
        """When the API server last said anything, and when it was last listened to or asked."""
        self._on_change = on_change
        self._written: dict[Key, tuple[float, Object]] = {}
        self._buried: dict[str, None] = {}
        """Uids of the objects that were deleted last, oldest first."""
        self._label = index_label
        self._by_owner, self._by_label = _Index(), _Index()
        self._selectors = {"label_selector": label_selector, "field_selector": field_selector}
        self._informer = self._make()

    def _make(self) -> Any:
        """A ``SharedInformer`` that is ours for as long as it is the latest one made."""

        def list_or_watch(**query: Any) -> Any:
            """List, or watch when asked to; what ``SharedInformer`` calls for both.

            :rtype: object
            """  # read by the library: without it, it would not remember how far the watch has come
            return self._list_or_watch(made, query)

        shared: Any = SharedInformer
        made = shared(list_or_watch, key_func=key_of, **self._selectors)
        made.add_event_handler(ADDED, lambda obj: self._arrived(obj, False))
        made.add_event_handler(MODIFIED, lambda obj: self._arrived(obj, False))
        made.add_event_handler(DELETED, lambda obj: self._arrived(obj, True))
        return made

    def start(self) -> None:
        """Start to list and watch, on a thread of its own."""
        self._informer.start()

    def restart(self) -> None:
        """Leave a thread that hangs to itself, and go on with another from a new list."""
        left, self._informer = self._informer, self._make()
        left._stop_event.set()
        # With what is known, so that what was deleted meanwhile is noticed.
        self._informer._cache = left._cache
        self._touch(contact=False)
        self._informer.start()

    def stop(self) -> None:
        """Stop without waiting for the thread, which is a daemon."""
        self._stopping.set()
        self._informer._stop_event.set()
        watch = self._informer._watch
        if watch is not None:
            watch.stop()

    @property
    def synced(self) -> bool:
        """Whether the first list has arrived."""
        return self._synced.is_set()

    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds for the first list; whether it has arrived."""
        return self._synced.wait(timeout)

    def get(self, namespace: str, name: str) -> Object | None:
        """The cached object, or None. Shared: never change it."""
        found: Object | None = self._informer.cache.get_by_key((namespace, name))
        written = self._written.get((namespace, name))
        if written is not None:
            until, obj = written
            if time.monotonic() < until and (found is None or version_of(found) < version_of(obj)):
                return obj
            self._written.pop((namespace, name), None)
        return found

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
        found: list[Object] = self._informer.cache.list()
        return found

    def _list_or_watch(self, caller: Any, query: dict[str, Any]) -> Any:
        self._still_ours(caller)
        watch = query.pop("watch", False)
        query.pop("_preload_content", None)
        self._touch(contact=False)
        self._pause()
        self._touch(contact=False)
        try:
            return self._watch(caller, query) if watch else self._list(query)
        except ApiError as error:
            self._failures += 1
            log.warning("watch_failed", resource=repr(self.resource), error=str(error), failures=self._failures)
            raise ApiException(status=error.code, reason=str(error)) from error

    def _still_ours(self, caller: Any) -> None:
        if caller is not self._informer:
            raise ApiException(status=0, reason="this thread has been replaced")  # it was told to stop as well

    def _pause(self) -> None:
        if self._connected and time.monotonic() - self._connected < HEALTHY_SECONDS:
            self._failures += 1
        elif self._connected:
            self._failures = 0
        self._connected = 0.0
        if self._failures:
            limit = min(MAX_BACKOFF, 0.2 * 2.0 ** min(self._failures, 10))
            self._stopping.wait(random.uniform(limit / 2, limit))
        if self._stopping.is_set():
            raise ApiException(status=0, reason="stopping")

    def _list(self, query: dict[str, Any]) -> _List:
        """All objects, in pages: only one at a time is held whole."""
        items, version = self._client.list_all(
            self.resource, self._namespace, _wire(query), each=self._listed, on_page=self._touch
        )
        # The informer replaces its cache after this returns and then calls the handlers; "synced" is
        # set once the watch starts, when both are done.
        return _List(items, _Metadata(version))

    def _listed(self, item: Object) -> Object:
        kind = {"apiVersion": self.resource.api_version, "kind": self.resource.kind}
        return {**kind, **(self._reduce(item) if self._reduce is not None else slim(item))}

    def _watch(self, caller: Any, query: dict[str, Any]) -> _Stream:
        self._synced.set()
        seconds = WATCH_SECONDS + random.randint(0, 60)
        response = self._client.request(
            "GET",
            self.resource.path(self._namespace),
            query={
                **_wire(query),
                "watch": "true",
                "allowWatchBookmarks": "true",
                "timeoutSeconds": seconds,
            },
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=SILENT_SECONDS),
            stream=True,
        )
        self._connected = time.monotonic()
        self._touch()

        def touched() -> None:
            self._still_ours(caller)
            self._touch()

        return _Stream(response, touched, self._connected + seconds + SILENT_SECONDS, self._reduce)

    def _touch(self, *, contact: bool = True) -> None:
        self.last_attempt = time.monotonic()
        if contact:
            self.last_contact = self.last_attempt


def _wire(query: dict[str, Any]) -> dict[str, Any]:
    names = {
        "label_selector": "labelSelector",
        "field_selector": "fieldSelector",
        "resource_version": "resourceVersion",
    }
    return {names[k]: v for k, v in query.items() if k in names and v is not None}
