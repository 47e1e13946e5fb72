"""Kubernetes Events: what ``kubectl describe`` shows of how an object got where it is."""

import threading
import time
import uuid
from collections import OrderedDict
from datetime import UTC, datetime

import structlog

from crds.names import OPERATOR
from kube.client import EVENTS, ApiError, Client, Object

log = structlog.get_logger(__name__)

MAX_MESSAGE = 1000
"""Characters; the API server refuses more than 1024."""
AGAIN_SECONDS = 600.0
"""For how long the same Event counts as said again."""
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
            "name": f"{metadata['name'][:200]}.{uuid.uuid4().hex[:16]}",
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


def about(client: Client, kind: str, namespace: str, name: str, selector: str = "") -> list[Object]:
    """Events about an object, the latest last; those that a field ``selector`` takes, if given.

    Raises:
        ApiError: if they cannot be read.
    """
    fields = [f"involvedObject.kind={kind}", f"involvedObject.name={name}", *([selector] if selector else [])]
    return sorted(client.list(EVENTS, namespace, fieldSelector=",".join(fields)), key=_time)


def warnings(client: Client, kind: str, namespace: str, name: str) -> list[Object]:
    """The Warnings :func:`about` it."""
    return about(client, kind, namespace, name, "type=Warning")


def _time(event: Object) -> str:
    return str(event.get("lastTimestamp") or event.get("eventTime") or "")


class Recorder:
    """Sends Events. The same one said again soon raises the count of the first, as client-go's recorder does."""

    def __init__(self, client: Client, identity: str) -> None:
        self._client, self._identity = client, identity
        self._lock = threading.Lock()
        self._recent: OrderedDict[tuple[str, ...], tuple[float, Object]] = OrderedDict()

    def record(self, about: Object, reason: str, message: str, *, warning: bool = False) -> None:
        """Send an Event. One that cannot be sent is logged and let go: no work depends on it."""
        key = (about["metadata"].get("uid", ""), reason, message)
        made = event(about, reason, message, warning=warning, identity=self._identity)
        try:
            sent = self._again(key, made) or self._client.create(EVENTS, made)
        except ApiError as error:
            log.warning("event_lost", reason=reason, message=message, error=str(error))
            return
        with self._lock:
            self._recent[key] = time.monotonic() + AGAIN_SECONDS, sent
            self._recent.move_to_end(key)
            if len(self._recent) > REMEMBERED:
                self._recent.popitem(last=False)

    def _again(self, key: tuple[str, ...], made: Object) -> Object | None:
        """Count an Event that was sent not long ago once more; None if there is none."""
        with self._lock:
            until, sent = self._recent.get(key, (0.0, made))
        if time.monotonic() >= until:
            return None
        patch = {"count": sent.get("count", 1) + 1, "lastTimestamp": made["lastTimestamp"]}
        try:
            return self._client.merge_patch(EVENTS, sent["metadata"]["namespace"], sent["metadata"]["name"], patch)
        except ApiError as error:
            if error.code == 404:
                return None
            raise
