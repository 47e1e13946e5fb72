"""Pods that do not run: the actor's phase and conditions show the problem and its remedy until the pods run."""

from functools import partial
from typing import Any

import pytest

from tests.cases.troubles import TROUBLES, container_status, report, running_pod
from tests.chaos import FULL
from tests.harness.clusters import wait_for
from tests.harness.space import Space, actor

pytestmark = pytest.mark.best_tier


def _phase(space: Space, name: str) -> str:
    obj = space.get("AsyncActor", name)
    assert obj is not None
    return str((obj.get("status") or {}).get("phase"))


@pytest.mark.parametrize("phase", TROUBLES)
def test_a_pod_in_trouble(space: Space, phase: str) -> None:
    status, message = TROUBLES[phase]
    space.apply(actor("a"))
    wait_for("it to run", lambda: _phase(space, "a") == "Running")
    pod = running_pod(space, "a")
    report(space, pod, ready=False, status=status)
    condition = space.wait_condition("a", "PodsReady", "False", phase)
    assert message in condition["message"]
    assert space.condition("a", "WorkloadReady")["status"] == "True"
    assert space.condition("a", "Ready")["status"] == "False"
    wait_for("the phase", lambda: _phase(space, "a") == phase)
    runs = container_status("runtime", {"running": {}}, ready=True)
    report(space, pod, ready=True, status=runs)
    space.wait_condition("a", "PodsReady", "True", "PodsReady")
    wait_for("the phase", lambda: _phase(space, "a") == "Running")

    def warned() -> list[dict[str, Any]]:
        return [e for e in space.all("Event") if e["reason"] == phase and e["type"] == "Warning"]

    assert len(wait_for("the Event", warned)) == 1


def test_pods_that_stay_unready_for_long_are_degraded(space: Space) -> None:
    space.apply(actor("a"))
    wait_for("it to run", lambda: _phase(space, "a") == "Running")
    report(space, running_pod(space, "a"), ready=False, status=container_status("runtime", {"running": {}}))
    wait_for("the phase", lambda: _phase(space, "a") == "Degraded")
    assert space.condition("a", "WorkloadReady")["status"] == "True"
    assert space.condition("a", "PodsReady")["reason"] == "Degraded"


def test_the_phases_of_an_actors_life(space: Space) -> None:
    space.apply(actor("a", workload={**actor("a")["spec"]["workload"], "replicas": 2}))
    wait_for("it to run", lambda: _phase(space, "a") == "Running")
    space.apply(actor("a", workload={**actor("a")["spec"]["workload"], "replicas": 0}))
    wait_for("it to nap", lambda: _phase(space, "a") == "Napping")
    obj = space.get("AsyncActor", "a")
    assert obj is not None
    assert (obj["status"]["desiredReplicas"], obj["status"]["readyReplicas"]) == (0, 0)


def test_kedas_activity_is_reported(space: Space) -> None:
    space.apply(actor("a", scaling={"enabled": True}))
    space.wait("ScaledObject", "a")
    for active in (True, False):
        condition = {"type": "Active", "status": str(active), "reason": "ScalerActive", "message": ""}
        space.patch("ScaledObject", "a", {"status": {"conditions": [condition]}}, "status")
        wait_for("the status", partial(_is_active, space, active))


def _is_active(space: Space, active: bool) -> bool:
    obj = space.get("AsyncActor", "a")
    assert obj is not None
    return obj["status"]["scalingActive"] is active


def test_a_missing_queue_is_a_phase(space: Space) -> None:
    space.apply(actor("a", scaling={"enabled": True}))
    space.wait("ScaledObject", "a")
    message = "error establishing rabbitmq connection: 404 NOT_FOUND no queue 'asya-a' in vhost '/'"
    condition = {"type": "Ready", "status": "False", "reason": "ScaledObjectCheckFailed", "message": message}
    space.patch("ScaledObject", "a", {"status": {"conditions": [condition]}}, "status")
    wait_for("the phase", lambda: _phase(space, "a") == "QueueMissing")


def test_paused_scaling_is_a_phase_in_every_case(space: Space) -> None:
    space.apply(actor("a", scaling={"enabled": True}))
    space.wait_condition("a", "ScalingReady", "True", "ScaledObjectCreated")
    space.patch("ScaledObject", "a", {"metadata": {"annotations": {"autoscaling.keda.sh/paused-replicas": "1"}}})
    assert "at 1 replicas" in space.wait_condition("a", "ScalingReady", "True", "ScalingPaused")["message"]
    wait_for("the phase", lambda: _phase(space, "a") == "Paused")
    space.patch("ScaledObject", "a", {"metadata": {"annotations": {"autoscaling.keda.sh/paused-replicas": None}}})
    space.wait_condition("a", "ScalingReady", "True", "ScaledObjectCreated")
    wait_for("the phase", lambda: _phase(space, "a") != "Paused")


@pytest.mark.only("sandbox")
@pytest.mark.skipif(not FULL, reason="takes a minute, which a unit test shortens: CHAOS=full")
def test_a_scaled_object_without_a_status_from_keda(space: Space) -> None:
    space.apply(actor("ignored", scaling={"enabled": True}))
    space.wait_condition("ignored", "ScalingReady", "Unknown", "ScaledObjectNotObserved")
    message = space.wait_condition("ignored", "ScalingReady", "False", "ScaledObjectNotObserved")["message"]
    assert "Check that KEDA runs and watches this namespace" in message
    assert space.condition("ignored", "Ready")["status"] == "False"
