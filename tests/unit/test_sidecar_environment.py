"""Variables of the sidecar that only some generations read, and fields that are refused for a generation."""

import json
from typing import Any

import pytest

from controller.rules import desired
from crds.models import GenerationSetting
from crds.parse import InvalidActor, parse_actor
from injection.environment import environment
from injection.plan import make_plan
from injection.settings import InvalidSetting, SidecarDefaults, from_environment
from tests.harness.space import actor
from webhook.validation import validate

RESILIENCY = {
    "policies": {
        "default": {"maxAttempts": 3, "backoff": "exponential", "initialDelay": "500ms", "jitter": True},
        "hard": {"onExhausted": ["recovery"]},
    },
    "rules": [{"errors": ["ValueError", "requests.exceptions.Timeout"], "policy": "hard"}],
}


def variables(spec: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    result = environment(parse_actor(actor("a", **(spec or {}))), SidecarDefaults(**settings))
    return {e["name"]: e.get("value") for e in result}


def test_retries_and_error_routes_are_json() -> None:
    env = variables({"resiliency": RESILIENCY})
    policies = json.loads(env["ASYA_RESILIENCY_POLICIES"])
    assert policies["default"] == {
        "maxAttempts": 3,
        "backoff": "exponential",
        "initialDelay": "500ms",
        "jitter": True,
    }
    assert policies["hard"]["onExhausted"] == ["recovery"]
    assert json.loads(env["ASYA_RESILIENCY_RULES"]) == RESILIENCY["rules"]
    assert not any(name.startswith("ASYA_RESILIENCY_P") for name in variables())


@pytest.mark.parametrize("setting", ["frames", "frames-namespaced"])
def test_fields_that_the_generation_does_not_read_are_refused_everywhere(setting: GenerationSetting) -> None:
    obj, defaults = actor("a", resiliency=RESILIENCY), SidecarDefaults(generation=setting)
    with pytest.raises(InvalidActor, match=r"spec\.resiliency: .* generation"):
        make_plan(parse_actor(obj), defaults)
    errors, _ = validate(obj, defaults)
    assert [e.partition(":")[0] for e in errors] == ["spec.resiliency"]
    borrowed = actor("a", resiliency=RESILIENCY, workload={"name": "web"})
    assert validate(borrowed, defaults)[0] == errors
    assert validate(obj, SidecarDefaults())[0] == []


def test_the_other_newer_variables() -> None:
    env = variables({"timeout": {"processing": 61}, "sidecar": {"endActor": True}})
    assert env["ASYA_RUNTIME_TIMEOUT"] == env["ASYA_RESILIENCY_ACTOR_TIMEOUT"] == "61s"
    assert env["ASYA_IS_END_ACTOR"] == "true"
    assert "ASYA_IS_END_ACTOR" not in variables()
    assert not any(name.startswith("OTEL") for name in variables())
    env = variables(otel_endpoint="http://otel:4317", otel_protocol="grpc")
    assert (env["OTEL_EXPORTER_OTLP_ENDPOINT"], env["OTEL_EXPORTER_OTLP_PROTOCOL"]) == ("http://otel:4317", "grpc")


@pytest.mark.parametrize(
    ("env", "probe"),
    [
        ({}, 9095),
        ({"ASYA_METRICS_ADDR": ":8111"}, 8111),
        ({"ASYA_METRICS_ADDR": "127.0.0.1:8111"}, None),
        ({"ASYA_METRICS_ADDR": "junk"}, None),
        ({"ASYA_METRICS_ENABLED": "false"}, None),
    ],
)
def test_the_probe_uses_the_sidecars_port(env: dict[str, str], probe: int | None) -> None:
    own = [{"name": name, "value": value} for name, value in env.items()]
    sidecar = make_plan(parse_actor(actor("a", sidecar={"env": own})), SidecarDefaults()).sidecar
    assert sidecar.get("readinessProbe", {}).get("httpGet", {}).get("port") == probe


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ASYA_SIDECAR_GENERATION", "grpc"),
        ("ASYA_SOCKET_ACTIVATION", "yes"),
        ("ASYA_RUNTIME_PORT", "0"),
        ("ASYA_RUNTIME_PORT", "9095"),
        ("ASYA_RUNTIME_PORT", "9" * 5000),
        ("ASYA_SIDECAR_RESOURCES", "{"),
        ("ASYA_SIDECAR_RESOURCES", "[]"),
        ("ASYA_SIDECAR_METRICS_PORT", "http"),
        ("ASYA_SIDECAR_METRICS_PORT", "70000"),
        ("ASYA_SIDECAR_IMAGE_PULL_POLICY", "Sometimes"),
        ("ASYA_SIDECAR_RUN_AS_USER", "0"),
        ("ASYA_SIDECAR_RUN_AS_USER", "nobody"),
        ("ASYA_OTEL_ENDPOINT", "otel:4317"),
        ("ASYA_OTEL_PROTOCOL", "udp"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=name):
        from_environment({name: value})


def test_the_plan_has_the_settings() -> None:
    read = from_environment(
        {
            "ASYA_SIDECAR_GENERATION": "frames",
            "ASYA_SOCKET_ACTIVATION": "false",
            "ASYA_RUNTIME_PORT": "9200",
            "ASYA_SIDECAR_RUN_AS_USER": "7",
            "ASYA_OTEL_ENDPOINT": "https://otel:4318/v1",
            "ASYA_OTEL_PROTOCOL": "http/protobuf",
        }
    )
    plan = make_plan(parse_actor(actor("a")), read)
    assert (plan.holder, plan.port, plan.run_as_user, read.generation) == (False, 9200, 7, "frames")
    on = make_plan(parse_actor(actor("a", socket={"activation": True})), read)
    assert on.holder, "the actor's setting must override"
    assert plan.digest != on.digest


def test_the_grace_period_follows_from_the_processing_time() -> None:
    plain = parse_actor(actor("a", timeout={"processing": 500}))
    assert make_plan(plain, SidecarDefaults()).grace_period == 530
    assert desired.pod_template(plain)["spec"]["terminationGracePeriodSeconds"] == 530
    with_grace = parse_actor(actor("a", timeout={"processing": 500, "gracefulShutdown": 10}))
    assert make_plan(with_grace, SidecarDefaults()).grace_period == 10
