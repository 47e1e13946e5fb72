"""An actor is ready when its pods are ready, and its status is right in every state in between."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from kube.informer import Informer
from kube.objects import Object
from kube.resources import ASYNC_ACTORS
from tests.cases.troubles import container_status, report, running_pod, waits
from tests.harness.clusters import wait_for
from tests.harness.operator import Operator
from tests.harness.space import Space, actor

pytestmark = pytest.mark.best_tier


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _status(obj: Object) -> Object:
    status: Object = obj.get("status") or {}
    return status


def _ready(obj: Object) -> str:
    return next((str(c["status"]) for c in _status(obj).get("conditions") or () if c["type"] == "Ready"), "")


@contextmanager
def _watched(space: Space) -> Iterator[list[Object]]:
    """Every state of the namespace's actors, in order."""
    states: list[Object] = []
    informer = Informer(space.client, ASYNC_ACTORS, lambda obj, _: states.append(obj), namespace=space.name)
    informer.start()
    assert informer.wait(10)
    try:
        yield states
    finally:
        informer.stop()


def _running(space: Space) -> Object:
    space.apply(actor("a"))
    space.wait_condition("a", "Ready", "True")
    return running_pod(space, "a")


def test_no_actor_is_ready_before_its_pods_are(space: Space) -> None:
    with _watched(space) as states:
        space.apply(actor("a"))
        wait_for("a watch event of it ready", lambda: any(_ready(state) == "True" for state in states))
    ready = [state for state in states if _ready(state) == "True"]
    assert all(_status(state)["readyReplicas"] >= 1 for state in ready), states


@pytest.mark.parametrize(("container", "phase"), [("runtime", "RuntimeError"), ("sidecar", "SidecarError")])
def test_a_crash_loop_reads_the_same_at_every_step(space: Space, container: str, phase: str) -> None:
    pod = _running(space)

    def down(restarts: int, **state: Any) -> None:
        status = container_status(container, state or ended(), restartCount=restarts, lastState=ended())
        report(space, pod, ready=False, status=status)

    def up(restarts: int) -> None:
        state = {"running": {"startedAt": _now()}}
        status = container_status(container, state, restartCount=restarts, lastState=ended(), ready=True)
        report(space, pod, ready=True, status=status)
        wait_for("the workload", lambda: (space.wait("Deployment", "a")["status"].get("readyReplicas")) == 1)
        wait_for("the count", lambda: f"restarted {restarts} time" in space.condition("a", "PodsReady")["message"])

    def ended() -> Any:
        return {"terminated": {"exitCode": 3, "reason": "Error", "finishedAt": _now()}}

    with _watched(space) as states:
        down(0)
        space.wait_condition("a", "Ready", "False", phase)
        first = len(states)
        for restarts in (1, 2, 3):
            up(restarts)
            down(restarts)
            down(restarts, waiting={"reason": "CrashLoopBackOff", "message": "back-off 10s"})
        up(4)
    assert {(_status(s)["phase"], _ready(s), _status(s)["reason"]) for s in states[first:]} == {(phase, "False", phase)}
    events = wait_for("the Event", lambda: [e for e in space.all("Event") if e["reason"] == phase])
    assert len(events) == 1, "a crash loop must be one Event, not one for each crash"


def test_a_container_that_was_killed_for_its_memory_and_runs_now(space: Space) -> None:
    pod = _running(space)
    last = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": _now()}}
    runs = {"running": {"startedAt": _now()}}
    status = container_status("runtime", runs, restartCount=1, lastState=last, ready=True)
    report(space, pod, ready=True, status=status)
    message = space.wait_condition("a", "PodsReady", "False", "OOMKilled")["message"]
    assert "resources.limits.memory" in message
    assert f"kubectl logs {pod['metadata']['name']} -c runtime --previous" in message
    assert space.condition("a", "Ready")["reason"] == "OOMKilled"


def test_a_native_sidecar_that_crashes(space: Space) -> None:
    pod = _running(space)
    holder = waits("CrashLoopBackOff", "back-off", "asya-socket", lastState={"terminated": {"exitCode": 1}})
    report(space, pod, ready=False, status={"initContainerStatuses": holder["containerStatuses"]})
    message = space.wait_condition("a", "PodsReady", "False", "RuntimeError")["message"]
    assert "the container 'asya-socket' of the pod" in message


