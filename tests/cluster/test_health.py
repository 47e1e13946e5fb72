"""Pods that do not run show in the actor's phase and conditions, with the remedy, and no longer once they do."""

from functools import partial
from typing import Any

import pytest

from kube.client import Object
from tests.harness.clusters import wait_for
from tests.harness.space import Space, actor

NOW = "2026-01-01T00:00:00Z"


def _status(name: str, state: dict[str, Any], **more: Any) -> Object:
    image = {"name": name, "image": "app:1", "imageID": "", "ready": False, "restartCount": 2, "state": state, **more}
    return {"containerStatuses": [image]}


def _waits(reason: str, message: str, name: str = "runtime", **more: Any) -> Object:
    return _status(name, {"waiting": {"reason": reason, "message": message}}, **more)


ENDED: Any = {"lastState": {"terminated": {"exitCode": 3}}}
TROUBLES: dict[str, tuple[Object, str]] = {
    "ImagePullError": (_waits("ImagePullBackOff", "no such tag"), "no such tag. Check the image's name"),
    "RuntimeError": (_waits("CrashLoopBackOff", "back-off", **ENDED), "exit code 3"),
    "SidecarError": (_waits("CrashLoopBackOff", "back-off", "sidecar", **ENDED), "-c sidecar --previous"),
    "ConfigError": (_waits("CreateContainerConfigError", 'secret "s" not found'), "Create the Secret"),
    "PendingResources": (
        {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no cpu"}]},
        "no cpu",
    ),
}


def _pod(space: Space, name: str) -> Object:
    """The actor's pod, once it runs."""

    def running() -> Object | None:
        found = [p for p in space.all("Pod") if p["metadata"]["labels"].get("asya.io/actor") == name]
        return next((p for p in found if (p.get("status") or {}).get("phase") == "Running"), None)

    found = wait_for("a pod that runs", running)
    assert found is not None
    return found


def _report(space: Space, pod: Object, *, ready: bool, status: Object) -> None:
    """Say of the pod what a kubelet would."""
    state = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": NOW}
    conditions = [state, *({"lastTransitionTime": NOW, **c} for c in status.get("conditions") or ())]
    space.patch("Pod", pod["metadata"]["name"], {"status": {**status, "conditions": conditions}}, "status")


def _phase(space: Space, name: str) -> str:
    found = space.get("AsyncActor", name)
    assert found is not None
    return str((found.get("status") or {}).get("phase"))


@pytest.mark.parametrize("phase", TROUBLES)
def test_a_pod_in_trouble(space: Space, phase: str) -> None:
    status, told = TROUBLES[phase]
    space.apply(actor("a"))
    wait_for("it to run", lambda: _phase(space, "a") == "Running")
    pod = _pod(space, "a")
    _report(space, pod, ready=False, status=status)
    condition = space.wait_condition("a", "WorkloadReady", "False", phase)
    assert told in condition["message"]
    assert space.condition("a", "Ready")["status"] == "False"
    wait_for("the phase", lambda: _phase(space, "a") == phase)
    runs = _status("runtime", {"running": {}}, ready=True)
    _report(space, pod, ready=True, status=runs)
    space.wait_condition("a", "WorkloadReady", "True", "WorkloadCreated")
    wait_for("the phase", lambda: _phase(space, "a") == "Running")
    warned = [e for e in space.all("Event") if e["reason"] == phase and e["type"] == "Warning"]
    assert len(warned) == 1


def test_pods_that_stay_unready_for_long_are_degraded(space: Space) -> None:
    space.apply(actor("a"))
    wait_for("it to run", lambda: _phase(space, "a") == "Running")
    _report(space, _pod(space, "a"), ready=False, status=_status("runtime", {"running": {}}))
    wait_for("the phase", lambda: _phase(space, "a") == "Degraded")
    assert space.condition("a", "WorkloadReady")["status"] == "True"


def test_the_phases_of_a_life(space: Space) -> None:
    space.apply(actor("a", workload={**actor("a")["spec"]["workload"], "replicas": 2}))
    wait_for("it to run", lambda: _phase(space, "a") == "Running")
    space.apply(actor("a", workload={**actor("a")["spec"]["workload"], "replicas": 0}))
    wait_for("it to nap", lambda: _phase(space, "a") == "Napping")
    found = space.get("AsyncActor", "a")
    assert found is not None
    assert (found["status"]["desiredReplicas"], found["status"]["readyReplicas"]) == (0, 0)


def test_keda_says_whether_there_are_messages(space: Space) -> None:
    space.apply(actor("a", scaling={"enabled": True}))
    space.wait("ScaledObject", "a")
    for active in (True, False):
        condition = {"type": "Active", "status": str(active), "reason": "ScalerActive", "message": ""}
        space.patch("ScaledObject", "a", {"status": {"conditions": [condition]}}, "status")
        wait_for("the status", partial(_is_active, space, active))


def _is_active(space: Space, active: bool) -> bool:
    found = space.get("AsyncActor", "a")
    assert found is not None
    return found["status"]["scalingActive"] is active


def test_a_missing_queue_is_a_phase(space: Space) -> None:
    space.apply(actor("a", scaling={"enabled": True}))
    space.wait("ScaledObject", "a")
    message = "error establishing rabbitmq connection: 404 NOT_FOUND no queue 'asya-a' in vhost '/'"
    condition = {"type": "Ready", "status": "False", "reason": "ScaledObjectCheckFailed", "message": message}
    space.patch("ScaledObject", "a", {"status": {"conditions": [condition]}}, "status")
    wait_for("the phase", lambda: _phase(space, "a") == "QueueMissing")
