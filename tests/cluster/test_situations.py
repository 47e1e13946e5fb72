"""Broken situations: describe, explain and the page on troubleshooting give the same remedy for each."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from certs.authority import create_authority, issue
from cli.explain import lines, read
from cli.manual import DOCS
from controller.rules.remedies import general, remedy
from kube.failures import ApiError
from kube.objects import Object
from release.binaries import binary
from tests.cases.troubles import TROUBLES, report, running_pod, waits
from tests.harness.clusters import Cluster, wait_for
from tests.harness.injector import injector
from tests.harness.operator import WEBHOOK_CONFIGURATION_SECONDS, WEBHOOKS, Operator, install_keda, uninstall_keda
from tests.harness.space import NAMESPACES, Space, actor, example

pytestmark = pytest.mark.best_tier

NAME = "a"
KEDA_SECONDS = 11
"""Seconds until the controller has checked whether KEDA is installed."""


@dataclass(frozen=True)
class Situation:
    """Each situation by its cause: how to create it, and the words of its remedy."""

    cause: str
    make: Callable[[Space, Operator], AbstractContextManager[None]]
    words: dict[str, str] = field(default_factory=dict)
    of: str = NAME


def _situation(cause: str, of: str = NAME, **words: str) -> Callable[[Callable[..., Iterator[None]]], None]:
    def add(make: Callable[..., Iterator[None]]) -> None:
        SITUATIONS[make.__name__.strip("_").replace("_", " ")] = Situation(cause, contextmanager(make), words, of)

    return add


SITUATIONS: dict[str, Situation] = {}


def _deployment(**labels: str) -> Object:
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    spec = {"selector": {"matchLabels": {"app": "x"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x", "labels": labels}, "spec": spec}


def _troubled(phase: str) -> Callable[[Space, Operator], Iterator[None]]:
    def make(space: Space, operator: Operator) -> Iterator[None]:
        space.apply(actor(NAME))
        report(space, running_pod(space, NAME), ready=False, status=TROUBLES[phase][0])
        yield

    return make


for _phase in TROUBLES:
    SITUATIONS[f"pod: {_phase}"] = Situation(_phase, contextmanager(_troubled(_phase)))


@_situation("ConfigError")
def _a_secret_to_mount_is_missing(space: Space, operator: Operator) -> Iterator[None]:
    space.apply(actor(NAME))
    pod = running_pod(space, NAME)["metadata"]
    message = 'MountVolume.SetUp failed for volume "v" : secret "model" not found'
    about = {"apiVersion": "v1", "kind": "Pod", "name": pod["name"], "namespace": space.name, "uid": pod["uid"]}
    reported = {"reason": "FailedMount", "message": message, "type": "Warning", "involvedObject": about}
    space.create_object({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "mount"}, **reported})
    report(space, {"metadata": pod}, ready=False, status=waits("ContainerCreating", ""))
    yield


@_situation("WorkloadError", "indexer")
def _pods_are_refused(space: Space, operator: Operator) -> Iterator[None]:
    if not operator.cluster.real:
        pytest.skip("the sandbox holds pods to no Pod Security profile")
    enforced = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    space.client.merge_patch(NAMESPACES, "", space.name, enforced)
    space.apply(example("sqs-statefulset"))
    yield


QUEUE = {"queue": "'asya-{namespace}-a'", "broker": "RabbitMQ", "exchange": "'asya'", "where": "rabbitmq"}
COMPLAINTS = {
    "QueueMissing": "404 NOT_FOUND - no queue 'asya-a' in vhost '/'",
    "ExchangeMissing": "NOT_FOUND - no exchange 'asya' in vhost '/'",
    "VhostMissing": "no access to this vhost",
    "AccessDenied": "username or password not allowed",
    "BrokerUnreachable": "dial tcp: lookup rabbitmq: no such host",
    "ScalingError": "couldn't find container with name sidecar",
}


def _complains(message: str) -> Callable[[Space, Operator], Iterator[None]]:
    def make(space: Space, operator: Operator) -> Iterator[None]:
        yield from _keda_says(space, type="Ready", status="False", reason="ScaledObjectCheckFailed", message=message)

    return make


for _cause, _message in COMPLAINTS.items():
    SITUATIONS[f"KEDA: {_cause}"] = Situation(_cause, contextmanager(_complains(_message)), QUEUE)


@_situation("AutoscalerNotActive", name="keda-hpa-a")
def _the_autoscaler_has_no_metrics(space: Space, operator: Operator) -> Iterator[None]:
    yield from _keda_says(space, type="HPAActive", status="False", reason="FailedGetExternalMetric", message="none")


@_situation("ScalingPaused", kind="scaledobject", name=NAME, annotation="autoscaling.keda.sh/paused")
def _somebody_pauses_scaling(space: Space, operator: Operator) -> Iterator[None]:
    space.apply(actor(NAME, scaling={"enabled": True}))
    space.wait_condition(NAME, "ScalingReady", "True")
    space.patch("ScaledObject", NAME, {"metadata": {"annotations": {"autoscaling.keda.sh/paused": "true"}}})
    yield


def _keda_says(space: Space, **condition: str) -> Iterator[None]:
    space.apply(actor(NAME, scaling={"enabled": True}))
    space.wait("ScaledObject", NAME)
    ready = {"type": "Ready", "status": "True", "reason": "ScaledObjectReady", "message": "ready"}
    conditions = [condition] if condition["type"] == "Ready" else [ready, condition]
    space.patch("ScaledObject", NAME, {"status": {"conditions": conditions}}, "status")
    yield


@_situation("KEDANotInstalled")
def _keda_missing(space: Space, operator: Operator) -> Iterator[None]:
    uninstall_keda(space.client)
    time.sleep(KEDA_SECONDS)
    space.apply(actor(NAME, scaling={"enabled": True}))
    try:
        yield
    finally:
        install_keda(space.client)


@_situation("ScalerNotOwned")
def _foreign_scaled_object(space: Space, operator: Operator) -> Iterator[None]:
    triggers = [{"type": "cpu", "metadata": {"value": "1"}}]
    spec = {"scaleTargetRef": {"name": "x"}, "triggers": triggers}
    metadata = {"name": NAME, "labels": {"asya.io/actor": "other"}}
    space.apply({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": metadata, "spec": spec})
    time.sleep(1)  # until the watch has delivered it
    space.apply(actor(NAME, scaling={"enabled": True}))
    yield


@_situation("WorkloadForbidden")
def _somebody_elses_webhook_is_away(space: Space, operator: Operator) -> Iterator[None]:
    nobody = {"url": "https://127.0.0.1:9/", "caBundle": operator.ca_bundle}
    yield from _refused(space, 'failed calling webhook "injector.example.com"', clientConfig=nobody)


@_situation("ScalerRefused")
def _keda_refuses_the_scaled_object(space: Space, operator: Operator) -> Iterator[None]:
    message = "the workload 'a' of type 'apps/v1.Deployment' is already managed by the ScaledObject 'b'"
    rule = {"apiGroups": ["keda.sh"], "apiVersions": ["*"], "operations": ["*"], "resources": ["scaledobjects"]}
    yield from _refused(space, message, rules=[rule])


@_situation("ConfigMapRefused")
def _a_policy_against_config_maps(space: Space, operator: Operator) -> Iterator[None]:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}
    yield from _refused(space, "no more ConfigMaps", rules=[rule])


def _refused(space: Space, message: str, **hook: Any) -> Iterator[None]:
    """Another webhook refuses an object. The status repeats its words, and clears them once the webhook is gone."""
    with injector(space.client, "test-other", space.name, lambda obj: message, **hook):
        time.sleep(WEBHOOK_CONFIGURATION_SECONDS)
        space.apply(actor(NAME, scaling={"enabled": True}))
        yield
        assert message in _message_of(space, NAME)
    space.wait_condition(NAME, "Ready", "True")


@_situation("WorkloadNotFound")
def _no_such_workload(space: Space, operator: Operator) -> Iterator[None]:
    space.apply(actor(NAME, workload={"name": "x"}))
    yield


@_situation("WorkloadNotLabelled", kind="deployment", name="x", actor=NAME)
def _label_missing(space: Space, operator: Operator) -> Iterator[None]:
    space.apply(_deployment())
    space.apply(actor(NAME, workload={"name": "x"}))
    yield


@_situation("WorkloadNotOwned", "x")
def _foreign_workload(space: Space, operator: Operator) -> Iterator[None]:
    space.apply(_deployment())
    space.apply(actor("x"))
    yield


@_situation("InvalidStatefulSet", "indexer")
def _immutable_field_of_a_stateful_set(space: Space, operator: Operator) -> Iterator[None]:
    obj = example("sqs-statefulset")
    space.apply(obj)
    space.wait("StatefulSet", "indexer")
    obj["spec"]["workload"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] = "9Gi"
    space.apply(obj)
    yield


@_situation("InvalidWorkload")
def _a_field_that_the_api_server_refuses(space: Space, operator: Operator) -> Iterator[None]:
    obj = actor(NAME)
    obj["spec"]["workload"]["template"]["metadata"] = {"labels": {"app": "not a label's value!"}}
    space.apply(obj)
    yield


@_situation("InjectionDenied")
def _two_containers(space: Space, operator: Operator) -> Iterator[None]:
    obj = actor(NAME)
    obj["spec"]["workload"]["template"]["spec"]["containers"] = [{"name": n, "image": "app:1"} for n in ("one", "two")]
    with operator.without_validation():
        space.apply(obj)
    yield


@_situation("NotInjected")
def _no_webhook_configuration(space: Space, operator: Operator) -> Iterator[None]:
    resource = WEBHOOKS["MutatingWebhookConfiguration"]
    space.client.delete(resource, "", "asya-operator")
    time.sleep(WEBHOOK_CONFIGURATION_SECONDS)
    space.apply(actor(NAME))
    try:
        yield
    finally:
        operator.configure_webhooks()


@_situation("WebhookUnavailable")
def _webhook_down(space: Space, operator: Operator) -> Iterator[None]:
    operator.stop_webhook(signal.SIGKILL)
    space.apply(actor(NAME))
    yield


@_situation("WebhookUnavailable")
def _expired_certificate(space: Space, operator: Operator) -> Iterator[None]:
    files = [operator.directory / "tls.crt", operator.directory / "tls.key"]
    good, bundle = [file.read_bytes() for file in files], operator.ca_bundle
    authority = create_authority("asya-operator", timedelta(days=1))
    expired = issue(authority, ["127.0.0.1"], timedelta(seconds=1))
    operator.stop_webhook()
    for file, data in zip(files, (expired.certificate, expired.key), strict=True):
        file.write_bytes(data)
    operator.trust(authority.certificate)
    time.sleep(1 + WEBHOOK_CONFIGURATION_SECONDS)
    operator.start_webhook()
    try:
        space.apply(actor(NAME))
        yield
    finally:
        operator.stop_webhook()
        for file, data in zip(files, good, strict=True):
            file.write_bytes(data)
        operator.ca_bundle = bundle
        operator.configure_webhooks()
        operator.start_webhook()


@_situation("RuntimeSourceFailed")
def _a_script_that_is_no_python(space: Space, operator: Operator) -> Iterator[None]:
    space.apply(actor(NAME))
    space.wait_condition(NAME, "RuntimeReady", "True")
    with operator.edited_script():
        operator.script.write_text("def broken(:\n")
        yield


@_situation("ConfigMapNotOwned")
def _a_config_map_of_the_same_name(space: Space, operator: Operator) -> Iterator[None]:
    space.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "asya-runtime"}, "data": {"a": "b"}})
    space.apply(actor(NAME))
    yield


@_situation("Contested", kind="deployment", name=NAME)
def _another_writer_insists(space: Space, operator: Operator) -> Iterator[None]:
    space.apply(actor(NAME))
    space.wait_condition(NAME, "Ready", "True")
    theirs = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "somebody"}}}

    def contested() -> bool:
        space.patch("Deployment", NAME, theirs)
        return bool(space.condition(NAME, "WorkloadReady")["reason"] == "Contested")

    wait_for("the contest", contested, pause=0.2)
    yield


@_situation("OptedOut")
def _a_template_that_opts_out(space: Space, operator: Operator) -> Iterator[None]:
    obj = actor(NAME)
    obj["spec"]["workload"]["template"]["metadata"] = {"annotations": {"asya.io/inject": "disabled"}}
    space.apply(obj)
    yield


@_situation("DeletionBlocked", kind="scaledobject", name=NAME)
def _a_deletion_that_keda_holds_up(space: Space, operator: Operator) -> Iterator[None]:
    space.apply(_deployment(**{"asya.io/actor": NAME}))
    space.apply(actor(NAME, workload={"name": "x"}, scaling={"enabled": True}))
    space.wait_condition(NAME, "Ready", "True")
    space.patch("ScaledObject", NAME, {"metadata": {"finalizers": ["finalizer.keda.sh/x"]}})
    space.delete("AsyncActor", NAME)
    try:
        yield
    finally:
        space.patch("ScaledObject", NAME, {"metadata": {"finalizers": None}})
        space.wait_gone("AsyncActor", NAME)


@_situation("InjectionOutdated")
def _other_settings_of_the_webhook(space: Space, operator: Operator) -> Iterator[None]:
    space.apply(actor(NAME))
    space.wait_condition(NAME, "Ready", "True")
    operator.environment["ASYA_SIDECAR_IMAGE"] = "ghcr.io/example/sidecar:2"
    try:
        operator.restart_controller()
        yield
    finally:
        del operator.environment["ASYA_SIDECAR_IMAGE"]
        operator.restart_controller()


PURE = [title for title in SITUATIONS if title.startswith(("pod: ", "KEDA: "))]
"""The effect of a status that the test itself writes is the same on any API server."""


@pytest.mark.parametrize(
    "title", [pytest.param(t, marks=pytest.mark.only("sandbox") if t in PURE else ()) for t in SITUATIONS]
)
def test_the_same_remedy_everywhere(space: Space, operator: Operator, cluster: Cluster, title: str) -> None:
    situation = SITUATIONS[title]
    with situation.make(space, operator):
        words = {name: word.format(namespace=space.name) for name, word in situation.words.items()}
        if situation.cause in TROUBLES:
            words = {"name": running_pod(space, NAME)["metadata"]["name"], "container": "runtime"}
        expected = remedy(situation.cause, **words)
        wait_for("the remedy", lambda: expected in _message_of(space, situation.of))
        command = [str(binary("kubectl")), "describe", "asya", situation.of, "--namespace", space.name]
        shown = subprocess.run([*command, "--kubeconfig", str(cluster.kubeconfig)], capture_output=True, text=True)
        assert expected in shown.stdout, shown.stderr
        story = read(space.client, space.name, situation.of)
        assert story is not None
        assert any(expected in line for line in lines(story))
    assert general(situation.cause) in (DOCS / "troubleshooting.md").read_text()


def _message_of(space: Space, name: str) -> str:
    """All messages of an actor's conditions, and of Events about workloads without a condition."""
    status = (space.get("AsyncActor", name) or {}).get("status") or {}
    messages = [condition["message"] for condition in status.get("conditions") or ()]
    return " ".join(messages + [e["message"] for e in space.all("Event") if e["reason"] == "InjectionOutdated"])


def test_there_are_enough_situations() -> None:
    assert len(SITUATIONS) >= 20


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("type", "kafka", "spec.transport.type"), ("rabbitmq", None, "rabbitmq: required when type is rabbitmq")],
)
def test_a_wrong_queue_type_is_refused_with_the_field(space: Space, field: str, value: object, message: str) -> None:
    obj = actor(NAME)
    obj["spec"]["transport"][field] = value
    with pytest.raises(ApiError, match=message):
        space.create_object(obj)
