"""Changes by others to the operator's objects: undone, kept or handed over. On every tier."""

import threading

import pytest

from tests.cluster.watching import SECONDS, ready, settle, writes
from tests.harness.clusters import wait_for
from tests.harness.operator import Operator
from tests.harness.space import Space, actor, containers, example, fingerprint


@pytest.mark.needs_kubernetes(1, 29)
def test_fifty_reconciles_of_an_unchanged_actor_write_nothing(space: Space, operator: Operator) -> None:
    for name in ("rabbitmq-deployment", "sqs-statefulset", "scaled-job"):
        space.apply(example(name))
    for name in ("text-processor", "indexer", "video-encoder"):
        ready(space, name)
    space.wait_for_others()
    before = settle(space)
    written = writes(operator)
    assert written > 10
    for n in range(50):
        # An irrelevant label triggers a reconcile.
        for name in ("text-processor", "indexer", "video-encoder"):
            space.patch("AsyncActor", name, {"metadata": {"labels": {"touched": str(n)}}})
    after = settle(space)
    assert writes(operator) == written
    for key, (uid, generation, version) in before.items():
        assert after[key][:2] == (uid, generation), key
        if not key.startswith("AsyncActor/"):
            assert after[key][2] == version, key


def test_others_set_replicas_while_scaling_is_on_and_the_actor_does_when_it_is_off(space: Space) -> None:
    obj = actor("a", scaling={"enabled": True})
    obj["spec"]["workload"]["replicas"] = 3
    space.apply(obj)
    ready(space, "a")
    space.scale("Deployment", "a", 7)
    obj["spec"]["timeout"] = {"processing": 77}
    space.apply(obj)
    ready(space, "a")
    wait_for("the new timeout", lambda: "77s" in str(space.get("Deployment", "a")))
    assert space.wait("Deployment", "a")["spec"]["replicas"] == 7
    obj["spec"]["scaling"]["enabled"] = False
    space.apply(obj)
    space.wait_gone("ScaledObject", "a")
    space.wait_gone("TriggerAuthentication", "a")
    wait_for("three replicas", lambda: space.wait("Deployment", "a")["spec"]["replicas"] == 3)
    live = ready(space, "a")
    assert "ScalingReady" not in {c["type"] for c in live["status"]["conditions"]}
    assert "scaledObjectRef" not in live["status"]


def test_turning_scaling_on_keeps_the_replicas(space: Space) -> None:
    obj = actor("a")
    obj["spec"]["workload"]["replicas"] = 4
    space.apply(obj)
    ready(space, "a")
    known: set[int] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(0.005):
            known.add(space.wait("Deployment", "a")["spec"]["replicas"])

    looker = threading.Thread(target=look)
    looker.start()
    obj["spec"]["scaling"] = {"enabled": True}
    space.apply(obj)
    space.wait("ScaledObject", "a")
    ready(space, "a")
    stop.set()
    looker.join()
    assert known == {4}
    assert len(space.all("ReplicaSet")) == 1


def test_deleted_objects_come_back(space: Space) -> None:
    space.apply(example("rabbitmq-deployment"))
    ready(space, "text-processor")
    for kind in ("Deployment", "ScaledObject", "TriggerAuthentication"):
        uid = space.wait(kind, "text-processor")["metadata"]["uid"]
        space.delete(kind, "text-processor")
        wait_for(
            f"a new {kind}",
            lambda kind=kind, uid=uid: space.wait(kind, "text-processor", SECONDS)["metadata"]["uid"] != uid,  # type: ignore[misc]
            SECONDS,
        )
    space.delete("ConfigMap", "asya-runtime")
    space.wait("ConfigMap", "asya-runtime", SECONDS)


def test_edits_of_owned_fields_are_undone(space: Space) -> None:
    space.apply(example("rabbitmq-deployment"))
    ready(space, "text-processor")
    settle(space)
    space.patch("ScaledObject", "text-processor", {"spec": {"maxReplicaCount": 99}})
    space.patch("Deployment", "text-processor", {"metadata": {"labels": {"app.kubernetes.io/instance": "mine"}}})
    space.patch("ConfigMap", "asya-runtime", {"data": {"asya_runtime.py": "pass"}})
    wait_for(
        "maxReplicaCount",
        lambda: space.wait("ScaledObject", "text-processor")["spec"]["maxReplicaCount"] == 20,
        SECONDS,
    )
    wait_for(
        "the label",
        lambda: "mine" not in str(space.wait("Deployment", "text-processor")["metadata"]["labels"]),
        SECONDS,
    )
    wait_for(
        "the script", lambda: space.wait("ConfigMap", "asya-runtime")["data"]["asya_runtime.py"] != "pass", SECONDS
    )


def test_a_removed_sidecar_comes_back(space: Space) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    template = space.wait("Deployment", "a")["spec"]["template"]["spec"]
    others = [c for c in template["containers"] if c["name"] != "sidecar"]
    space.patch("Deployment", "a", {"spec": {"template": {"spec": {"containers": others}}}})
    wait_for("the sidecar", lambda: containers(space.wait("Deployment", "a")) == ["sidecar", "runtime"], SECONDS)


def test_additions_of_others_survive(space: Space) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    deployment = space.wait("Deployment", "a")
    proxy = {"name": "istio-proxy", "image": "istio/proxyv2:1.24"}
    theirs = [*deployment["spec"]["template"]["spec"]["containers"], proxy]
    space.patch(
        "Deployment",
        "a",
        {
            "metadata": {"labels": {"team": "blue"}, "annotations": {"note": "kept"}},
            "spec": {
                "template": {
                    "metadata": {"annotations": {"sidecar.istio.io/status": "injected"}},
                    "spec": {"containers": theirs},
                }
            },
        },
    )
    obj = actor("a", timeout={"processing": 42, "gracefulShutdown": 50})
    space.apply(obj)
    ready(space, "a")
    wait_for("the new timeout", lambda: "42s" in str(space.get("Deployment", "a")))
    changed = space.wait("Deployment", "a")
    assert containers(changed) == ["sidecar", "runtime", "istio-proxy"]
    assert changed["metadata"]["labels"]["team"] == "blue"
    assert changed["metadata"]["annotations"]["note"] == "kept"
    assert changed["spec"]["template"]["metadata"]["annotations"]["sidecar.istio.io/status"] == "injected"


def test_a_workload_of_the_same_name_without_the_actor_as_owner_is_not_changed(space: Space) -> None:
    labels = {"app": "theirs"}
    theirs = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "x", "image": "x:1"}]}},
        },
    }
    space.apply(theirs)
    wait_for("its status", lambda: space.wait("Deployment", "a")["status"]["observedGeneration"] == 1)
    before = space.wait("Deployment", "a")
    space.apply(actor("a", scaling={"enabled": True}))
    space.wait_condition("a", "WorkloadReady", "False", "WorkloadNotOwned")
    assert space.condition("a", "Ready")["reason"] == "WorkloadNotOwned"
    assert space.get("ScaledObject", "a") is None
    assert fingerprint(space.wait("Deployment", "a")) == fingerprint(before)
    space.delete("Deployment", "a")
    ready(space, "a")
