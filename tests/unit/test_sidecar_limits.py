"""Warnings about features that a sidecar lacks, in every place that shows warnings."""

from typing import Any

import pytest

from crds.parse import parse_actor
from injection.settings import SidecarDefaults
from injection.warnings import warnings_of
from tests.harness.space import actor
from webhook.validation import validate

SQS = {
    "type": "sqs",
    "sqs": {"region": "eu-central-1", "queueBaseUrl": "https://sqs.eu-central-1.amazonaws.com/123456789012"},
}
ENVELOPE = [{"name": "ASYA_HANDLER", "value": "app.handle"}, {"name": "ASYA_HANDLER_MODE", "value": "Envelope"}]


def policies(**attempts: int) -> dict[str, Any]:
    """A resiliency of policies with this number of attempts."""
    return {"policies": {name: {"maxAttempts": n, "onExhausted": ["late"]} for name, n in attempts.items()}}


def workload(env: list[dict[str, str]], **container: Any) -> dict[str, Any]:
    """A workload whose function has these variables."""
    return {"template": {"spec": {"containers": [{"name": "main", "image": "app:1", "env": env, **container}]}}}


def fields(name: str = "a", settings: dict[str, Any] | None = None, **spec: Any) -> list[str]:
    """The fields of the warnings, without the warning about limits."""
    warnings = warnings_of(parse_actor(actor(name, **spec)), SidecarDefaults(**(settings or {})))
    return [w.partition(": ")[0] for w in warnings if ".resources.limits" not in w]


def test_more_than_one_attempt_with_rabbitmq() -> None:
    obj = actor("a", resiliency=policies(slow=3, default=2, final=1))
    errors, warnings = validate(obj, SidecarDefaults())
    (warning,) = (w for w in warnings if "resiliency" in w)
    assert errors == []
    assert warning.startswith("spec.resiliency.policies[].maxAttempts: more than one attempt (default: 2, slow: 3)")
    assert "RabbitMQ" in warning
    assert "use the transport sqs" in warning
    assert fields(resiliency=policies(final=1)) == []
    assert fields(resiliency=policies(default=5), transport=SQS) == []
    assert fields(resiliency={}) == []


def test_envelope_mode_with_the_http_generation() -> None:
    assert fields(workload=workload(ENVELOPE)) == [
        "spec.workload.template.spec.containers[main].env[ASYA_HANDLER_MODE]"
    ]
    for generation in ("frames", "frames-namespaced"):
        assert fields(workload=workload(ENVELOPE), sidecar={"generation": generation}) == []
    assert fields(workload=workload([{"name": "ASYA_HANDLER_MODE", "value": "payload"}])) == []
    assert fields(workload={"name": "web"}) == []


@pytest.mark.parametrize(
    ("name", "sidecar", "settings", "is_warned_of"),
    [
        ("x-sink", {}, {}, True),
        ("x-sump", {}, {}, True),
        ("x-sink", {"endActor": True}, {}, False),
        ("x-sink", {"env": [{"name": "ASYA_IS_END_ACTOR", "value": "true"}]}, {}, False),
        ("happy-end", {}, {}, False),
        ("happy-end", {}, {"generation": "frames"}, True),
        ("error-end", {"generation": "frames-namespaced"}, {}, True),
        ("x-sink", {"generation": "frames"}, {}, False),
        ("last", {"env": [{"name": "ASYA_ACTOR_SINK", "value": "last"}]}, {}, True),
        ("other", {"env": [{"name": "ASYA_ACTOR_NAME", "value": "x-sink"}]}, {}, True),
    ],
)
def test_the_end_of_a_route(name: str, sidecar: Any, settings: dict[str, Any], is_warned_of: bool) -> None:
    assert fields(name, settings, sidecar=sidecar) == ["spec.sidecar.endActor"] * is_warned_of


def test_no_socket_holder() -> None:
    assert fields(socket={"activation": False}) == ["spec.socket.activation"]
    assert fields(socket={"activation": True}) == []
    assert fields(settings={"native_sidecars": False}, socket={"activation": False}) == []
