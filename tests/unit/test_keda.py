"""KEDA's reports about its objects as the condition ScalingReady, with a remedy for each transport."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.rules import keda, scalers
from controller.rules.causes import cause_of
from controller.rules.status import Verdict
from crds.models import AsyncActor
from crds.parse import parse_actor
from tests.harness.keda import CONDITIONS
from tests.harness.space import actor, example

Object = dict[str, Any]
MADE = datetime(2026, 1, 1, tzinfo=UTC)
WELL: list[Object] = CONDITIONS


def _actor(transport: str = "rabbitmq") -> AsyncActor:
    obj = example("sqs-statefulset") if transport == "sqs" else actor("a")
    obj["metadata"]["namespace"] = "ns"
    return parse_actor(obj)


def _live(*conditions: Object, annotations: Object | None = None, **more: Any) -> Object:
    known = {c["type"]: c for c in (*WELL, *conditions)}
    metadata = {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": annotations or {}}
    return {"kind": "ScaledObject", "metadata": metadata, "status": {"conditions": list(known.values())}, **more}


def _verdict(
    live: Object, *events: str, transport: str = "rabbitmq", before: Object | None = None, seconds: float = 0
) -> Verdict:
    now = MADE + timedelta(seconds=seconds)
    return keda.scaling_verdict(_actor(transport), "asya-a", live, events, before or {}, now)


def _failed(message: str) -> Object:
    return {"type": "Ready", "status": "False", "reason": "TriggerError", "message": message}


SQS_MISSING = (
    "operation error SQS: GetQueueAttributes, https response error StatusCode: 400, RequestID: 1f, "
    "AWS.SimpleQueueService.NonExistentQueue: The specified queue does not exist."
)
SQS_DENIED = (
    "operation error SQS: GetQueueAttributes, https response error StatusCode: 403, "
    "RequestID: 404a-404-NOT_FOUND, api error AccessDenied: Access to the resource is denied."
)
MANAGEMENT = "error requesting RabbitMQ API status: {}, response: {}, from: http://rabbitmq:15672/api/queues/%2F/asya-a"
MESSAGES = [
    ("Exception (404) Reason: \"NOT_FOUND - no queue 'asya-a' in vhost '/'\"", "QueueMissing"),
    (MANAGEMENT.format("404 Not Found", '{"error":"Object Not Found"}'), "QueueMissing"),
    (SQS_MISSING, "QueueMissing"),
    ("api error QueueDoesNotExist: no such queue", "QueueMissing"),
    ('Exception (403) Reason: "username or password not allowed"', "AccessDenied"),
    ("Exception (403) Reason: \"ACCESS_REFUSED - access to queue 'asya-a' in vhost '/' refused\"", "AccessDenied"),
    (MANAGEMENT.format("401 Unauthorized", '{"error":"not_authorised","reason":"Login failed"}'), "AccessDenied"),
    (SQS_DENIED, "AccessDenied"),
    ("api error InvalidClientTokenId: The security token included in the request is invalid.", "AccessDenied"),
    ("failed to refresh cached credentials, no EC2 IMDS role found", "AccessDenied"),
    ('Exception (403) Reason: "no access to this vhost"', "VhostMissing"),
    ('Exception (530) Reason: "NOT_ALLOWED - vhost orders not found"', "VhostMissing"),
    ("Exception (404) Reason: \"NOT_FOUND - no exchange 'asya' in vhost '/'\"", "ExchangeMissing"),
    ("dial tcp: lookup rabbitmq on 10.96.0.10:53: no such host", "BrokerUnreachable"),
    ("dial tcp 10.0.0.4:5672: connect: connection refused", "BrokerUnreachable"),
    ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "BrokerUnreachable"),
    ("couldn't find container with name sidecar", None),
    ("unable to parse host", None),
]


@pytest.mark.parametrize(("message", "cause"), MESSAGES)
def test_causes_are_recognised_by_whole_codes(message: str, cause: str | None) -> None:
    assert cause_of(message) == cause


@given(st.text("0123456789abcdef-", min_size=8, max_size=40))
def test_a_request_id_is_not_a_code(request_id: str) -> None:
    assert (
        cause_of(f"https response error StatusCode: 400, RequestID: 404{request_id}, api error Throttled: slow") is None
    )
    denied = f"https response error StatusCode: 403, RequestID: 404{request_id}, api error AccessDenied: no"
    assert cause_of(denied) == "AccessDenied"


@pytest.mark.parametrize(
    ("message", "transport", "phase", "do"),
    [
        ("NOT_FOUND - no queue 'asya-a'", "rabbitmq", "QueueMissing", "create it in RabbitMQ, durable"),
        ("NOT_FOUND - no queue 'asya-a'", "rabbitmq", "QueueMissing", "bound to the exchange 'asya'"),
        ("NOT_FOUND - no queue 'asya-a'", "rabbitmq", "QueueMissing", "The operator cannot check the binding"),
        (SQS_MISSING, "sqs", "QueueMissing", "create it under https://sqs."),
        (SQS_DENIED, "sqs", "AccessDenied", "sqs:GetQueueAttributes on the queue 'asya-a'"),
        ("username or password not allowed", "rabbitmq", "AccessDenied", "rabbitmqctl set_permissions"),
        ("NOT_FOUND - no exchange 'asya'", "rabbitmq", "ScalingError", "Declare the exchange 'asya'"),
        ("connection refused", "rabbitmq", "ScalingError", "Check that RabbitMQ at rabbitmq runs"),
        ("something new", "rabbitmq", "ScalingError", "Check that the queue 'asya-a' exists in RabbitMQ"),
    ],
)
def test_a_remedy_for_each_transport(message: str, transport: str, phase: str, do: str) -> None:
    live = _live(_failed("Triggers defined in ScaledObject are not working correctly"))
    result = _verdict(live, message, transport=transport)
    assert (result.status, result.reason, result.phase) == ("False", "ScaledObjectNotReady", phase)
    assert message.rstrip(".") in result.message
    assert do in result.message


def test_one_failing_trigger_of_several_is_a_problem() -> None:
    partial = {"type": "Ready", "status": "Unknown", "reason": "PartialTriggerError", "message": "Some triggers"}
    assert _verdict(_live(partial)).status == "False"
    assert keda.is_in_trouble(_live(partial))


def test_healthy_scaling() -> None:
    assert (_verdict(_live()).status, _verdict(_live()).reason) == ("True", "ScaledObjectCreated")
    assert not keda.is_in_trouble(_live())


@pytest.mark.parametrize(
    ("annotations", "annotation"),
    [
        ({scalers.PAUSED: "true"}, scalers.PAUSED),
        ({scalers.PAUSED: "1"}, scalers.PAUSED),
        ({scalers.PAUSED_REPLICAS: "3", scalers.PAUSED: "true"}, scalers.PAUSED_REPLICAS),
        ({scalers.PAUSED: "false"}, None),
        ({}, None),
    ],
)
def test_scaling_paused_by_anyone(annotations: Object, annotation: str | None) -> None:
    result = _verdict(_live(annotations=annotations))
    assert result.status == "True"
    assert result.reason == ("ScalingPaused" if annotation else "ScaledObjectCreated")
    if annotation:
        assert f"kubectl annotate scaledobject a {annotation}-" in result.message
        assert ("at 3 replicas" in result.message) == (annotation == scalers.PAUSED_REPLICAS)


def test_scaling_paused_in_one_direction_is_reported() -> None:
    result = _verdict(_live(annotations={"autoscaling.keda.sh/paused-scale-in": "true"}))
    assert (result.status, "an annotation pauses scaling down" in result.message) == ("True", True)


def test_fallback() -> None:
    live = _live({"type": "Fallback", "status": "True"}, spec={"fallback": {"failureThreshold": 3, "replicas": 7}})
    result = _verdict(live, "connection refused")
    assert (result.status, result.reason) == ("False", "ScaledObjectFallback")
    assert "falls back to 7 replicas; connection refused" in result.message
    assert keda.is_in_trouble(live)


@pytest.mark.parametrize(("reason", "down"), [("FailedGetExternalMetric", True), ("ScalingDisabled", False)])
def test_an_inactive_autoscaler(reason: str, down: bool) -> None:
    condition = {"type": "HPAActive", "status": "False", "reason": reason, "message": "unable to get external metric"}
    result = _verdict(_live(condition))
    assert result.reason == ("AutoscalerNotActive" if down else "ScaledObjectCreated")
    assert ("kubectl describe hpa keda-hpa-a" in result.message) == down


@pytest.mark.parametrize("known", [{}, {"conditions": [{"type": "Ready", "status": "Unknown"}]}])
def test_an_object_that_keda_does_not_process(known: Object) -> None:
    live = {**_live(), "status": known}
    first = _verdict(live)
    assert (first.status, first.reason, first.retry) == ("Unknown", "ScaledObjectNotObserved", 60)
    before = {"status": "Unknown", "reason": first.reason, "lastTransitionTime": "2026-01-01T00:00:00Z"}
    assert _verdict(live, before=before, seconds=59).status == "Unknown"
    late = _verdict(live, before=before, seconds=60)
    assert late.status == "False"
    assert "Check that KEDA runs and watches this namespace" in late.message
    assert _verdict(live, before={**before, "status": "False"}, seconds=61).status == "False"
    assert _verdict(_live(), before={**before, "status": "False"}, seconds=70).status == "True"
