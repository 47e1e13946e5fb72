"""Kubernetes Events on an actor: what ``kubectl describe`` shows of how it got where it is."""

import uuid
from datetime import UTC, datetime
from typing import Any

import structlog

from crds.names import API_VERSION, KIND, OPERATOR
from kube.client import EVENTS, ApiError, Client

log = structlog.get_logger(__name__)

Object = dict[str, Any]
MAX_MESSAGE = 1000
"""Characters; the API server refuses more than 1024."""


def timestamp() -> str:
    """Now, as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def event(actor: Object, reason: str, message: str, *, warning: bool, identity: str) -> Object:
    """An Event about ``actor`` (an AsyncActor as JSON)."""
    metadata = actor["metadata"]
    time = timestamp()
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name'][:200]}.{uuid.uuid4().hex[:16]}",
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
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


def transitions(actor: Object, changed: list[Object], identity: str) -> Object:
    """One Event that tells all of ``changed``, conditions that changed together; the worst one first."""
    order = ("WorkloadReady", "ScalingReady", "RuntimeReady", "Ready")
    ordered = sorted(changed, key=lambda c: (c["status"] == "True", order.index(c["type"])))
    text = "; ".join(f"{c['type']}={c['status']} ({c['reason']}): {c['message']}" for c in ordered)
    warning = any(c["status"] == "False" for c in changed)
    return event(actor, ordered[0]["reason"], text, warning=warning, identity=identity)


def record(client: Client, obj: Object) -> None:
    """Send an Event. One that cannot be sent is logged and let go: no work depends on it."""
    try:
        client.create(EVENTS, obj)
    except ApiError as error:
        log.warning("event_lost", reason=obj["reason"], message=obj["message"], error=str(error))
