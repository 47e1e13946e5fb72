"""Kubernetes Events: what ``kubectl describe`` shows of how an object got where it is."""

import hashlib
import re
import threading
from collections import OrderedDict
from datetime import UTC, datetime

import structlog

from crds.names import OPERATOR
from kube.client import Client
from kube.failures import ApiError
from kube.objects import Object
from kube.resources import EVENTS

log = structlog.get_logger(__name__)

MAX_MESSAGE = 1000
"""Characters; the API server refuses more than 1024."""
REMEMBERED = 500


def timestamp() -> str:
    """Now, as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def event(about: Object, reason: str, message: str, *, warning: bool = False, identity: str = "") -> Object:
    """An Event about a namespaced object.

    Args:
        about: the object, at least its ``apiVersion``, ``kind`` and ``metadata``.
        reason: one word in camel case.
        message: a sentence; one that is too long is cut.
        warning: whether something is wrong.
        identity: of this process.
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
    """Events about an object, the latest last; those that a field ``selector`` takes, if given.

    Raises:
        ApiError: if they cannot be read.
    """
    fields = [f"involvedObject.kind={kind}", f"involvedObject.name={name}", *([selector] if selector else [])]
    return sorted(client.list(EVENTS, namespace, fieldSelector=",".join(fields)), key=_time)


def list_warnings(client: Client, kind: str, namespace: str, name: str) -> list[Object]:
    """The Warnings :func:`list_events` it."""
    return list_events(client, kind, namespace, name, "type=Warning")


def _time(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


class Recorder:
    """Sends Events: one for each situation, whose count rises when the situation occurs once more.

    A situation's Event has a name that follows from the situation, so the count goes on after a restart, and in the
    next leader. Safe to use from several threads.
    """

    def __init__(self, client: Client, identity: str) -> None:
        self._client, self._identity = client, identity
        self._lock = threading.Lock()
        self._counts: OrderedDict[str, int] = OrderedDict()
        """By name: the count of each Event that was sent lately. Without an entry the API server is asked."""

    def record(self, about: Object, reason: str, message: str, *, warning: bool = False) -> None:
        """Send an Event. One that cannot be sent is logged and let go: no work depends on it."""
        made = event(about, reason, message, warning=warning, identity=self._identity)
        try:
            count = self._send(made)
        except ApiError as error:
            log.warning("event_lost", reason=reason, message=message, error=str(error))
            return
        with self._lock:
            name = made["metadata"]["name"]
            self._counts[name] = count
            self._counts.move_to_end(name)
            if len(self._counts) > REMEMBERED:
                self._counts.popitem(last=False)

    def _send(self, made: Object) -> int:
        """Create the Event, or raise the count of the one that exists; its count."""
        name = made["metadata"]["name"]
        with self._lock:
            count = self._counts.get(name, 0)
        if count and self._raise_count(made, count + 1):
            return count + 1
        try:
            self._client.create(EVENTS, made)
        except ApiError as error:
            if error.code != 409:
                raise
        else:
            return 1
        stored = self._client.get(EVENTS, made["metadata"]["namespace"], name) or made
        count = int(stored.get("count") or 1) + 1
        self._raise_count(made, count)
        return count

    def _raise_count(self, made: Object, count: int) -> bool:
        """Whether there was such an Event: the API server deletes each after an hour."""
        patch = {key: made[key] for key in ("lastTimestamp", "message", "reportingInstance")} | {"count": count}
        try:
            self._client.merge_patch(EVENTS, made["metadata"]["namespace"], made["metadata"]["name"], patch)
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        return True


def situation(uid: str, reason: str, message: str, warning: bool) -> str:
    """What stands for all occurrences of one situation: 16 hexadecimal digits.

    Two messages that differ in numbers or in the random part of a pod's name speak of the same situation.
    """
    text = _NUMBER.sub("#", _POD_SUFFIX.sub("-*", message))
    return hashlib.sha256("\0".join((uid, reason, str(warning), text)).encode()).hexdigest()[:16]


_POD_SUFFIX = re.compile(r"(-[a-z0-9]{6,10})?-[bcdfghjklmnpqrstvwxz2456789]{5}\b")
"""The random part of a pod's name; https://github.com/kubernetes/apimachinery/blob/master/pkg/util/rand/rand.go"""
_NUMBER = re.compile(r"\d+(\.\d+)?")
