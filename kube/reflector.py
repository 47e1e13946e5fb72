"""Keeps a copy of one resource up to date: lists the objects, then watches from the list's resource version.

A firewall may drop a connection silently, and a read would then block forever. Each watch therefore asks the server to
end it after some minutes. The reflector gives up on a watch that is silent for longer than the interval of bookmarks,
or that continues past its end. After a failure it waits with exponential backoff and jitter, to avoid a storm of
connections. If its thread hangs nevertheless, for example in the resolver, :mod:`kube.watchdog` calls
:meth:`Reflector.restart`.

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
import urllib3

from kube.client import CONNECT_TIMEOUT, Client
from kube.failures import ApiError
from kube.objects import Key, Object, key_of
from kube.resources import Resource
from telemetry import threads
from telemetry.logs import log

WATCH_SECONDS = 290
"""Duration after which the server ends a watch. The next connection proves that the server is alive."""
SILENT_SECONDS = 75
"""A watch without any data for this time is dead, because bookmarks arrive every minute."""
MAX_BACKOFF = 15.0
HEALTHY_SECONDS = 5.0
"""A watch that lasted at least this time resets the backoff."""


@dataclass
class _Run:
    """The state of one thread. When the thread is replaced, its run is stopped, and it changes nothing more."""

    stopped: threading.Event = field(default_factory=threading.Event)
    version: str = ""
    """The resource version of the copy. Empty before the first list."""
    failures: int = 0
    response: Any = None
    """The open watch."""


class Reflector:
    """A copy of one resource, and the thread that updates it.

    Args:
        client: a client of the API server.
        resource: the resource to copy. The API server may serve it only later.
        on_event: called on the reflector's thread with each created, changed or deleted object, after the copy has
            changed. Its second argument says whether the object was deleted.
        namespace: the namespace. Empty for all namespaces.
        query: selectors, with the API's parameter names.
        keep: returns the parts of an object to keep, at least name, namespace, uid and resource version.
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
        """The copy. Callers share it and must not change it or its objects."""
        self.synced = threading.Event()
        """Set after the first list has arrived and ``on_event`` was called for each of its objects."""
        self.last_contact = self.last_attempt = time.monotonic()
        """Time of the last data from the API server, and of the last request or read."""
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        """Start to list and watch on a separate thread."""
        self.thread = threads.start(f"watch-{self._resource.plural}", self._work, self._run)

    def restart(self) -> None:
        """Abandon a thread that hangs. Continue on a new thread with a new list."""
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
            with suppress(ValueError, OSError):  # the response may have just ended
                response.shutdown()

    def apply(self, event: Object) -> None:
        """Process a watch event about an object: change the copy and call ``on_event``."""
        deleted, obj = event["type"] == "DELETED", self._reduce(event["object"])
        if deleted:
            self.objects.pop(key_of(obj), None)
        else:
            self.objects[key_of(obj)] = obj
        self._notify(obj, deleted)

    # -- the thread ------------------------------------------------------------------------------

    def _work(self, run: _Run) -> None:
        while not run.stopped.is_set():
            started = time.monotonic()
            self._touch(contact=False)
            try:
                if not run.version:
                    self._list(run)
                self._watch(run)
            except ApiError as error:
                if run.stopped.is_set():
                    return
                if error.code in (404, 410):  # the resource no longer exists, or the version is too old: list again
                    run.version = ""
                run.failures += 1
                if error.code != 410:
                    log.warning("watch_failed", resource=repr(self._resource), error=str(error), failures=run.failures)
            else:
                run.failures = 0 if time.monotonic() - started >= HEALTHY_SECONDS else run.failures + 1
            self._touch(contact=False)
            if run.failures:
                limit = min(MAX_BACKOFF, 0.2 * 2.0 ** min(run.failures, 10))
                run.stopped.wait(random.uniform(limit / 2, limit))

    def _list(self, run: _Run) -> None:
        """Replace the copy by a new list, and call ``on_event`` for each difference."""
        listed, version = self._client.list_all(
            self._resource, self._namespace, self._query, each=self._reduce, on_page=self._touch
        )
        if run.stopped.is_set():
            return
        before, self.objects = self.objects, {key_of(obj): obj for obj in listed}
        for key, old in before.items():
            new = self.objects.get(key)
            if new is None or new["metadata"].get("uid") != old["metadata"].get("uid"):
                self._notify(old, True)
        for key, obj in self.objects.items():
            if _version(before.get(key)) != _version(obj):
                self._notify(obj, False)
        run.version = version
        self.synced.set()

    def _watch(self, run: _Run) -> None:
        """Process events until the server ends the watch.

        Raises:
            ApiError: the connection breaks, or the server reports an error.
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
                self._process(run, _decode(line))
        except urllib3.exceptions.HTTPError as broken:
            raise ApiError(0, "Unreachable", f"the connection of the watch broke: {broken}") from broken
        finally:
            response, run.response = run.response, None
            response.close()
            response.release_conn()

    def _lines(self, run: _Run, until: float) -> Iterator[bytes]:
        partial_line = b""
        for chunk in run.response.stream(amt=None, decode_content=False):
            if run.stopped.is_set():
                return
            self._touch()
            if time.monotonic() > until:
                raise ApiError(0, "Unreachable", "the watch continued past its end")
            *lines, partial_line = (partial_line + chunk).split(b"\n")
            yield from filter(None, lines)

    def _process(self, run: _Run, event: Object) -> None:
        kind, obj = event["type"], event["object"]
        if run.stopped.is_set():
            return
        if kind == "ERROR":
            raise ApiError(int(obj.get("code") or 0), obj.get("reason") or "", obj.get("message") or "")
        if kind != "BOOKMARK":
            self.apply(event)
        run.version = obj["metadata"]["resourceVersion"]

    def _reduce(self, obj: Object) -> Object:
        kind = {"apiVersion": self._resource.api_version, "kind": self._resource.kind}
        return {**kind, **self._keep(obj)}

    def _notify(self, obj: Object, deleted: bool) -> None:
        try:
            self._on_event(obj, deleted)
        except Exception:  # a bug in the handler must not end the watch
            log.exception("watch_handler_failed", resource=repr(self._resource), name=key_of(obj))

    def _touch(self, *, contact: bool = True) -> None:
        self.last_attempt = time.monotonic()
        if contact:
            self.last_contact = self.last_attempt


def _version(obj: Object | None) -> Any:
    return None if obj is None else (obj["metadata"].get("uid"), obj["metadata"].get("resourceVersion"))


def _decode(line: bytes) -> Object:
    """Return the event in a line of a watch.

    Raises:
        ApiError: the line is not an event.
    """
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError as broken:
        raise ApiError(0, "Unreadable", f"the watch sent a line that is not JSON: {broken}") from broken
    if not isinstance(event, dict) or not isinstance(event.get("object"), dict) or "type" not in event:
        raise ApiError(0, "Unreadable", f"the watch sent a line that is not an event: {line[:200]!r}")
    return event
