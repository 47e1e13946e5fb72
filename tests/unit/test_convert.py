"""Conversion of other operators' actors: the result of each field, and the notes on the rest."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.convert import converted
from cli.foreign import NotConvertible, convert, duration_seconds, is_foreign, transports_of
from cli.main import app

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
TRANSPORT = {"type": "rabbitmq", "rabbitmq": {"host": "rabbitmq"}}
CRON = {"timezone": "UTC", "start": "0 8 * * *", "end": "0 18 * * *", "desiredReplicas": "2"}
TRANSPORTS = {"rabbitmq": TRANSPORT}
VALUES = {
    "operator": {
        "transports": {
            "rabbitmq": {
                "enabled": True,
                "type": "rabbitmq",
                "config": {
                    "host": "rabbitmq.messaging",
                    "port": 5673,
                    "username": "asya",
                    "passwordSecretRef": {"name": "rabbitmq", "key": "password"},
                    "queues": {"autoCreate": True},
                },
            },
            "sqs": {
                "type": "sqs",
                "config": {"region": "eu-west-1", "accountId": "123456789012", "visibilityTimeout": 60},
            },
            "off": {"enabled": False, "type": "nothing"},
        }
    }
}


def of_go(**spec: Any) -> dict[str, Any]:
    """An actor of the Go operator."""
    container = {"name": "asya-runtime", "image": "ghcr.io/x/y:1", "env": [{"name": "ASYA_HANDLER", "value": "a.b"}]}
    workload = {
        "kind": "Deployment",
        "template": {"spec": {"containers": [container, {"name": "other", "image": "o"}]}},
    }
    return {
        "apiVersion": "asya.sh/v1alpha1",
        "kind": "AsyncActor",
        "metadata": {"name": "upper", "namespace": "demo", "uid": "1", "labels": {"a": "b"}},
        "spec": {"transport": "rabbitmq", "workload": workload, **spec},
        "status": {"phase": "Ready"},
    }


def of_crossplane(**spec: Any) -> dict[str, Any]:
    """An actor of the Crossplane composition."""
    whole = {"actor": "upper", "image": "ghcr.io/x/y:1", "handler": "a.b", **spec}
    return {"apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor", "metadata": {"name": "upper"}, "spec": whole}


def only_container(actor: dict[str, Any]) -> dict[str, Any]:
    """The first container of an actor's template."""
    first: dict[str, Any] = actor["spec"]["workload"]["template"]["spec"]["containers"][0]
    return first


def test_an_actor_of_the_go_operator() -> None:
    scaling = {"enabled": True, "minReplicas": 1, "maxReplicas": 9, "advanced": {"formula": "a+b", "target": "1"}}
    obj = of_go(scaling=scaling, timeout={"processing": 60, "gracefulShutdown": 90}, sidecar={"image": "s:0.1.1"})
    before = copy.deepcopy(obj)
    actor, notes, problems = converted(obj, TRANSPORTS)
    assert obj == before
    assert not problems
    assert actor["metadata"] == {"name": "upper", "namespace": "demo", "labels": {"a": "b"}}
    assert "status" not in actor
    spec = actor["spec"]
    assert spec["transport"] == TRANSPORT
    assert spec["scaling"] == {"enabled": True, "minReplicas": 1, "maxReplicas": 9}
    assert spec["timeout"] == {"processing": 60, "gracefulShutdown": 90}
    assert spec["sidecar"] == {"image": "s:0.1.1"}
    assert spec["workload"]["type"] == "Deployment"
    assert [c["name"] for c in spec["workload"]["template"]["spec"]["containers"]] == ["runtime", "other"]
    assert [note.partition(":")[0] for note in notes] == ["spec.scaling.advanced"]


def test_another_python_becomes_the_command() -> None:
    obj = of_go()
    obj["spec"]["workload"]["pythonExecutable"] = "python3.12"
    actor, _, _ = converted(obj, TRANSPORTS)
    assert only_container(actor)["command"] == ["python3.12", "/opt/asya/asya_runtime.py"]
    actor, _, _ = converted(of_crossplane(pythonExecutable="/usr/bin/python"), TRANSPORTS)
    assert only_container(actor)["command"] == ["/usr/bin/python", "/opt/asya/asya_runtime.py"]


def test_an_actor_of_the_composition() -> None:
    obj = of_crossplane(
        env=[{"name": "A", "value": "1"}],
        secretRefs=[{"secretName": "s", "keys": [{"key": "k", "envVar": "B"}]}],
        tolerations=[{"key": "gpu"}],
        scaling={"additionalTriggers": [{"type": "cron", "metadata": CRON}], "minReplicaCount": 1},
        resiliency={"retry": {"maxAttempts": 2, "backoffCoefficient": 3.0}, "nonRetryableErrors": ["ValueError"]},
        stateProxy=[{"name": "state"}],
        compositionRef={"name": "asyncactor-rabbitmq"},
    )
    obj["spec"]["resiliency"]["actorTimeout"] = "1m30s"
    actor, notes, problems = converted(obj, {**TRANSPORTS, "sqs": {}})
    assert not problems
    container = only_container(actor)
    assert container["env"] == [
        {"name": "ASYA_HANDLER", "value": "a.b"},
        {"name": "A", "value": "1"},
        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
    ]
    spec = actor["spec"]
    assert spec["workload"]["template"]["spec"]["tolerations"] == [{"key": "gpu"}]
    assert spec["scaling"]["maxReplicas"] == 10
    assert spec["scaling"]["triggers"][0]["type"] == "cron"
    assert spec["timeout"] == {"processing": 90}
    assert spec["resiliency"]["policies"]["default"]["maxAttempts"] == 3
    assert spec["resiliency"]["rules"] == [{"errors": ["ValueError"], "policy": "no-retry"}]
    assert {note.partition(":")[0] for note in notes} == {
        "spec.stateProxy",
        "spec.resiliency.retry.backoffCoefficient",
    }


