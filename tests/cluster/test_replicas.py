"""Owners of replicas: the operator, an autoscaler, a person, KEDA. A change of owner keeps the number."""

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from controller.cluster.workloads import give_away_replicas
from controller.rules.replicas import applied_again
from kube.failures import ApiError
from kube.resources import Resource
from tests.cluster.labelling import own, rollout_count, workload
from tests.cluster.watching import ready, settle
from tests.harness.clusters import ASSETS, Cluster, wait_for
from tests.harness.history import History
from tests.harness.operator import Operator, install_keda, uninstall_keda
from tests.harness.space import BY_KIND, Space, actor

HPAS = Resource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
BY_KIND["HorizontalPodAutoscaler"] = HPAS


def test_an_autoscaler_and_kubectl_scale_own_replicas_that_the_actor_does_not_set(
    space: Space, operator: Operator, cluster: Cluster
) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    assert space.wait("Deployment", "a")["spec"]["replicas"] == 1
    if cluster.real:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"}
        spec = {"scaleTargetRef": target, "minReplicas": 4, "maxReplicas": 6}
        autoscaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "a"}}
        space.create_object({**autoscaler, "spec": spec})
        wait_for("the autoscaler", lambda: space.wait("Deployment", "a")["spec"]["replicas"] == 4, 60)
        space.delete("HorizontalPodAutoscaler", "a")
    _scale(space, cluster, 5)
    obj = actor("a", timeout={"processing": 77})
    space.apply(obj)
    wait_for("the change", lambda: "77s" in str(space.get("Deployment", "a")))
    settle(space)
    assert space.wait("Deployment", "a")["spec"]["replicas"] == 5
    assert space.condition("a", "WorkloadReady")["reason"] != "Contested"


def _scale(space: Space, cluster: Cluster, replicas: int) -> None:
    kubectl = Path(ASSETS / "kubectl")
    if not kubectl.exists():
        space.scale("Deployment", "a", replicas)
        return
    command = [str(kubectl), "--kubeconfig", str(cluster.kubeconfig), "--namespace", space.name]
    subprocess.run([*command, "scale", "deployment", "a", f"--replicas={replicas}"], check=True, timeout=60)


def test_replicas_stay_when_the_actor_stops_setting_them(space: Space) -> None:
    obj = actor("a")
    obj["spec"]["workload"]["replicas"] = 3
    space.apply(obj)
    ready(space, "a")
    assert space.wait("Deployment", "a")["spec"]["replicas"] == 3
    history = History(space, "Deployment")
    space.apply(actor("a"))
    wait_for(
        "another owner",
        lambda: space.wait("Deployment", "a")["metadata"]["annotations"]["asya.io/scaling"] != "disabled",
    )
    settle(space)
    assert {d["spec"]["replicas"] for d in history.stop()} == {3}


def test_an_actor_that_scales_to_zero_starts_at_zero(space: Space) -> None:
    history, replica_sets = History(space, "Deployment"), History(space, "Pod")
    space.apply(actor("a", scaling={"enabled": True, "minReplicas": 0}))
    ready(space, "a")
    settle(space)
    assert {d["spec"]["replicas"] for d in history.stop()} == {0}
    assert replica_sets.stop() == []
    assert space.wait("Deployment", "a")["metadata"]["annotations"]["asya.io/scaling"] == "created"


@pytest.mark.best_tier
def test_the_first_change_of_a_sleeping_actor_can_correct_what_admission_refuses(space: Space) -> None:
    """No write admits the old template again, which conflicts with the new path of the socket."""
    space.apply(_mounted("/two", socket="/one/asya.sock"))
    ready(space, "a")
    space.apply(_mounted("/three", socket="/two/asya.sock"))
    wait_for("the change", lambda: "/three" in str(space.get("Deployment", "a")))
    ready(space, "a")
    assert space.wait("Deployment", "a")["spec"]["replicas"] == 0


def _mounted(path: str, *, socket: str) -> dict[str, Any]:
    obj = actor("a", scaling={"enabled": True, "minReplicas": 0}, socket={"path": socket})
    pod = obj["spec"]["workload"]["template"]["spec"]
    pod["volumes"] = [{"name": "data", "emptyDir": {}}]
    pod["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": path}]
    return obj


@pytest.mark.best_tier
def test_the_first_change_of_a_scaled_actor_rolls_out_once(space: Space, cluster: Cluster) -> None:
    """No write injects the old template anew. A change that the API server refuses rolls nothing out."""
    scaling = {"enabled": True, "minReplicas": 0}
    space.apply(actor("a", scaling=scaling))
    ready(space, "a")
    space.scale("Deployment", "a", 3)
    settle(space)
    before = rollout_count(space, "a")
    obj = actor("a", scaling=scaling, sidecar={"image": "side:2"})
    container = obj["spec"]["workload"]["template"]["spec"]["containers"][0]
    container["image"] = "python:3.13"
    if cluster.real:  # the sandbox validates no port
        container["ports"] = [{"containerPort": 70000}]
        space.apply(obj)
        space.wait_condition("a", "WorkloadReady", "False", "InvalidWorkload")
        settle(space)
        assert rollout_count(space, "a") == before
        del container["ports"]
    space.apply(obj)
    wait_for("the change", lambda: "3.13" in str(space.get("Deployment", "a")))
    settle(space)
    assert rollout_count(space, "a") == before + 1
    assert space.wait("Deployment", "a")["spec"]["replicas"] == 3