def test_a_stuck_rollout(space: Space, tier: str) -> None:
    if tier == "sandbox":
        pytest.skip("the sandbox replaces all pods at once")
    before = _running(space)
    changed = actor("a")
    changed["spec"]["workload"]["template"]["spec"]["containers"][0]["image"] = "broken:1"
    space.apply(changed)
    space.wait_condition("a", "Ready", "Unknown", "RollingOut")

    def made() -> Object | None:
        pods = [p for p in space.all("Pod") if p["metadata"]["uid"] != before["metadata"]["uid"]]
        return pods[0] if pods else None

    pod = wait_for("the new pod", made)
    assert pod is not None
    report(space, pod, ready=False, status=waits("ImagePullBackOff", "no such tag"))
    message = space.wait_condition("a", "Ready", "False", "ImagePullError")["message"]
    assert "the rollout is stuck, and 1 pod of the earlier template still work" in message
    assert space.wait("AsyncActor", "a")["status"]["readyReplicas"] == 1
    space.apply(actor("a"))
    space.wait_condition("a", "Ready", "True")


def _gitops(space: Space, **spec: Any) -> None:
    """Apply an actor whose template sets no limits, which gives a warning."""
    space.apply(actor("a", timeout={"processing": 10, "gracefulShutdown": 60}, **spec))


def _warned(space: Space) -> list[Object]:
    return [e for e in space.all("Event") if e["reason"] == "SpecWarning"]


def test_a_warning_of_admission_is_one_event_per_generation(space: Space) -> None:
    _gitops(space)
    wait_for("the Event", lambda: _warned(space))
    (message,) = space.wait("AsyncActor", "a")["status"]["warnings"]
    assert message in space.warnings({**actor("b"), "spec": space.wait("AsyncActor", "a")["spec"]})
    assert _warned(space)[0]["message"] == message
    for replicas in (2, 3):
        space.scale("Deployment", "a", replicas)  # the change makes the controller write the status
        space.wait_condition("a", "Ready", "True")
    assert [e["count"] for e in _warned(space)] == [1]
    _gitops(space, sidecar={"imagePullPolicy": "Always"})
    wait_for("the warning to be repeated", lambda: sum(e["count"] for e in _warned(space)) == 2)


def test_the_next_controller_repeats_no_warning(space: Space, operator: Operator) -> None:
    _gitops(space)
    space.apply(_waiting())
    wait_for("the Events", lambda: _warned(space) and _has_warning(space))
    operator.restart_controller()
    space.apply(actor("b"))
    space.wait_condition("b", "Ready", "True")
    space.patch("Deployment", "x", {"metadata": {"annotations": {"a": "b"}}})
    space.scale("Deployment", "a", 2)
    wait_for("the status", lambda: space.wait("AsyncActor", "a")["status"]["readyReplicas"] == 2)
    assert [e["count"] for e in _warned(space) if e["involvedObject"]["name"] == "a"] == [1]
    assert [e["count"] for e in _has_warning(space)] == [1]


def _waiting() -> Object:
    """A Deployment whose label names a missing actor."""
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}}
    spec = {"selector": {"matchLabels": {"app": "x"}}, "template": template}
    metadata = {"name": "x", "labels": {"asya.io/actor": "later"}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def _has_warning(space: Space) -> list[Object]:
    return [e for e in space.all("Event") if e["reason"] == "NoSuchAsyncActor"]


def test_a_queue_that_the_sidecar_does_not_consume(space: Space) -> None:
    space.apply(actor("a", queueName="orders"))
    obj = space.wait_condition("a", "QueueConsumed", "False", "QueueMismatch")
    assert "spec.queueName is 'orders'" in obj["message"]
    assert f"consumes 'asya-{space.name}-a'. Remove spec.queueName" in obj["message"]
    wait_for("its pods", lambda: space.condition("a", "PodsReady").get("status") == "True")
    assert space.condition("a", "WorkloadReady")["status"] == "True"
    assert (space.condition("a", "Ready")["status"], space.condition("a", "Ready")["reason"]) == (
        "False",
        "QueueMismatch",
    )
    assert space.wait("AsyncActor", "a")["status"]["phase"] == "QueueMismatch"
    columns, (row,) = space.table("AsyncActor")
    assert dict(zip(columns, row, strict=True))["Queue"] == "orders"
    space.apply(actor("a"))
    space.wait_condition("a", "Ready", "True")