def test_the_actor_has_the_name_of_its_queue() -> None:
    actor, notes, _ = converted(of_crossplane(actor="lower"), TRANSPORTS)
    assert actor["metadata"]["name"] == "lower"
    assert notes == ["metadata.name: changed from 'upper' to 'lower', because an actor has the name of its queue"]


def test_replicas_count_only_without_scaling() -> None:
    actor, _, _ = converted(of_crossplane(replicas=3, scaling={"enabled": False}), TRANSPORTS)
    assert actor["spec"]["workload"]["replicas"] == 3
    assert "scaling" not in actor["spec"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"transport": "kafka"}, "spec.transport: 'kafka' is not in the file of --transports"),
        ({"workload": {"template": {"spec": {"containers": "x"}}}}, "spec.workload.template.spec.containers: must be"),
        ({"workload": {}}, "spec: must have a workload"),
        ({"timeout": {"processing": "long"}}, "spec.timeout.processing: "),
    ],
)
def test_inconvertible_fields_are_named(spec: dict[str, Any], message: str) -> None:
    actor, _, problems = converted(of_go(**spec), TRANSPORTS)
    assert not actor
    assert problems[0].startswith(message)


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path in an object."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(deeper for key, item in inner for deeper in paths(item, (*path, key)))]


@given(st.data())
def test_any_value_of_a_field_is_converted_or_refused_with_a_message(data: st.DataObject) -> None:
    whole = of_crossplane(
        secretRefs=[{"secretName": "s", "keys": [{"key": "k", "envVar": "B"}]}],
        scaling={"additionalTriggers": [{"type": "cron", "metadata": CRON}]},
        resiliency={"retry": {"maxAttempts": 2}, "actorTimeout": "5s"},
        compositionRef={"name": "asyncactor-rabbitmq"},
    )
    obj = copy.deepcopy(data.draw(st.sampled_from([of_go(scaling={"enabled": True}, sidecar={"env": []}), whole])))
    *parents, last = data.draw(st.sampled_from(paths(obj["spec"])[1:]))
    at = obj["spec"]
    for key in parents:
        at = at[key]
    at[last] = data.draw(JSON)
    actor, _, problems = converted(obj, TRANSPORTS)
    assert bool(actor) != bool(problems)


def test_transports_of_the_old_chart() -> None:
    made = transports_of(VALUES)
    assert made["rabbitmq"]["rabbitmq"]["port"] == 5673
    assert made["sqs"]["sqs"]["queueBaseUrl"] == "https://sqs.eu-west-1.amazonaws.com/123456789012"
    assert set(made) == {"rabbitmq", "sqs"}
    for name in made:
        assert convert(of_go(transport=name), made).actor["spec"]["transport"] == made[name]
    assert transports_of(TRANSPORTS) == TRANSPORTS


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1m30s", 90), ("500ms", 1), ("1h", 3600), (None, None)])
def test_durations(text: str | None, seconds: int | None) -> None:
    assert duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "s", "5 m"])
def test_invalid_durations(text: str) -> None:
    with pytest.raises(NotConvertible, match="actorTimeout"):
        duration_seconds(text)


def test_actors_of_this_operator_are_not_foreign() -> None:
    assert is_foreign(of_go())
    assert not is_foreign({"apiVersion": "asya.io/v1alpha1", "kind": "AsyncActor"})


def test_the_command_converts_and_keeps_other_objects(tmp_path: Path) -> None:
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}}
    (tmp_path / "in.yaml").write_text(yaml.safe_dump_all([service, of_go(flavors=["gpu"])]))
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(VALUES))
    files = ["-f", str(tmp_path / "in.yaml"), "--transports", str(tmp_path / "values.yaml")]
    result = CliRunner().invoke(app, ["convert", *files])
    assert result.exit_code == 0
    objects = list(yaml.safe_load_all(result.stdout))
    assert objects[0] == service
    assert objects[1]["apiVersion"] == "asya.io/v1alpha1"
    assert "AsyncActor 'upper': spec.flavors: no counterpart, dropped; write the fields" in result.stderr


def test_the_command_fails_without_the_transport(tmp_path: Path) -> None:
    (tmp_path / "in.yaml").write_text(yaml.safe_dump(of_go()))
    result = CliRunner().invoke(app, ["convert", "-f", str(tmp_path / "in.yaml")])
    assert result.exit_code == 1
    assert not result.stdout
    assert "--transports" in result.stderr
