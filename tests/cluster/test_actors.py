"""From an applied AsyncActor to an injected, scaled and reported workload, on every tier."""

import copy
import time

import orjson
import pytest

from injection.environment import HOLDER_PATIENCE
from kube.objects import Object
from tests.cluster.watching import SECONDS, environment, everything, ready, settle
from tests.harness.clusters import Cluster, wait_for
from tests.harness.operator import Operator
from tests.harness.space import Space, actor, containers, example

# -- the main path -------------------------------------------------------------------------------


def check_scaling(space: Space) -> None:
    """Check KEDA's objects for the actor ``text-processor``."""
    scaled = space.wait("ScaledObject", "text-processor", SECONDS)["spec"]
    assert scaled["scaleTargetRef"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "text-processor",
    }
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (0, 20)
    assert (scaled["pollingInterval"], scaled["cooldownPeriod"]) == (10, 90)
    behavior = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    up, down = behavior["scaleUp"], behavior["scaleDown"]
    assert (up["stabilizationWindowSeconds"], up["selectPolicy"]) == (0, "Max")
    assert [(p["type"], p["value"], p["periodSeconds"]) for p in up["policies"]] == [
        ("Percent", 100, 15),
        ("Pods", 4, 15),
    ]
    assert down["stabilizationWindowSeconds"] == 60
    assert [(p["type"], p["value"], p["periodSeconds"]) for p in down["policies"]] == [("Percent", 50, 15)]
    assert scaled["triggers"] == [
        {
            "type": "rabbitmq",
            "metadata": {
                "protocol": "amqp",
                "queueName": f"asya-{space.name}-text-processor",
                "mode": "QueueLength",
                "value": "5",
                "host": "amqp://rabbitmq.messaging:5672/",
            },
            "authenticationRef": {"name": "text-processor"},
        }
    ]
    authentication = space.wait("TriggerAuthentication", "text-processor", SECONDS)
    assert authentication["spec"]["secretTargetRef"] == [
        {"parameter": "password", "name": "rabbitmq", "key": "password"}
    ]
    assert authentication["spec"]["configMapTargetRef"] == [
        {"parameter": "username", "name": "asya-keda", "key": "username_asya"}
    ]
    assert space.wait("ConfigMap", "asya-keda", SECONDS)["data"] == {"username_asya": "asya"}


@pytest.mark.needs_kubernetes(1, 29)
def test_rabbitmq_deployment(space: Space) -> None:
    made = space.apply(example("rabbitmq-deployment"))
    deployment = space.wait("Deployment", "text-processor", SECONDS)
    obj = ready(space, "text-processor", SECONDS)
    assert containers(deployment) == ["sidecar", "runtime"]
    sidecar, runtime = deployment["spec"]["template"]["spec"]["containers"]
    env = environment(sidecar)
    assert env == {
        "ASYA_ACTOR_NAME": "text-processor",
        "ASYA_NAMESPACE": space.name,
        "ASYA_QUEUE_NAME": f"asya-{space.name}-text-processor",
        "ASYA_TRANSPORT": "rabbitmq",
        "ASYA_SOCKET_DIR": "/var/run/asya",
        "ASYA_SOCKET_PATH": "/var/run/asya/asya-runtime.sock",
        "ASYA_METRICS_ADDR": ":9095",
        "ASYA_RUNTIME_TIMEOUT": f"{60 + HOLDER_PATIENCE}s",
        "ASYA_RESILIENCY_ACTOR_TIMEOUT": f"{60 + HOLDER_PATIENCE}s",
        "ASYA_RABBITMQ_HOST": "rabbitmq.messaging",
        "ASYA_RABBITMQ_PORT": "5672",
        "ASYA_RABBITMQ_USERNAME": "asya",
        "ASYA_RABBITMQ_PASSWORD": {"secretKeyRef": {"name": "rabbitmq", "key": "password"}},
        "ASYA_LOG_LEVEL": "INFO",
    }
    assert runtime["command"] == ["python3", "/opt/asya/asya_runtime.py"]
    assert environment(runtime)["ASYA_SOCKET_MAX_SIZE"] == "10485760"
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 90

    check_scaling(space)
    conditions = {c["type"]: (c["status"], c["reason"]) for c in obj["status"]["conditions"]}
    assert conditions == {
        "PodsReady": ("True", "NoPodsWanted"),
        "QueueConsumed": ("True", "QueueConsumed"),
        "Ready": ("True", "Ready"),
        "RuntimeReady": ("True", "ConfigMapCreated"),
        "ScalingReady": ("True", "ScaledObjectCreated"),
        "WorkloadReady": ("True", "WorkloadCreated"),
    }
    status = obj["status"]
    assert status["workloadRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "text-processor"}
    assert status["scaledObjectRef"]["name"] == "text-processor"
    assert status["observedGeneration"] == made["metadata"]["generation"]
    script = space.get("ConfigMap", "asya-runtime")
    assert script
    assert "def main(" in script["data"]["asya_runtime.py"]


def test_passwords_appear_only_as_references(space: Space) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "rabbitmq"},
        "stringData": {"password": "hunter2"},
    }
    space.create_object(secret)
    space.apply(example("rabbitmq-deployment"))
    ready(space, "text-processor")
    assert b"hunter2" not in orjson.dumps([everything(space), space.all("Pod"), space.all("Event")])
    assert [s["metadata"]["name"] for s in space.all("Secret")] == ["rabbitmq"]


