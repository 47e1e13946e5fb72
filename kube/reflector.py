"""Keeps a copy of one resource up to date: a list, and then a watch that goes on where the list was made.

A watch may fall silent in two ways, and each has an answer here. A connection that a firewall forgot would be read
for ever, so each watch asks the server to end it after some minutes, and gives up on one that is silent for longer
than bookmarks are apart or that goes on past its end. And an API server that is down would meet a storm of new
connections, so a failure is followed by a pause, longer each time, with jitter. A thread that hangs all the same, in
the resolver say, is replaced by :meth:`Reflector.restart`, which :mod:`kube.watchdog` calls.

The protocol: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog
import urllib3

from kube.client import CONNECT_TIMEOUT, Client
from kube.failures import ApiError
from kube.objects import Key, Object, key_of
from kube.resources import Resource
from telemetry import threads

log = structlog.get_logger(__name__)

WATCH_SECONDS = 290
"""After how long the server is asked to end a watch, so that a new connection proves it alive."""
SILENT_SECONDS = 75
"""A watch without a byte for so long is dead: bookmarks arrive every minute."""
MAX_BACKOFF = 15.0
HEALTHY_SECONDS = 5.0
"""A watch that lived so long was not a failure."""


@dataclass
class _Run:
    """What one thread knows. A thread that was replaced has its run stopped, and changes nothing any more."""

    stopped: threading.Event = field(default_factory=threading.Event)
    version: str = ""
    """How far the copy has come; empty before a list."""
    failures: int = 0
    response: Any = None
    """The open watch."""


class Reflector:
    """A copy of one resource, and a thread that keeps it.

    Args:
        client: a client of the API server.
        resource: what is copied; it may be served only later.
        on_event: called on the reflector's thread with each object that appeared, changed or went, after the copy has
            changed, and whether it went.
        namespace: of the objects; empty for all.
        query: selectors, as the API names them.
        keep: makes of an object what is kept of it, at least its name, namespace, uid and resource version.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        on_event: Callable[[Object, bool], None],
        *,
        namespace: str,
        query: Mapping[str, str],
        keep: Callable[[Object], Object],
    ) -> None:
        self._client, self._resource, self._namespace, self._query = client, resource, namespace, query
        self._on_event, self._keep = on_event, keep
        self._run = _Run()
        self.objects: dict[Key, Object] = {}
        """The copy. Shared: never change it or what it holds."""
        self.synced = threading.Event()
        """Set once the first list has arrived, and each of its objects was told of."""
        self.last_contact = self.last_attempt = time.monotonic()
        """When the API server last said anything, and when it was last listened to or asked."""
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        """Start to list and watch, on a thread of its own."""
        self.thread = threads.start(f"watch-{self._resource.plural}", self._work, self._run)

    def restart(self) -> None:
        """Leave a thread that hangs to itself, and go on with another from a new list."""
        self._run.stopped.set()
        self._run = _Run()
        self._touch(contact=False)
        self.start()

    def stop(self) -> None:
        """Stop without waiting for the thread, which is a daemon."""
        run = self._run
        run.stopped.set()
        response = run.response
        if response is not None:
            with suppress(ValueError, OSError):  # it may have just ended
                response.shutdown()

    def apply(self, event: Object) -> None:
        """Take an event of a watch that is about an object: change the copy, and tell of it."""
        deleted, obj = event["type"] == "DELETED", self._kept(event["object"])
        if deleted:
            self.objects.pop(key_of(obj), None)
        else:
            self.objects[key_of(obj)] = obj
        self._tell(obj, deleted)

    # -- the thread ------------------------------------------------------------------------------

    def _work(self, run: _Run) -> None:
        while not run.stopped.is_set():
            begun = time.monotonic()
            self._touch(contact=False)
            try:
                if not run.version:
                    self._list(run)
                self._watch(run)
            except ApiError as error:
                if run.stopped.is_set():
                    return
                if error.code in (404, 410):  # the resource went and may come back; the version is too old
                    run.version = ""
                run.failures += 1
                if error.code != 410:
                    log.warning("watch_failed", resource=repr(self._resource), error=str(error), failures=run.failures)
            else:
                run.failures = 0 if time.monotonic() - begun >= HEALTHY_SECONDS else run.failures + 1
            self._touch(contact=False)
            if run.failures:
                limit = min(MAX_BACKOFF, 0.2 * 2.0 ** min(run.failures, 10))
                run.stopped.wait(random.uniform(limit / 2, limit))

    def _list(self, run: _Run) -> None:
        """Take a new copy, and tell how it differs from the old one."""
        items, version = self._client.list_all(
            self._resource, self._namespace, self._query, each=self._kept, on_page=self._touch
        )
        if run.stopped.is_set():
            return
        before, self.objects = self.objects, {key_of(item): item for item in items}
        for key, old in before.items():
            new = self.objects.get(key)
            if new is None or new["metadata"].get("uid") != old["metadata"].get("uid"):
                self._tell(old, True)
        for key, obj in self.objects.items():
            if _version(before.get(key)) != _version(obj):
                self._tell(obj, False)
        run.version = version
        self.synced.set()

    def _watch(self, run: _Run) -> None:
        """Follow until the server ends the watch.

        Raises:
            ApiError: if it breaks off, or the server says why it cannot go on.
        """
        if run.stopped.is_set():
            return
        seconds = WATCH_SECONDS + random.randint(0, 60)
        query = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": seconds}
        run.response = self._client.request(
            "GET",
            self._resource.path(self._namespace),
            query={**self._query, **query, "resourceVersion": run.version},
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=SILENT_SECONDS),
            stream=True,
        )
        self._touch()
        try:
            for line in self._lines(run, time.monotonic() + seconds + SILENT_SECONDS):
                self._take(run, _decoded(line))
        except urllib3.exceptions.HTTPError as broken:
            raise ApiError(0, "Unreachable", f"the watch broke off: {broken}") from broken
        finally:
            response, run.response = run.response, None
            response.close()
            response.release_conn()

    def _lines(self, run: _Run, until: float) -> Iterator[bytes]:
        rest = b""
        for chunk in run.response.stream(amt=None, decode_content=False):
            if run.stopped.is_set():
                return
            self._touch()
            if time.monotonic() > until:
                raise ApiError(0, "Unreachable", "the watch went on past its end")
            *lines, rest = (rest + chunk).split(b"\n")
            yield from filter(None, lines)

    def _take(self, run: _Run, event: Object) -> None:
        kind, obj = event["type"], event["object"]
        if run.stopped.is_set():
            return
        if kind == "ERROR":
            raise ApiError(int(obj.get("code") or 0), obj.get("reason") or "", obj.get("message") or "")
        if kind != "BOOKMARK":
            self.apply(event)
        run.version = obj["metadata"]["resourceVersion"]

    def _kept(self, item: Object) -> Object:
        kind = {"apiVersion": self._resource.api_version, "kind": self._resource.kind}
        return {**kind, **self._keep(item)}

    def _tell(self, obj: Object, deleted: bool) -> None:
        try:
            self._on_event(obj, deleted)
        except Exception:  # a handler's own mistake must not end the watch
            log.exception("watch_handler_failed", resource=repr(self._resource), name=key_of(obj))

    def _touch(self, *, contact: bool = True) -> None:
        self.last_attempt = time.monotonic()
        if contact:
            self.last_contact = self.last_attempt


def _version(obj: Object | None) -> Any:
    return None if obj is None else (obj["metadata"].get("uid"), obj["metadata"].get("resourceVersion"))


def _decoded(line: bytes) -> Object:
    """An event.

    Raises:
        ApiError: if the line is none.
    """
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError as broken:
        raise ApiError(0, "Unreadable", f"the watch sent something that is not an event: {broken}") from broken
    if not isinstance(event, dict) or not isinstance(event.get("object"), dict) or "type" not in event:
        raise ApiError(0, "Unreadable", f"the watch sent something that is not an event: {line[:200]!r}")
    return event