@pytest.mark.best_tier
@pytest.mark.parametrize("replicas", [0, 3])
def test_the_first_change_of_a_sleeping_actor_keeps_the_replicas(space: Space, replicas: int) -> None:
    """The operator owns the zero replicas with which it created the workload, until KEDA or the first change."""
    scaling = {"enabled": True, "minReplicas": 0}
    space.apply(actor("a", scaling=scaling))
    ready(space, "a")
    if replicas:
        space.scale("Deployment", "a", replicas)
    history = History(space, "Deployment")
    space.apply(actor("a", scaling=scaling, timeout={"processing": 77}))
    wait_for("the change", lambda: "77s" in str(space.get("Deployment", "a")))
    settle(space)
    space.apply(actor("a", scaling=scaling, timeout={"processing": 78}))
    wait_for("another change", lambda: "78s" in str(space.get("Deployment", "a")))
    settle(space)
    assert {d["spec"]["replicas"] for d in history.stop()} == {replicas}
    assert space.wait("Deployment", "a")["metadata"]["annotations"]["asya.io/scaling"] == "enabled"


@pytest.mark.best_tier
def test_a_change_of_replicas_that_the_operator_has_not_seen_is_kept(space: Space, operator: Operator) -> None:
    """KEDA scales a workload while the operator gives the replicas away that it read before."""
    space.apply(actor("a", scaling={"enabled": True, "minReplicas": 0}))
    ready(space, "a")
    stale = space.wait("Deployment", "a")
    space.scale("Deployment", "a", 3)
    with pytest.raises(ApiError) as conflict:
        give_away_replicas(operator.client, BY_KIND["Deployment"], stale, applied_again(stale))
    assert conflict.value.code == 409
    assert space.wait("Deployment", "a")["spec"]["replicas"] == 3


def test_turning_scaling_off_at_zero_starts_pods(space: Space) -> None:
    space.apply(actor("a", scaling={"enabled": True, "minReplicas": 0}))
    ready(space, "a")
    space.apply(actor("a"))
    wait_for("one replica", lambda: space.wait("Deployment", "a")["spec"]["replicas"] == 1)
    wait_for(
        "nobody's",
        lambda: space.wait("Deployment", "a")["metadata"]["annotations"]["asya.io/scaling"] == "unmanaged",
    )
    space.scale("Deployment", "a", 4)
    settle(space)
    assert space.wait("Deployment", "a")["spec"]["replicas"] == 4


@pytest.mark.best_tier
def test_replicas_stay_when_keda_is_uninstalled(space: Space, operator: Operator) -> None:
    obj = actor("a", scaling={"enabled": True, "minReplicas": 1})
    obj["spec"]["workload"]["replicas"] = 1
    space.apply(obj)
    ready(space, "a")
    space.scale("Deployment", "a", 7)
    history = History(space, "Deployment")
    try:
        uninstall_keda(operator.client)
        space.wait_condition("a", "ScalingReady", "False", "KEDANotInstalled", timeout=40)
        time.sleep(3)  # long enough for a change of the replicas
    finally:
        install_keda(operator.client)
    assert {d["spec"]["replicas"] for d in history.stop()} == {7}


@pytest.mark.best_tier
def test_the_replicas_of_a_borrowed_workload_survive_the_loss_of_the_status(space: Space, operator: Operator) -> None:
    space.apply(workload("Deployment", "x", "a"))
    space.apply(own(scaling={"enabled": True}))
    ready(space, "a")
    wait_for("the note", lambda: _note(space) == "2")
    space.scale("Deployment", "x", 6)
    operator.stop_controllers()
    space.patch("AsyncActor", "a", {"status": None}, "status")
    operator.start_controller()
    ready(space, "a")
    settle(space)
    assert space.wait("Deployment", "x")["spec"]["replicas"] == 6
    space.delete("AsyncActor", "a")
    space.wait_gone("AsyncActor", "a")
    live = space.wait("Deployment", "x")
    assert live["spec"]["replicas"] == 2
    assert _note(space) is None


def _note(space: Space) -> Any:
    return (space.wait("Deployment", "x")["metadata"].get("annotations") or {}).get("asya.io/replicas-before-scaling")


@pytest.mark.best_tier
def test_replicas_in_the_status_of_an_older_operator_move_to_the_workload(space: Space, operator: Operator) -> None:
    space.apply(workload("Deployment", "x", "a"))
    space.apply(own(scaling={"enabled": True}))
    ready(space, "a")
    operator.stop_controllers()
    space.patch("Deployment", "x", {"metadata": {"annotations": {"asya.io/replicas-before-scaling": None}}})
    space.scale("Deployment", "x", 5)
    operator.start_controller()
    wait_for("the note", lambda: _note(space) == "2")
    space.apply(own(scaling={"enabled": False}))
    wait_for("two replicas", lambda: space.wait("Deployment", "x")["spec"]["replicas"] == 2)
