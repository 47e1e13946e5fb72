"""Creates, sends and lists Kubernetes Events, which ``kubectl describe`` shows as the history of an object."""

import hashlib
import re
import threading
from collections import OrderedDict, deque
from datetime import UTC, datetime

from crds.names import OPERATOR
from kube.client import Client
from kube.failures import ApiError
from kube.objects import Object
from kube.resources import EVENTS
from telemetry import threads
from telemetry.logs import log

MAX_MESSAGE = 1000
"""Longest message, in characters. The API server refuses more than 1024."""
REMEMBERED = 500
"""Number of Events whose counts a recorder remembers."""
WAITING = 2000
"""Largest number of Events that wait to be sent. Further ones are logged as lost."""
PAUSE_SECONDS = 0.1
"""Time between two Events that wait. Many changes at once cause as many Events, and reconciles have priority."""


def timestamp() -> str:
    """Return the current time in Kubernetes' format."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def event(about: Object, reason: str, message: str, *, warning: bool = False, identity: str = "") -> Object:
    """Return an Event about a namespaced object.

    Args:
        about: the object, with at least ``apiVersion``, ``kind`` and ``metadata``.
        reason: one word in camel case.
        message: a sentence. It is truncated if it is longer than :data:`MAX_MESSAGE`.
        warning: whether the Event reports a problem.
        identity: the identity of this process.
    """
    metadata = about["metadata"]
    now = timestamp()
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name'][:200]}.{situation(metadata.get('uid', ''), reason, message, warning)}",
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata.get("uid", ""),
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
        "type": "Warning" if warning else "Normal",
        "reason": reason,
        "message": message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…",
        "source": {"component": OPERATOR},
        "reportingComponent": OPERATOR,
        "reportingInstance": identity,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


def list_events(client: Client, kind: str, namespace: str, name: str, selector: str = "") -> list[Object]:
    """Return the Events about an object, the latest last. ``selector`` is an additional field selector.

    Raises:
        ApiError: the API server returned an error.
    """
    fields = [f"involvedObject.kind={kind}", f"involvedObject.name={name}", *([selector] if selector else [])]
    return sorted(client.list(EVENTS, namespace, fieldSelector=",".join(fields)), key=_time)


def list_warnings(client: Client, kind: str, namespace: str, name: str) -> list[Object]:
    """Return the Events of type Warning about an object, the latest last.

    Raises:
        ApiError: the API server returned an error.
    """
    return list_events(client, kind, namespace, name, "type=Warning")


def _time(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


class Recorder:
    """Sends Events. Each situation has one Event, whose count increases when the situation occurs again.

    The situation determines the Event's name, so a restarted process or the next leader continues the count.
    All methods are thread-safe.
    """

    def __init__(self, client: Client, identity: str) -> None:
        self._client, self._identity = client, identity
        self._lock = threading.Lock()
        self._counts: OrderedDict[str, int] = OrderedDict()
        """The count of each recently sent Event, by name. For other Events, the recorder reads the count first."""

    def record(self, about: Object, reason: str, message: str, *, warning: bool = False) -> None:
        """Send an Event now. See :meth:`send`."""
        self.send(self.made(about, reason, message, warning=warning))

    def made(self, about: Object, reason: str, message: str, *, warning: bool = False) -> Object:
        """The Event, with the present time."""
        return event(about, reason, message, warning=warning, identity=self._identity)

    def send(self, new_event: Object) -> None:
        """Send an Event. If that fails, log the Event and continue, because no work depends on it."""
        try:
            count = self._send(new_event)
        except ApiError as error:
            log.warning("event_lost", reason=new_event["reason"], message=new_event["message"], error=str(error))
            return
        with self._lock:
            name = new_event["metadata"]["name"]
            self._counts[name] = count
            self._counts.move_to_end(name)
            if len(self._counts) > REMEMBERED:
                self._counts.popitem(last=False)

    def _send(self, new_event: Object) -> int:
        """Create the Event, or increase the count of the existing one. Return the count."""
        name = new_event["metadata"]["name"]
        with self._lock:
            count = self._counts.get(name, 0)
        if count and self._update_count(new_event, count + 1):
            return count + 1
        try:
            self._client.create(EVENTS, new_event)
        except ApiError as error:
            if error.code != 409:
                raise
        else:
            return 1
        stored = self._client.get(EVENTS, new_event["metadata"]["namespace"], name) or new_event
        count = int(stored.get("count") or 1) + 1
        self._update_count(new_event, count)
        return count

    def _update_count(self, new_event: Object, count: int) -> bool:
        """Set the Event's count. Return False if it no longer exists: the API server deletes Events after an hour."""
        metadata = new_event["metadata"]
        patch = {key: new_event[key] for key in ("lastTimestamp", "message", "reportingInstance")} | {"count": count}
        try:
            self._client.merge_patch(EVENTS, metadata["namespace"], metadata["name"], patch)
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        return True


