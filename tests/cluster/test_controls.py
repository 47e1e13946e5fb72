"""Actors that are paused, resumed, scaled and restarted, by the functions of the plugin and the dashboard."""

import pytest

from kube.client import Client
from messages.controls import CannotControl, pause, restart, resume, scale
from tests.harness.clusters import wait_for
from tests.harness.space import Space, actor

pytestmark = pytest.mark.best_tier


def _phase(space: Space, name: str) -> str:
    return str((space.wait("AsyncActor", name).get("status") or {}).get("phase"))


def _replicas(space: Space, name: str) -> int:
    return int(space.wait("Deployment", name)["spec"]["replicas"])


def _annotations(space: Space, kind: str, name: str) -> dict[str, str]:
    return dict(space.wait(kind, name)["metadata"].get("annotations") or {})


def test_an_actor_that_keda_scales(space: Space) -> None:
    space.apply(actor("a", scaling={"enabled": True, "minReplicas": 1}))
    space.wait_condition("a", "ScalingReady", "True")
    keda = "autoscaling.keda.sh/paused"
    assert pause(space.client, space.name, "a") == "paused: it has no pods"
    wait_for("KEDA's annotation", lambda: _annotations(space, "ScaledObject", "a")[f"{keda}-replicas"] == "0")
    wait_for("the phase", lambda: _phase(space, "a") == "Paused")
    space.wait_condition("a", "Ready", "True")
    assert pause(space.client, space.name, "a") == "is paused already"
    assert "does not change" in pause(space.client, space.name, "a", keep=True)
    wait_for("KEDA's other annotation", lambda: _annotations(space, "ScaledObject", "a")[keda] == "true")
    assert f"{keda}-replicas" not in _annotations(space, "ScaledObject", "a")
    assert scale(space.client, space.name, "a", least=2, most=7) == "scaled: 2 to 7 pods"
    wait_for("the numbers", lambda: space.wait("ScaledObject", "a")["spec"]["maxReplicaCount"] == 7)
    assert resume(space.client, space.name, "a") == "resumed: KEDA scales it"
    wait_for("no annotation", lambda: keda not in _annotations(space, "ScaledObject", "a"))
    wait_for("the phase", lambda: _phase(space, "a") != "Paused")
    assert resume(space.client, space.name, "a") == "is not paused"
    with pytest.raises(CannotControl, match=r"minReplicas: must not be greater than maxReplicas"):
        scale(space.client, space.name, "a", least=8)


@pytest.mark.parametrize("stated", [True, False])
def test_an_actor_without_scaling(space: Space, stated: bool) -> None:
    obj = actor("a")
    if stated:
        obj["spec"]["workload"]["replicas"] = 3
    space.apply(obj)
    space.wait_condition("a", "Ready", "True")
    if not stated:
        space.scale("Deployment", "a", 3)
    assert pause(space.client, space.name, "a") == "paused: it has no pods; it had 3"
    wait_for("no replicas", lambda: _replicas(space, "a") == 0)
    wait_for("the phase", lambda: _phase(space, "a") == "Paused")
    space.wait_condition("a", "Ready", "True")
    assert pause(space.client, space.name, "a") == "is paused already"
    assert resume(space.client, space.name, "a") == "resumed: it has 3 pods"
    wait_for("the replicas", lambda: _replicas(space, "a") == 3)
    wait_for("the phase", lambda: _phase(space, "a") == "Running")
    assert space.wait("AsyncActor", "a")["spec"]["workload"].get("replicas") == (3 if stated else None)
    with pytest.raises(CannotControl, match="add --enable"):
        scale(space.client, space.name, "a", most=3)
    assert scale(space.client, space.name, "a", most=3, enable=True) == "scaled: 0 to 3 pods"


def test_a_restart_replaces_pods_once(space: Space) -> None:
    space.apply(actor("a"))
    space.wait_condition("a", "Ready", "True")
    before = {pod["metadata"]["uid"] for pod in space.all("Pod")}
    assert restart(space.client, space.name, "a") == "restarted: the pods of the Deployment a are replaced"

    def is_replaced() -> bool:
        after = {pod["metadata"]["uid"] for pod in space.all("Pod") if not pod["metadata"].get("deletionTimestamp")}
        return len(after) == 1 and not after & before

    wait_for("another pod", is_replaced)
    template = space.wait("Deployment", "a")["spec"]["template"]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]
    assert "sidecar" in [container["name"] for container in template["spec"]["containers"]]


@pytest.mark.needs_kubernetes(1, 29)
def test_impossible_controls_give_the_reason(bare: Space, operator: object) -> None:
    client: Client = bare.client
    with pytest.raises(CannotControl, match='"nobody" not found'):
        pause(client, bare.name, "nobody")
    job = actor("job")
    job["spec"]["workload"]["type"] = "Job"
    bare.apply(job)
    for control in (pause, restart):
        with pytest.raises(CannotControl, match="not for actors of type Job"):
            control(client, bare.name, "job")
    with pytest.raises(CannotControl, match="nothing to change"):
        scale(client, bare.name, "job")
