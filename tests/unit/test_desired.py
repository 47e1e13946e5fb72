"""Desired objects and status as pure functions."""

from typing import Any

import orjson
import pytest

from controller.cluster.access import holds
from controller.rules import desired, scalers, status
from controller.rules.replicas import applied_again, desired_workload, scaling_mode
from controller.rules.status import Observation, Verdict, changes, false, status_of, true, workload_refused
from crds.models import AsyncActor
from crds.parse import parse_actor
from injection.settings import SidecarDefaults
from kube.failures import ApiError
from tests.harness.space import actor, example

Object = dict[str, Any]
DEFAULTS = SidecarDefaults()


FIRST_RABBITMQ: Object = {"host": "rabbitmq", "port": 5672, "username": "guest", "exchange": "asya"}
FIRST_SQS: Object = {"region": "eu", "queueBaseUrl": "https://sqs.eu.amazonaws.com/123456789012"}
FIRST_SOCKET: Object = {"socket": {"path": "/var/run/asya/asya-runtime.sock", "maxSize": "1048576"}, "sidecar": {}}


def parsed(obj: Object) -> AsyncActor:
    obj["metadata"] = {"namespace": "ns", "uid": "u1", "generation": 3, **obj["metadata"]}
    return parse_actor(obj)


EXAMPLES = ["rabbitmq-deployment", "sqs-statefulset", "scaled-job"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_everything_is_owned_and_labelled(name: str) -> None:
    obj = parsed(example(name))
    made = [desired.workload(obj, keda=False), scalers.scaled_object(obj, DEFAULTS), scalers.scaled_job(obj, DEFAULTS)]
    made += [o for o in (scalers.trigger_authentication(obj),) if o]
    for one in made:
        (owner,) = one["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == ("u1", True)
        labels = one["metadata"]["labels"]
        assert labels["asya.io/actor"] == labels["app.kubernetes.io/instance"] == obj.metadata.name
        assert labels["app.kubernetes.io/managed-by"] == "asya-operator"
        assert b"sidecar:" not in orjson.dumps(one), "the controller must apply the plain workload"


def test_replicas_are_omitted_only_while_keda_owns_them() -> None:
    obj = actor("a")
    obj["spec"]["workload"]["replicas"] = 3
    assert desired.workload(parsed(obj), keda=False)["spec"]["replicas"] == 3
    assert "replicas" not in desired.workload(parsed(obj), keda=True)["spec"]


def test_the_operator_does_not_own_replicas_that_the_actor_does_not_set() -> None:
    made = desired.workload(parsed(actor("a")), keda=False)
    assert "replicas" not in made["spec"]
    assert made["metadata"]["annotations"]["asya.io/scaling"] == "unmanaged"


@pytest.mark.parametrize("mode", ["enabled", "created"])
def test_a_workload_without_pods_gets_one_when_its_scaling_is_turned_off(mode: str) -> None:
    scaled = parsed(actor("a", scaling={"enabled": True}))
    live = desired_workload(scaled, None, keda=True)
    live["metadata"]["annotations"]["asya.io/scaling"] = mode
    assert live["spec"]["replicas"] == 0
    assert desired_workload(parsed(actor("a")), live, keda=False)["spec"]["replicas"] == 1
    for keda in (True, False):  # also when KEDA is removed
        assert "replicas" not in desired_workload(scaled, live, keda=keda)["spec"]


def test_a_new_workload_that_keda_scales_needs_no_second_apply() -> None:
    scaled = parsed(actor("a", scaling={"enabled": True}))
    created = desired_workload(scaled, None, keda=True)
    assert holds(created, desired_workload(scaled, created, keda=True))
    manifest = applied_again(created)
    assert scaling_mode(manifest) == "enabled"
    assert applied_again(manifest) == manifest
    assert holds(manifest, desired_workload(scaled, manifest, keda=True))


def test_labels_of_the_users_template_are_kept_except_those_of_the_selector() -> None:
    obj = actor("a")
    theirs = {"app.kubernetes.io/name": "shop", "app.kubernetes.io/instance": "mine", "team": "x"}
    obj["spec"]["workload"]["template"]["metadata"] = {"labels": theirs}
    made = desired.workload(parsed(obj), keda=False)["spec"]
    labels = made["template"]["metadata"]["labels"]
    assert (labels["app.kubernetes.io/name"], labels["team"]) == ("shop", "x")
    assert made["selector"]["matchLabels"].items() <= labels.items()


def test_selectors_contain_nothing_that_can_change() -> None:
    one, other = parsed(actor("a")), parsed(actor("a", queueName="asya-x", timeout={"processing": 1}))
    assert (
        desired.workload(one, keda=False)["spec"]["selector"] == desired.workload(other, keda=True)["spec"]["selector"]
    )


def test_a_jobs_digest_depends_on_the_actor_and_not_on_its_scaling() -> None:
    def digest(**spec: Any) -> str:
        obj = actor("a", **spec)
        obj["spec"]["workload"] = {**obj["spec"]["workload"], "type": "Job"}
        return str(desired.workload(parsed(obj), keda=False)["metadata"]["annotations"]["asya.io/applied"])

    assert digest() == digest(scaling={"maxReplicas": 7})
    assert digest() != digest(timeout={"processing": 7})


@pytest.mark.parametrize(
    ("transport", "more", "digest"),
    [
        ({"type": "rabbitmq", "rabbitmq": FIRST_RABBITMQ}, {}, "ce3cdce1847d5c33"),
        ({"type": "rabbitmq", "rabbitmq": FIRST_RABBITMQ}, FIRST_SOCKET, "3156f096d63970b0"),
        ({"type": "sqs", "sqs": FIRST_SQS}, {}, "9e77d8d87420b938"),
        ({"type": "sqs", "sqs": FIRST_SQS}, FIRST_SOCKET, "34dc84f556014030"),
    ],
)
def test_an_upgrade_replaces_no_job(transport: Object, more: Object, digest: str) -> None:
    """The digests are those that the operator wrote before ``spec`` had its newer fields."""
    container = {"name": "runtime", "image": "python:3.12", "env": [{"name": "ASYA_HANDLER", "value": "a.b"}]}
    spec = {
        "queueName": "q",
        "transport": transport,
        "timeout": {"processing": 60, "gracefulShutdown": 30},
        "workload": {"type": "Job", "replicas": 1, "template": {"spec": {"containers": [container]}}},
        **more,
    }
    obj = parsed({**actor("a"), "spec": spec})
    assert desired.workload(obj, keda=False)["metadata"]["annotations"]["asya.io/applied"] == digest


def test_triggers_never_contain_a_password() -> None:
    rabbitmq = {"host": "h", "username": "u", "passwordSecretRef": {"name": "s", "key": "k"}}
    obj = parsed(actor("a", transport={"type": "rabbitmq", "rabbitmq": rabbitmq}))
    assert scalers.trigger(obj, DEFAULTS)["metadata"]["host"] == "amqp://h:5672/"
    assert (scalers.trigger_authentication(obj) or {})["spec"] == {
        "secretTargetRef": [{"parameter": "password", "name": "s", "key": "k"}],
        "configMapTargetRef": [{"parameter": "username", "name": "asya-keda", "key": "username_u"}],
    }
    assert scalers.trigger_parameters(obj) == {"username_u": "u"}
    url = parsed(actor("a", transport={"type": "rabbitmq", "rabbitmq": {"urlSecretRef": {"name": "s", "key": "k"}}}))
    assert "host" not in scalers.trigger(url, DEFAULTS)["metadata"]
    assert (scalers.trigger_authentication(url) or {})["spec"]["secretTargetRef"][0]["parameter"] == "host"
    guest = parsed(actor("a"))
    assert scalers.trigger_authentication(guest) is None
    assert "authenticationRef" not in scalers.trigger(guest, DEFAULTS)


# -- status --------------------------------------------------------------------------------------

META = {"name": "a", "namespace": "ns", "generation": 3}
GOOD = true("WorkloadCreated", "exists")
RUNTIME = true("ConfigMapCreated", "there")


def reported(workload: Verdict = GOOD, scaling: Verdict | None = None, before: Object | None = None) -> Object:
    return status_of(META, Observation(workload, scaling, RUNTIME), before or {}, "2026-01-01T00:00:00Z")


def conditions(obj: Object) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in obj["conditions"]}


def test_ready_summarises_the_present_conditions() -> None:
    assert conditions(reported()) == {
        "Ready": ("True", "Ready"),
        "RuntimeReady": ("True", "ConfigMapCreated"),
        "WorkloadReady": ("True", "WorkloadCreated"),
    }
    bad = reported(scaling=false("KEDANotInstalled", "install it"))
    assert conditions(bad)["Ready"] == ("False", "KEDANotInstalled")
    assert bad["reason"] == "KEDANotInstalled"
    assert conditions(reported(Verdict("Unknown", "Waiting", "")))["Ready"] == ("Unknown", "Waiting")


def test_the_transition_time_changes_only_with_the_status() -> None:
    first = reported()
    second = status_of(META, Observation(true("Other", "word"), None, RUNTIME), first, "2026-02-02T00:00:00Z")
    assert {c["lastTransitionTime"] for c in second["conditions"]} == {"2026-01-01T00:00:00Z"}
    failed = status_of(META, Observation(false("Gone", "x"), None, RUNTIME), first, "2026-02-02T00:00:00Z")
    moved = {c["type"] for c in failed["conditions"] if c["lastTransitionTime"].startswith("2026-02")}
    assert moved == {"WorkloadReady", "Ready"}
    assert {c["type"] for c in changes(first, failed)} == moved
    assert {c["type"] for c in changes(first, second)} == {"WorkloadReady"}


def test_every_condition_has_the_generation() -> None:
    assert {c["observedGeneration"] for c in reported()["conditions"]} == {3}


@pytest.mark.parametrize(
    ("code", "message", "reason"),
    [
        (500, f'Internal error occurred: failed calling webhook "{status.INJECTOR}": refused', "WebhookUnavailable"),
        (500, f'admission webhook "{status.INJECTOR}" denied the request: it failed', "WebhookUnavailable"),
        (422, f'admission webhook "{status.INJECTOR}" denied the request: spec.containers: no', "InjectionDenied"),
        (422, "StatefulSet.apps is invalid: spec: Forbidden: updates", "InvalidWorkload"),
        (500, "failed to create typed patch object (ns/a): .spec: expected map", "InvalidWorkload"),
        (403, 'admission webhook "policy.example.com" denied the request: no latest', "WorkloadForbidden"),
        (500, 'failed calling webhook "validate.policy.example.com": connection refused', "WorkloadForbidden"),
        (403, "unable to create new content in namespace ns because it is being terminated", None),
        (503, "etcdserver: leader changed", None),
        (409, "the object has been modified", None),
    ],
)
def test_refusals_by_the_api_server(code: int, message: str, reason: str | None) -> None:
    verdict = workload_refused("StatefulSet", "a", ApiError(code, "", message))
    assert (verdict.reason if verdict else None) == reason
