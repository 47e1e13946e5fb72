"""The condition QueueConsumed for different images, settings and names of queues."""

from typing import Any

import pytest

from controller.rules.queues import queue_verdict
from controller.rules.status import Observation, status_of, true
from crds.parse import parse_actor
from injection.settings import SidecarDefaults
from tests.harness.space import actor


def _verdict(queue: str | None, **sidecar: Any) -> tuple[str, str, str]:
    obj = actor("a", sidecar=sidecar)
    obj["spec"].pop("queueName", None)
    obj["spec"].update({"queueName": queue} if queue else {})
    obj["metadata"]["namespace"] = "ns"
    result = queue_verdict(parse_actor(obj), SidecarDefaults())
    return result.status, result.reason, result.message


@pytest.mark.parametrize(
    ("queue", "sidecar", "reason"),
    [
        (None, {}, "QueueConsumed"),
        (None, {"image": "ghcr.io/deliveryhero/asya-sidecar:0.1.1"}, "QueueConsumed"),
        ("asya-ns-a", {}, "QueueConsumed"),
        ("asya-ns-other", {}, "QueueConsumed"),
        ("asya-a", {}, "QueueMismatch"),
        ("asya-a", {"image": "mirror.example.com/x/asya-sidecar:0.1.1"}, "QueueConsumed"),
        ("orders", {}, "QueueMismatch"),
        ("orders", {"image": "mirror.example.com:5000/x/asya-sidecar@sha256:0"}, "QueueMismatch"),
        ("orders", {"image": "example.com/own-sidecar:1"}, "SidecarUnknown"),
        ("orders", {"image": "example.com/own-sidecar:1", "generation": "http"}, "QueueMismatch"),
    ],
)
def test_which_queue_is_consumed(queue: str | None, sidecar: dict[str, Any], reason: str) -> None:
    status, result, message = _verdict(queue, **sidecar)
    assert (result, status) == (reason, "False" if reason == "QueueMismatch" else "True")
    if reason == "QueueMismatch":
        assert f"spec.queueName is {queue!r}, but the actor's sidecar consumes 'asya-ns-a'" in message
        assert "Remove spec.queueName or set it to 'asya-ns-a'" in message


def test_an_actor_with_an_unconsumed_queue_is_not_ready() -> None:
    obj = actor("a", queueName="orders")
    obj["metadata"]["namespace"] = "ns"
    queue = queue_verdict(parse_actor(obj), SidecarDefaults())
    well = true("A", "")
    after = status_of({"generation": 1, "name": "a"}, Observation(well, None, well, well, queue), {}, "now")
    conditions = {c["type"]: c for c in after["conditions"]}
    assert (conditions["WorkloadReady"]["status"], conditions["Ready"]["status"]) == ("True", "False")
    assert (after["phase"], after["reason"]) == ("QueueMismatch", "QueueMismatch")