def test_sqs_stateful_set(space: Space) -> None:
    obj = example("sqs-statefulset")
    obj["spec"]["scaling"] = {"enabled": True, "minReplicas": 1}
    space.apply(obj)
    ready(space, "indexer")
    stateful_set = space.wait("StatefulSet", "indexer")
    assert containers(stateful_set) == ["sidecar", "runtime"]
    env = environment(stateful_set["spec"]["template"]["spec"]["containers"][0])
    base = "https://sqs.eu-central-1.amazonaws.com/123456789012"
    assert (
        env
        | {
            "ASYA_TRANSPORT": "sqs",
            "ASYA_AWS_REGION": "eu-central-1",
            "AWS_REGION": "eu-central-1",
            "ASYA_SQS_VISIBILITY_TIMEOUT": "120",
            "ASYA_SQS_WAIT_TIME_SECONDS": "20",
            "QUEUE_BASE_URL": base,
        }
        == env
    )
    assert "ASYA_SQS_ENDPOINT" not in env
    assert not any("RABBITMQ" in name for name in env)
    assert [c["metadata"]["name"] for c in stateful_set["spec"]["volumeClaimTemplates"]] == ["index"]
    trigger = space.wait("ScaledObject", "indexer")["spec"]["triggers"][0]
    assert trigger == {
        "type": "aws-sqs-queue",
        "metadata": {"queueURL": f"{base}/asya-{space.name}-indexer", "awsRegion": "eu-central-1", "queueLength": "5"},
        "authenticationRef": {"name": "indexer"},
    }
    assert space.wait("TriggerAuthentication", "indexer")["spec"]["podIdentity"]["provider"] == "aws"
    pods = wait_for("pods", lambda: space.all("Pod"))
    assert [c["name"] for c in pods[0]["spec"]["containers"]] == ["sidecar", "runtime"]
    claims = [
        v["persistentVolumeClaim"]["claimName"] for v in pods[0]["spec"]["volumes"] if "persistentVolumeClaim" in v
    ]
    assert claims == ["index-indexer-0"]


@pytest.mark.needs_kubernetes(1, 29)
def test_job_has_a_native_sidecar_and_completes(space: Space, cluster: Cluster) -> None:
    obj = example("scaled-job")
    del obj["spec"]["scaling"]
    space.apply(obj)
    ready(space, "video-encoder")
    template = space.wait("Job", "video-encoder")["spec"]["template"]["spec"]
    first = [(c["name"], c["restartPolicy"]) for c in template["initContainers"]]
    assert first == [("asya-socket", "Always"), ("sidecar", "Always")]
    assert [c["name"] for c in template["containers"]] == ["runtime"]
    pods = wait_for("a pod", lambda: space.all("Pod"))
    if cluster.real:
        # There is no kubelet, so the test writes the status after the runtime container has ended.
        space.patch("Pod", pods[0]["metadata"]["name"], {"status": {"phase": "Succeeded"}}, "status")
    wait_for(
        "the Job to complete",
        lambda: any(c["type"] == "Complete" for c in (space.get("Job", "video-encoder") or {})["status"]["conditions"]),
        20,
    )
    assert space.wait_condition("video-encoder", "WorkloadReady", "True")["reason"] == "WorkloadCreated"


