"""The condition PodsReady, by example and for every course of a crash loop."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.rules import slim
from controller.rules.phase import replicas_of
from controller.rules.pods import STABLE_SECONDS
from controller.rules.readiness import WorkloadView, of_workload, pods_verdict, ready_replicas, revision_of, selects
from controller.rules.status import Observation, Verdict, status_of, true

Object = dict[str, Any]
START = datetime(2026, 1, 1, tzinfo=UTC)
NEW, OLD = "new", "old"


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _deployment(replicas: int, ready: int, *, updated: int | None = None, current: int | None = None) -> Object:
    current = replicas if current is None else current
    message = f'ReplicaSet "a-{NEW}" is progressing.'
    status = {
        "observedGeneration": 1,
        "replicas": current,
        "readyReplicas": ready,
        "updatedReplicas": current if updated is None else updated,
        "conditions": [{"type": "Progressing", "status": "True", "message": message}],
    }
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "a"}}}
    return {"kind": "Deployment", "metadata": {"name": "a", "generation": 1}, "spec": spec, "status": status}


def _pod(
    name: str, *statuses: Object, ready: bool, since: datetime = START, revision: str = NEW, **more: Any
) -> Object:
    native = [{"name": n, "restartPolicy": "Always"} for n in more.pop("native", ())]
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": _text(since)}
    return slim.slim_pod(
        {
            "metadata": {"name": name, "uid": name, "labels": {"app": "a", "pod-template-hash": revision}},
            "spec": {"restartPolicy": more.pop("policy", "Always"), "initContainers": native, "containers": []},
            "status": {"phase": "Running", "conditions": [condition], "containerStatuses": list(statuses), **more},
        }
    )


def _runs(name: str = "runtime", *, started: datetime = START, **more: Any) -> Object:
    return {"name": name, "ready": True, "state": {"running": {"startedAt": _text(started)}}, **more}


def _ended(exit_code: int = 3, at: datetime = START, **more: Any) -> Object:
    return {"terminated": {"exitCode": exit_code, "reason": "Error", "finishedAt": _text(at), **more}}


WAITS: Object = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}}


def _verdict(live: Object, *pods: Object, seconds: float = 60) -> Verdict:
    return pods_verdict(WorkloadView(live, replicas_of(live), pods), START + timedelta(seconds=seconds))


def test_ready_pods() -> None:
    assert _verdict(_deployment(1, 1), _pod("p", _runs(), ready=True)) == true("PodsReady", "1 of 1 pods are ready")


def test_no_pods_are_desired() -> None:
    assert _verdict(_deployment(0, 0)).reason == "NoPodsWanted"


@pytest.mark.parametrize("current", [0, 1])
def test_before_any_pod_is_ready_the_condition_is_unknown(current: int) -> None:
    pods = [_pod("p", _runs(ready=False), ready=False)] * current
    result = _verdict(_deployment(1, 0, current=current), *pods)
    assert (result.status, result.reason, result.message) == ("Unknown", "PodsStarting", "0 of 1 pods are ready")


def test_a_broken_pod_that_its_workload_still_counts_as_ready() -> None:
    result = _verdict(_deployment(2, 2), _pod("p", ready=True), _pod("q", ready=False))
    assert (result.status, result.message) == ("Unknown", "1 of 2 pods are ready")


def test_a_rollout_in_progress_is_no_problem() -> None:
    pods = [_pod("p", _runs(), ready=True, revision=OLD), _pod("q", _runs(ready=False), ready=False)]
    result = _verdict(_deployment(1, 1, updated=1, current=2), *pods)
    assert (result.status, result.reason) == ("Unknown", "RollingOut")


def test_a_stuck_rollout_is_false_and_reports_that_the_old_pods_work() -> None:
    broken = _pod("q", {"name": "runtime", "state": WAITS, "lastState": _ended()}, ready=False)
    old = [_pod(name, _runs(), ready=True, revision=OLD) for name in "op"]
    result = _verdict(_deployment(2, 2, updated=1, current=3), broken, *old)
    assert (result.status, result.reason, result.phase) == ("False", "RuntimeError", "RuntimeError")
    assert "the rollout is stuck, and 2 pods of the earlier template still work" in result.message
    assert "exit code 3" in result.message


def test_problems_of_pods_that_are_being_replaced_do_not_count() -> None:
    broken = _pod("o", {"name": "runtime", "state": WAITS, "lastState": _ended()}, ready=False, revision=OLD)
    result = _verdict(_deployment(1, 0, updated=1, current=2), broken, _pod("p", _runs(ready=False), ready=False))
    assert (result.status, result.reason) == ("Unknown", "RollingOut")


def test_running_pods_that_never_become_ready_are_degraded() -> None:
    pod = _pod("p", _runs(), _runs("sidecar", ready=False), ready=False)
    assert _verdict(_deployment(1, 0), pod, seconds=299).status == "Unknown"
    result = _verdict(_deployment(1, 0), pod, seconds=300)
    assert (result.status, result.reason) == ("False", "Degraded")
    assert (
        "the container 'sidecar' of the pod 'p' runs and has not been ready since 2026-01-01T00:00:00Z"
        in result.message
    )
    assert "kubectl logs p -c sidecar" in result.message


def test_a_requeue_is_due_when_a_pod_becomes_degraded() -> None:
    assert _verdict(_deployment(1, 0), _pod("p", _runs(ready=False), ready=False), seconds=100).retry == 200


def test_a_container_that_was_killed_for_its_memory() -> None:
    last = _ended(137, reason="OOMKilled")
    pod = _pod("p", _runs(restartCount=1, lastState=last), ready=True)
    result = _verdict(_deployment(1, 1), pod, seconds=STABLE_SECONDS - 10)
    assert (result.status, result.reason, result.phase, result.retry) == ("False", "OOMKilled", "RuntimeError", 10)
    assert "resources.limits.memory of the container runtime" in result.message
    assert "kubectl logs p -c runtime --previous" in result.message
    assert _verdict(_deployment(1, 1), pod, seconds=STABLE_SECONDS).status == "True"


def test_a_container_that_the_kubelet_lost_with_its_node_is_no_problem_once_it_runs() -> None:
    lost = {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown", "finishedAt": None}}
    pod = _pod("p", _runs(restartCount=1, lastState=lost), ready=True)
    assert _verdict(_deployment(1, 1), pod, seconds=5).status == "True"
    waiting = _pod("p", {"name": "runtime", "state": WAITS, "lastState": lost}, ready=False)
    assert _verdict(_deployment(1, 0), waiting, seconds=5).status == "False"


def test_a_container_that_restarted_a_moment_ago_is_not_stable_yet() -> None:
    started = START + timedelta(seconds=300)
    pod = _pod("p", _runs(started=started, restartCount=9, lastState=_ended()), ready=True)
    assert _verdict(_deployment(1, 1), pod, seconds=STABLE_SECONDS + 200).status == "False"
    assert _verdict(_deployment(1, 1), pod, seconds=STABLE_SECONDS + 300).status == "True"


@pytest.mark.parametrize(
    ("container", "phase"), [("asya-socket", "RuntimeError"), ("sidecar", "SidecarError"), ("other", "RuntimeError")]
)
def test_native_sidecars_and_init_containers_count(container: str, phase: str) -> None:
    pod = _pod(
        "p",
        _runs(),
        ready=False,
        native=[container],
        initContainerStatuses=[{"name": container, "state": WAITS, "lastState": _ended()}],
    )
    result = _verdict(_deployment(1, 0), pod)
    assert (result.status, result.phase) == ("False", phase)


def test_an_init_container_that_finally_succeeded_is_no_problem() -> None:
    pod = _pod(
        "p", _runs(), ready=True, initContainerStatuses=[{"name": "init", "state": _ended(0), "lastState": _ended()}]
    )
    assert _verdict(_deployment(1, 1), pod).status == "True"


def test_native_sidecars_are_stopped_at_the_end_of_a_job() -> None:
    live = {"kind": "Job", "metadata": {"name": "a"}, "spec": {}, "status": {"active": 1, "ready": 0}}
    pod = _pod(
        "p",
        {"name": "runtime", "state": _ended(0)},
        ready=False,
        policy="Never",
        native=["sidecar"],
        initContainerStatuses=[{"name": "sidecar", "state": _ended(143)}],
    )
    assert _verdict(live, pod).status == "Unknown"
    while_it_works = {**pod, "status": {**pod["status"], "containerStatuses": [_runs()]}}
    assert _verdict(live, while_it_works).phase == "SidecarError"


def test_a_failed_pod_of_a_job_counts_for_ten_minutes() -> None:
    live = {"kind": "Job", "metadata": {"name": "a"}, "spec": {}, "status": {"active": 1, "ready": 1, "failed": 1}}
    failed = _pod("o", {"name": "runtime", "state": _ended()}, ready=False, policy="Never", phase="Failed")
    good = _pod("p", _runs(), ready=True, policy="Never")
    assert _verdict(live, failed, good).phase == "RuntimeError"
    assert _verdict(live, failed, good, seconds=STABLE_SECONDS).status == "True"


def test_the_message_has_the_last_output_of_a_container() -> None:
    words = "Traceback ...\nModuleNotFoundError: No module named 'processor'"
    pod = _pod("p", {"name": "runtime", "state": WAITS, "lastState": _ended(1, message=words)}, ready=False)
    assert "No module named 'processor'. Read its log: kubectl logs" in _verdict(_deployment(1, 0), pod).message


def test_the_pods_of_a_workload() -> None:
    live = _deployment(1, 1)
    ours, other = _pod("p", ready=True), {"metadata": {"name": "q", "labels": {"app": "b"}}}
    assert of_workload(live, [], [ours, other]) == (ours,)
    live["spec"]["selector"] = {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}
    assert [selects(live, pod) for pod in (ours, other)] == [False, True]


def test_pods_of_a_scaled_job_are_those_of_its_jobs_including_completed_ones() -> None:
    owner = {"ownerReferences": [{"controller": True, "kind": "Job", "name": "j", "uid": "u"}]}
    pods = [slim.slim_pod({"metadata": {"name": "p", **owner}}), slim.slim_pod({"metadata": {"name": "q"}})]
    finished = {"kind": "Job", "metadata": {"name": "j", "uid": "u"}, "spec": {}}
    scaled = {"kind": "ScaledJob", "metadata": {"name": "a"}, "spec": {}}
    assert of_workload(scaled, [finished], pods) == (pods[0],)
    assert of_workload({**scaled, "kind": "Deployment"}, [], pods) == (), "an empty selector must select nothing"


@pytest.mark.parametrize(
    "message",
    [
        'ReplicaSet "a-new" is progressing.',
        'Created new replica set "a-new"',
        'Found new replica set "a-new"',
        'ReplicaSet "a-new" has timed out progressing.',
        'ReplicaSet "a-new" has successfully progressed.',
    ],
)
def test_a_deployment_names_the_replica_set_of_its_present_template(message: str) -> None:
    live = _deployment(1, 1)
    live["status"]["conditions"][0]["message"] = message
    assert revision_of(live) == "new"
    live["status"]["conditions"] = []
    assert revision_of(live) == ""


# -- a simulated kubelet ------------------------------------------------------------------------


@dataclass
class Step:
    """The next states of a container, with durations: it runs, or it waits after it has ended."""

    up: float
    exit_code: int
    down: float
    backs_off: bool


STEPS = st.lists(
    st.builds(
        Step,
        up=st.floats(0.1, 240),
        exit_code=st.sampled_from([0, 1, 3, 137, 139, 255]),
        down=st.floats(0.1, 300),
        backs_off=st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


def _course(name: str, steps: list[Step]) -> list[tuple[float, Object]]:
    """Each state of a crash-looping container, with the time at which it starts."""
    course: list[tuple[float, Object]] = []
    clock = 0.0
    last: Object = {}
    for count, step in enumerate(steps):
        started = START + timedelta(seconds=clock)
        common = {"name": name, "restartCount": count, "lastState": last}
        course.append((clock, {**common, "ready": False, "state": {"running": {"startedAt": _text(started)}}}))
        course.append((clock + step.up / 2, {**course[-1][1], "ready": True}))
        clock += step.up
        last = _ended(step.exit_code, START + timedelta(seconds=clock))
        course.append((clock, {**common, "ready": False, "state": last}))
        if step.backs_off:
            course.append((clock + step.down / 2, {**common, "ready": False, "state": WAITS, "lastState": last}))
        clock += step.down
    return course


@given(STEPS, st.sampled_from(["runtime", "sidecar", "asya-socket"]), st.floats(0, 1))
def test_after_its_first_end_a_crash_loop_is_reported_at_every_second(
    steps: list[Step], container: str, when: float
) -> None:
    native = container == "asya-socket"
    word = "SidecarError" if container == "sidecar" else "RuntimeError"
    before: Object = {}
    crashed = False
    for begin, state in _course(container, steps):
        crashed = crashed or bool(state["lastState"]) or "terminated" in state["state"]
        mine, other = state, _runs("other")
        part: Any = {"initContainerStatuses": [mine]} if native else {}
        statuses = [other] if native else [other, mine]
        pod = _pod("p", *statuses, ready=state["ready"], native=["asya-socket"], **part)
        live = _deployment(1, int(state["ready"]))
        now = START + timedelta(seconds=begin + when)
        verdict = pods_verdict(WorkloadView(live, replicas_of(live), (pod,)), now)
        observation = Observation(
            true("A", ""),
            None,
            true("B", ""),
            verdict,
            replicas=ready_replicas(WorkloadView(live, replicas_of(live), (pod,))),
        )
        after = status_of({"generation": 1, "name": "a"}, observation, before, _text(now))
        conditions = {c["type"]: c for c in after["conditions"]}
        if crashed:
            assert (after["phase"], conditions["Ready"]["status"], after["reason"]) == (word, "False", word)
        else:
            assert after["phase"] in ("Creating", "Running")
            assert (conditions["Ready"]["status"] == "True") == state["ready"]
        before = after
    messages = set()
    for seconds in (0.0, STABLE_SECONDS - 1):
        up = START + timedelta(seconds=sum(s.up + s.down for s in steps))
        last = {"restartCount": len(steps), "lastState": state.get("lastState") or state["state"]}
        pod = _pod("p", _runs(container, started=up, **last), ready=True)
        live = _deployment(1, 1)
        verdict = pods_verdict(WorkloadView(live, replicas_of(live), (pod,)), up + timedelta(seconds=seconds))
        assert verdict.status == "False"
        messages.add(verdict.message)
    assert len(messages) == 1, "a message that changes by itself causes writes at rest"
    assert (
        pods_verdict(WorkloadView(live, replicas_of(live), (pod,)), up + timedelta(seconds=STABLE_SECONDS)).status
        == "True"
    )
