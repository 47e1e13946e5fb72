"""Borrowed workloads: injected, scaled and released, never rewritten. On every tier."""

import time

import pytest

from tests.cluster.labelling import LABEL, label, own, sidecar_of, workload
from tests.cluster.watching import ready, settle
from tests.harness.clusters import wait_for
from tests.harness.space import Space, actor, containers


def test_bring_your_own(space: Space) -> None:
    space.apply(own(scaling={"enabled": True, "maxReplicas": 7}))
    assert "Create the workload" in space.wait_condition("a", "WorkloadReady", "False", "WorkloadNotFound")["message"]
    space.apply(workload("Deployment", "x"))
    message = space.wait_condition("a", "WorkloadReady", "False", "WorkloadNotLabelled", timeout=20)["message"]
    assert "kubectl label deployment x asya.io/actor=a" in message
    assert containers(space.wait("Deployment", "x")) == ["app"]
    assert space.get("ScaledObject", "a") is None
    label(space, "Deployment", "x", "a")
    space.wait_condition("a", "WorkloadReady", "True", "WorkloadFound")
    scaled = space.wait("ScaledObject", "a")
    assert scaled["spec"]["scaleTargetRef"]["name"] == "x"
    obj = ready(space, "a")
    assert obj["status"]["replicasBeforeScaling"] == 2
    assert obj["status"]["workloadRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}
    uid = space.wait("Deployment", "x")["metadata"]["uid"]
    space.scale("Deployment", "x", 6)
    settle(space)
    assert space.wait("Deployment", "x")["spec"]["replicas"] == 6
    space.delete("AsyncActor", "a")
    space.wait_gone("AsyncActor", "a")
    space.wait_gone("ScaledObject", "a")
    released = space.wait("Deployment", "x")
    assert released["metadata"]["uid"] == uid
    assert containers(released) == ["app"]
    assert LABEL not in (released["metadata"].get("labels") or {})
    assert released["spec"]["replicas"] == 2

    def reasons() -> set[str]:
        return {e["reason"] for e in space.all("Event") if e["involvedObject"]["kind"] == "AsyncActor"}

    wait_for("the Events", lambda: reasons() >= {"WorkloadReleased", "ReplicasRestored"})


def test_turning_scaling_off_restores_the_replicas_of_a_borrowed_workload(space: Space) -> None:
    space.apply(workload("StatefulSet", "x", "a"))
    obj = own(scaling={"enabled": True})
    obj["spec"]["workload"]["type"] = "StatefulSet"
    space.apply(obj)
    space.wait("ScaledObject", "a")
    ready(space, "a")
    space.scale("StatefulSet", "x", 5)
    obj["spec"]["scaling"] = {"enabled": False}
    space.apply(obj)
    wait_for("two replicas", lambda: space.wait("StatefulSet", "x")["spec"]["replicas"] == 2)
    space.wait_gone("ScaledObject", "a")
    wait_for("a clean status", lambda: "replicasBeforeScaling" not in (space.get("AsyncActor", "a") or {})["status"])


def test_a_borrowed_workload_without_its_label_is_not_scaled(space: Space) -> None:
    space.apply(workload("Deployment", "x", "a"))
    space.apply(own(scaling={"enabled": True}))
    space.wait("ScaledObject", "a")
    ready(space, "a")
    space.scale("Deployment", "x", 5)
    label(space, "Deployment", "x", None)
    space.wait_gone("ScaledObject", "a")
    space.wait_condition("a", "WorkloadReady", "False", "WorkloadNotLabelled")
    wait_for("two replicas", lambda: space.wait("Deployment", "x")["spec"]["replicas"] == 2)
    space.scale("Deployment", "x", 3)
    settle(space)
    assert space.wait("Deployment", "x")["spec"]["replicas"] == 3
    label(space, "Deployment", "x", "a")
    space.wait("ScaledObject", "a")
    assert ready(space, "a")["status"]["replicasBeforeScaling"] == 3


def test_a_workload_that_replaces_a_borrowed_one_keeps_its_replicas(space: Space) -> None:
    space.apply(workload("Deployment", "x", "a"))
    space.apply(own(scaling={"enabled": True}))
    ready(space, "a")
    space.delete("Deployment", "x")
    space.wait_condition("a", "WorkloadReady", "False", "WorkloadNotFound", timeout=20)
    space.wait_gone("ScaledObject", "a")
    successor = workload("Deployment", "x")
    successor["spec"]["replicas"] = 1
    space.apply(successor)
    space.wait_condition("a", "WorkloadReady", "False", "WorkloadNotLabelled", timeout=20)
    space.apply(own(scaling={"enabled": False}))
    settle(space)
    assert space.wait("Deployment", "x")["spec"]["replicas"] == 1


def test_borrowing_another_workload_restores_the_replicas_of_the_first(space: Space) -> None:
    for name, replicas in (("x", 4), ("y", 3)):
        made = workload("Deployment", name, "a")
        made["spec"]["replicas"] = replicas
        space.apply(made)
    obj = own(scaling={"enabled": True})
    space.apply(obj)
    ready(space, "a")
    space.scale("Deployment", "x", 0)
    obj["spec"]["workload"]["name"] = "y"
    space.apply(obj)
    wait_for("another target", lambda: space.wait("ScaledObject", "a")["spec"]["scaleTargetRef"]["name"] == "y")
    live = ready(space, "a")
    assert (live["status"]["workloadRef"]["name"], live["status"]["replicasBeforeScaling"]) == ("y", 3)
    assert space.wait("Deployment", "x")["spec"]["replicas"] == 4
    space.delete("AsyncActor", "a")
    space.wait_gone("AsyncActor", "a")
    assert [space.wait("Deployment", name)["spec"]["replicas"] for name in ("x", "y")] == [4, 3]


def test_a_borrowed_workload_is_never_created_rewritten_or_deleted(space: Space) -> None:
    space.apply(own())
    space.wait_condition("a", "WorkloadReady", "False", "WorkloadNotFound")
    space.apply(workload("Deployment", "x", "a"))
    ready(space, "a")
    space.scale("Deployment", "x", 3)
    space.patch("Deployment", "x", {"spec": {"minReadySeconds": 1}})
    settle(space)
    obj = space.wait("Deployment", "x")
    assert (obj["spec"]["replicas"], obj["spec"]["minReadySeconds"]) == (3, 1)
    assert "ownerReferences" not in obj["metadata"]
    space.delete("Deployment", "x")
    space.wait_condition("a", "WorkloadReady", "False", "WorkloadNotFound", timeout=10)
    time.sleep(1)
    assert space.get("Deployment", "x") is None


@pytest.mark.needs_kubernetes(1, 29)
def test_a_deleted_actor_releases_what_it_does_not_own(space: Space) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    for kind in ("Deployment", "CronJob", "DaemonSet"):
        space.apply(workload(kind, "x", "a"))
    wait_for("a finalizer", lambda: (space.get("AsyncActor", "a") or {})["metadata"]["finalizers"])
    space.delete("AsyncActor", "a")
    space.wait_gone("AsyncActor", "a")
    for kind in ("Deployment", "CronJob", "DaemonSet"):
        released = space.wait(kind, "x")
        assert not sidecar_of(released)
        assert LABEL not in (released["metadata"].get("labels") or {})
    space.wait_gone("Deployment", "a")


def test_an_actor_without_foreign_workloads_has_no_finalizer(space: Space) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    space.apply(workload("Deployment", "x", "a"))
    wait_for("a finalizer", lambda: (space.get("AsyncActor", "a") or {})["metadata"].get("finalizers"))
    label(space, "Deployment", "x", None)
    wait_for("no finalizer", lambda: not (space.get("AsyncActor", "a") or {})["metadata"].get("finalizers"))