@pytest.mark.needs_kubernetes(1, 29)
def test_scaled_job(space: Space) -> None:
    space.apply(example("scaled-job"))
    obj = ready(space, "video-encoder")
    scaled_job = space.wait("ScaledJob", "video-encoder")
    template = scaled_job["spec"]["jobTargetRef"]["template"]["spec"]
    assert [c["name"] for c in template["initContainers"]] == ["asya-socket", "sidecar"]
    assert template["restartPolicy"] == "Never"
    assert scaled_job["spec"]["maxReplicaCount"] == 10
    assert "envSourceContainerName" not in scaled_job["spec"], "KEDA does not recognise a native sidecar"
    assert scaled_job["spec"]["rollout"]["strategy"] == "gradual"
    assert scaled_job["spec"]["triggers"][0]["metadata"]["value"] == "1"
    assert obj["status"]["scaledJobRef"]["name"] == "video-encoder"
    assert space.get("Job", "video-encoder") is None
    assert space.get("ScaledObject", "video-encoder") is None


def test_columns_of_kubectl_get(space: Space) -> None:
    space.apply(example("rabbitmq-deployment"))
    ready(space, "text-processor")
    names, rows = space.table("AsyncActor")
    assert names == [
        "Name",
        "Phase",
        "Ready",
        "Type",
        "Queue",
        "Transport",
        "Up",
        "Replicas",
        "Min",
        "Max",
        "Active",
        "Age",
        "Reason",
        "Workload",
        "Outdated",
    ]
    row = dict(zip(names, rows[0], strict=True))
    assert row["Phase"] in ("Creating", "Running", "Napping")
    queue = f"asya-{space.name}-text-processor"
    assert (row["Ready"], row["Type"], row["Queue"]) == ("True", "Deployment", queue)
    assert (row["Transport"], row["Min"], row["Max"]) == ("rabbitmq", 0, 20)


def test_every_change_of_a_condition_is_an_event(space: Space) -> None:
    space.apply(actor("a"))
    ready(space, "a")

    def created() -> list[Object]:
        events = [e for e in space.all("Event") if e["involvedObject"]["kind"] == "AsyncActor"]
        return [e for e in events if "WorkloadReady=True (WorkloadCreated)" in e["message"]]

    assert [e["type"] for e in wait_for("the Event", created)] == ["Normal"]


def test_owned_objects_go_with_the_actor_and_the_script_with_the_last_actor(space: Space) -> None:
    space.apply(example("rabbitmq-deployment"))
    space.apply(actor("other"))
    ready(space, "text-processor")
    ready(space, "other")
    space.delete("AsyncActor", "text-processor")
    for kind in ("Deployment", "ScaledObject", "TriggerAuthentication"):
        space.wait_gone(kind, "text-processor")
    assert space.get("ConfigMap", "asya-runtime")
    assert space.get("Deployment", "other")
    space.delete("AsyncActor", "other")
    space.wait_gone("ConfigMap", "asya-runtime")


# -- changes of the actor ------------------------------------------------------------------------


def test_an_actor_that_is_deleted_and_created_again_gives_no_warning(space: Space) -> None:
    obj = actor("a", scaling={"enabled": True})
    space.apply(obj)
    uid = ready(space, "a")["metadata"]["uid"]
    space.delete("AsyncActor", "a")
    space.wait_gone("AsyncActor", "a")
    space.apply(obj)
    wait_for("the new ones", lambda: _owner(space.wait("Deployment", "a")) == _owner(space.wait("ScaledObject", "a")))
    second = ready(space, "a")["metadata"]["uid"]
    assert second == _owner(space.wait("Deployment", "a")) != uid
    messages = [e for e in space.all("Event") if e["involvedObject"].get("uid") == second]
    assert [e["message"] for e in messages if e["type"] == "Warning" and e["reason"] != "SpecWarning"] == []


def _owner(obj: Object) -> str:
    return str(obj["metadata"]["ownerReferences"][0]["uid"])


def test_another_type_replaces_the_workload(space: Space) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    changed = actor("a")
    changed["spec"]["workload"]["type"] = "StatefulSet"
    space.apply(changed)
    space.wait("StatefulSet", "a")
    space.wait_gone("Deployment", "a")
    assert ready(space, "a")["status"]["workloadRef"]["kind"] == "StatefulSet"