class BackgroundRecorder:
    """Sends Events on its own thread, so that no reconcile waits for one. All methods are thread-safe.

    Warnings go first, because somebody may look for them; otherwise the order stays. If too many Events wait, a warning
    takes the place of the newest other Event.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._changed = threading.Condition()
        self._warnings: deque[Object] = deque()
        self._others: deque[Object] = deque()
        self._is_started = self._is_sending = False
        self._is_flushing = threading.Event()

    def record(self, about: Object, reason: str, message: str, *, warning: bool = False) -> None:
        """Send an Event soon. See :meth:`Recorder.record`."""
        made = self._recorder.made(about, reason, message, warning=warning)
        with self._changed:
            lost = self._add(made, warning)
            if not self._is_started:
                threads.start("events", self._send)
                self._is_started = True
            self._changed.notify_all()
        if lost is not None:
            error = f"{WAITING} Events wait already"
            log.warning("event_lost", reason=lost["reason"], message=lost["message"], error=error)

    def flush(self, seconds: float) -> None:
        """Send the waiting Events without pauses, and wait at most ``seconds`` until they are sent."""
        self._is_flushing.set()
        with self._changed:
            self._changed.wait_for(lambda: not (self._is_sending or self._has_waiting()), seconds)
        self._is_flushing.clear()

    def _add(self, new_event: Object, warning: bool) -> Object | None:
        """Let the Event wait. Returns the Event for which there is no room, which may be this one."""
        lost = None
        if len(self._warnings) + len(self._others) >= WAITING:
            if not warning or not self._others:
                return new_event
            lost = self._others.pop()
        (self._warnings if warning else self._others).append(new_event)
        return lost

    def _has_waiting(self) -> bool:
        return bool(self._warnings or self._others)

    def _send(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._has_waiting)
                next_event = (self._warnings or self._others).popleft()
                self._is_sending = True
            try:
                self._recorder.send(next_event)
            except Exception:  # no work depends on an Event, and the next ones must be sent
                log.exception("event_lost", reason=next_event["reason"], message=next_event["message"])
            with self._changed:
                self._is_sending = False
                self._changed.notify_all()
                has_waiting = self._has_waiting()
            if has_waiting:
                self._is_flushing.wait(PAUSE_SECONDS)


def situation(uid: str, reason: str, message: str, warning: bool) -> str:
    """Return a hash that identifies a situation: 16 hexadecimal digits.

    Messages that differ only in numbers or in the random part of a pod's name describe the same situation.
    """
    text = _NUMBER.sub("#", _POD_SUFFIX.sub("-*", message))
    return hashlib.sha256("\0".join((uid, reason, str(warning), text)).encode()).hexdigest()[:16]


_POD_SUFFIX = re.compile(r"(-[a-z0-9]{6,10})?-[bcdfghjklmnpqrstvwxz2456789]{5}\b")
"""The random part of a pod's name; https://github.com/kubernetes/apimachinery/blob/master/pkg/util/rand/rand.go"""
_NUMBER = re.compile(r"\d+(\.\d+)?")
