"""The models and the validating webhook's rules, without a cluster."""

from typing import Any

import pytest

from crds.parse import parse_actor
from injection.settings import SidecarDefaults
from tests.cases.invalid_actors import CASES, invalid
from tests.harness.space import actor, example
from webhook.validation import validate

GOOD = ["rabbitmq-deployment", "sqs-statefulset", "scaled-job"]


@pytest.mark.parametrize(("changes", "message"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_invalid_actor_has_an_error_that_names_the_field(changes: list[tuple[str, Any]], message: str) -> None:
    errors, _ = validate(invalid(changes), SidecarDefaults())
    assert any(message in error for error in errors), errors


@pytest.mark.parametrize("name", GOOD)
def test_examples_are_valid_and_give_no_warnings(name: str) -> None:
    assert validate(example(name), SidecarDefaults()) == ([], [])


def test_all_errors_are_reported_at_once() -> None:
    errors, _ = validate(
        invalid([("spec.queueName", ""), ("spec.timeout", {"processing": 0}), ("spec.socket", {"maxSize": "x"})]),
        SidecarDefaults(),
    )
    assert {e.partition(":")[0] for e in errors} == {"spec.queueName", "spec.timeout.processing", "spec.socket.maxSize"}


def test_the_message_has_the_value() -> None:
    errors, _ = validate(invalid([("spec.transport.rabbitmq.port", 70000)]), SidecarDefaults())
    assert errors == ["spec.transport.rabbitmq.port: input should be less than or equal to 65535; found 70000"]


def test_null_counts_as_absent() -> None:
    obj = actor("a")
    obj["spec"]["scaling"] = None
    obj["spec"]["transport"]["rabbitmq"]["port"] = None
    parsed = parse_actor(obj)
    assert parsed.spec.transport.rabbitmq
    assert parsed.spec.transport.rabbitmq.port == 5672
    assert not parsed.spec.scaling.enabled


@pytest.mark.parametrize(
    "obj", [{}, {"metadata": {"name": "a"}}, {"metadata": {"name": "a"}, "spec": []}, {"spec": None}]
)
def test_an_object_that_is_not_an_actor_is_invalid(obj: dict[str, Any]) -> None:
    errors, _ = validate(obj, SidecarDefaults())
    assert errors