@pytest.mark.needs_kubernetes(1, 29)
def test_a_changed_spec_replaces_the_job_and_an_unchanged_one_runs_once(space: Space) -> None:
    obj = actor("a")
    obj["spec"]["workload"]["type"] = "Job"
    space.apply(obj)
    ready(space, "a")
    first = space.wait("Job", "a")["metadata"]["uid"]
    space.patch("AsyncActor", "a", {"metadata": {"labels": {"x": "y"}}})
    settle(space)
    assert space.wait("Job", "a")["metadata"]["uid"] == first
    obj["spec"]["workload"]["template"]["spec"]["containers"][0]["image"] = "python:3.13"
    space.apply(obj)
    wait_for("a new Job", lambda: space.wait("Job", "a")["metadata"]["uid"] != first)
    ready(space, "a")
    assert space.wait("Job", "a")["spec"]["template"]["spec"]["containers"][0]["image"] == "python:3.13"


def test_immutable_fields_of_a_stateful_set_are_reported(space: Space) -> None:
    obj = example("sqs-statefulset")
    space.apply(obj)
    ready(space, "indexer")
    before = space.wait("StatefulSet", "indexer")
    changed = copy.deepcopy(obj)
    claim = changed["spec"]["workload"]["volumeClaimTemplates"][0]
    claim["spec"]["resources"]["requests"]["storage"] = "9Gi"
    space.apply(changed)
    condition = space.wait_condition("indexer", "WorkloadReady", "False", "InvalidWorkload")
    assert "volumeClaimTemplates" in condition["message"]
    assert "Nothing was deleted" in condition["message"]
    assert space.wait("StatefulSet", "indexer")["metadata"]["uid"] == before["metadata"]["uid"]
    # The operator tries again when the set changes. It must not mistake the refusal for a change by another writer.
    for n in range(10):
        space.patch("StatefulSet", "indexer", {"metadata": {"annotations": {"n": str(n)}}})
        time.sleep(0.2)
        assert space.condition("indexer", "WorkloadReady")["reason"] == "InvalidWorkload"
    space.apply(obj)
    ready(space, "indexer")


def test_an_apply_right_after_a_change_is_injected_with_the_change(space: Space) -> None:
    for n in range(1, 6):
        space.apply(actor("a", timeout={"processing": n, "gracefulShutdown": 30}))
        ready(space, "a")
        wait_for("the change", lambda n=n: f"'{n}s'" in str(space.get("Deployment", "a")))  # type: ignore[misc]
        assert space.wait("Deployment", "a")["metadata"]["generation"] == n


# -- KEDA ----------------------------------------------------------------------------------------


def test_kedas_conditions_are_reported(space: Space) -> None:
    space.apply(actor("a", scaling={"enabled": True}))
    ready(space, "a")
    scaled_object = space.wait("ScaledObject", "a")
    space.create_object(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": "a.1"},
            "involvedObject": {
                "apiVersion": "keda.sh/v1alpha1",
                "kind": "ScaledObject",
                "name": "a",
                "namespace": space.name,
                "uid": scaled_object["metadata"]["uid"],
            },
            "type": "Warning",
            "reason": "KEDAScalerFailed",
            "message": "Exception (404) Reason: NOT_FOUND - no queue 'asya-a' in vhost '/'",
        }
    )
    conditions = [
        {
            "type": "Ready",
            "status": "False",
            "reason": "ScaledObjectCheckFailed",
            "message": "Triggers defined in ScaledObject are not working correctly",
        }
    ]
    space.patch("ScaledObject", "a", {"status": {"conditions": conditions}}, "status")
    message = space.wait_condition("a", "ScalingReady", "False", "ScaledObjectNotReady")["message"]
    assert "Triggers defined in ScaledObject are not working correctly" in message
    assert f"The queue 'asya-{space.name}-a' does not exist: create it in RabbitMQ" in message
    space.patch(
        "ScaledObject",
        "a",
        {"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "ScaledObjectReady"}]}},
        "status",
    )
    space.wait_condition("a", "ScalingReady", "True", "ScaledObjectCreated")


# -- denials -------------------------------------------------------------------------------------


def test_a_template_that_cannot_be_injected_is_reported(space: Space, operator: Operator) -> None:
    """The actor was stored before the rules that would now refuse it."""
    obj = actor("a")
    obj["spec"]["workload"]["template"]["spec"]["containers"][0]["name"] = "one"
    other = {"name": "two", "image": "two:1"}
    obj["spec"]["workload"]["template"]["spec"]["containers"].append(other)
    assert "spec.workload.template.spec.containers" in space.refused(obj)
    with operator.without_validation():
        space.apply(obj)
    message = space.wait_condition("a", "WorkloadReady", "False", "InjectionDenied")["message"]
    assert "one, two" in message
    assert space.get("Deployment", "a") is None
