"""Kubernetes Events: what ``kubectl describe`` shows of how an object got where it is."""

import uuid
from datetime import UTC, datetime

import structlog

from crds.names import OPERATOR
from kube.client import EVENTS, ApiError, Client, Object

log = structlog.get_logger(__name__)

MAX_MESSAGE = 1000
"""Characters; the API server refuses more than 1024."""


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
    time = timestamp()
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
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }


def record(client: Client, obj: Object) -> None:
    """Send an Event. One that cannot be sent is logged and let go: no work depends on it."""
    try:
        client.create(EVENTS, obj)
    except ApiError as error:
        log.warning("event_lost", reason=obj["reason"], message=obj["message"], error=str(error))
