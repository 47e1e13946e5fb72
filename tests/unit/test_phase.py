"""The phase of an actor, row by row, and the reason why pods are not ready."""

from datetime import UTC, datetime
from typing import Any, get_args

import pytest

from controller.rules import pods
from controller.rules.phase import MEANINGS, Phase, Replicas, phase, replicas_of
from controller.rules.status import Observation, Verdict, false, status_of, true

NOW = datetime(2026, 1, 1, 0, 10, tzinfo=UTC)
R = Replicas
ROWS: list[tuple[Phase, Replicas | None, dict[str, Any]]] = [
    ("Creating", None, {}),
    ("Creating", R(1, 0, 0), {}),
    ("Creating", R(1, 1, 0), {}),
    ("Creating", R(1, 1, 0), {"before": "Creating"}),
    ("Creating", R(1, 0, 0, updated=False), {}),
    ("Creating", R(3, 3, 2), {"before": "Creating"}),
    ("Paused", R(0, 0, 0), {"paused": True}),
    ("Paused", R(3, 3, 3), {"paused": True, "before": "Running"}),
    ("RuntimeError", R(3, 3, 3), {"paused": True, "trouble": "RuntimeError"}),
    ("QueueMismatch", R(1, 1, 1), {"trouble": "QueueMismatch"}),
    ("AccessDenied", R(0, 0, 0), {"trouble": "AccessDenied"}),
    ("Running", R(1, 1, 1), {}),
    ("Running", R(3, 3, 3), {"before": "Updating"}),
    ("Running", R(3, 3, 3), {"before": "RuntimeError"}),
    ("Napping", R(0, 0, 0), {}),
    ("Napping", R(0, 0, 0), {"before": "ScalingDown"}),
    ("ScalingUp", R(1, 0, 0), {"before": "Napping"}),
    ("ScalingUp", R(5, 3, 3), {"before": "Running"}),
    ("ScalingUp", R(5, 5, 3), {"before": "ScalingUp"}),
    ("ScalingUp", R(1, 1, 0), {"before": "Running"}),
    ("ScalingDown", R(1, 3, 3), {"before": "Running"}),
    ("ScalingDown", R(0, 1, 1), {"before": "Running"}),
    ("Updating", R(3, 4, 3, updated=False), {"before": "Running"}),
    ("Updating", R(1, 1, 1, updated=False), {"before": "Degraded"}),
    ("Updating", R(1, 1, 1), {"before": "Running", "replacing": True}),
    ("Updating", None, {"replacing": True}),
    ("Degraded", R(3, 3, 2), {"trouble": "Degraded", "before": "Running"}),
    ("ScalingUp", R(3, 3, 2), {"before": "Running"}),
    ("Completed", R(0, 0, 0, completed=True), {"before": "Running"}),
    ("ImagePullError", R(1, 1, 0), {"trouble": "ImagePullError"}),
    ("RuntimeError", R(3, 3, 2), {"trouble": "RuntimeError", "before": "Running"}),
    ("SidecarError", R(1, 1, 0), {"trouble": "SidecarError"}),
    ("PendingResources", R(1, 1, 0), {"trouble": "PendingResources"}),
    ("VolumeError", R(1, 1, 0), {"trouble": "VolumeError"}),
    ("ConfigError", R(1, 1, 0), {"trouble": "ConfigError"}),
    ("QueueMissing", R(0, 0, 0), {"trouble": "QueueMissing"}),
    ("ScalingError", R(1, 1, 1), {"trouble": "ScalingError", "before": "Running"}),
    ("WorkloadError", None, {"trouble": "WorkloadError"}),
    ("WorkloadError", R(1, 1, 1), {"trouble": "WorkloadError", "replacing": True}),
    ("Terminating", None, {"deleting": True}),
    ("Terminating", R(1, 1, 1), {"deleting": True, "trouble": "ScalingError"}),
]


@pytest.mark.parametrize(("word", "replicas", "rest"), ROWS)
def test_phase(word: Phase, replicas: Replicas | None, rest: dict[str, Any]) -> None:
    assert phase(replicas, **rest) == word


def test_every_phase_has_a_row_and_a_meaning() -> None:
    assert {word for word, *_ in ROWS} == set(get_args(Phase)) == set(MEANINGS)
    assert len(ROWS) >= 30


def _live(kind: str, spec: dict[str, Any], status: dict[str, Any], generation: int = 1) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": "x", "generation": generation}, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("live", "replicas"),
    [
        (_live("Deployment", {"replicas": 2}, {}), R(2, 0, 0, updated=False)),
        (
            _live("Deployment", {"replicas": 2}, {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2}),
            R(2, 2, 0),
        ),
        (
            _live("Deployment", {"replicas": 2}, {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 1}),
            R(2, 3, 0, updated=False),
        ),
        (_live("Deployment", {"replicas": 0}, {"observedGeneration": 1}), R(0, 0, 0)),
        (
            _live("Deployment", {"paused": True}, {"observedGeneration": 1, "replicas": 1, "readyReplicas": 1}),
            R(1, 1, 1),
        ),
        (
            _live("StatefulSet", {}, {"observedGeneration": 1, "currentRevision": "a", "updateRevision": "b"}),
            R(1, 0, 0, updated=False),
        ),
        (_live("Job", {}, {"active": 1, "ready": 1}), R(1, 1, 1)),
        (_live("Job", {"parallelism": 3, "completions": 3}, {"active": 1, "succeeded": 2}), R(1, 1, 0)),
        (_live("Job", {"suspend": True}, {}), R(0, 0, 0)),
        (
            _live("Job", {}, {"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}),
            R(0, 0, 0, completed=True),
        ),
        (_live("ScaledJob", {}, {}), R(0, 0, 0)),
    ],
)
def test_replicas(live: dict[str, Any], replicas: Replicas) -> None:
    assert replicas_of(live) == replicas


def test_a_scaled_job_counts_the_pods_of_its_jobs() -> None:
    jobs = [_live("Job", {}, {"active": 1, "ready": 1}), _live("Job", {}, {"active": 2}), _live("Job", {}, {})]
    assert replicas_of(_live("ScaledJob", {}, {}), jobs) == R(4, 3, 1)
    failed = _live("Job", {}, {"conditions": [{"type": "Failed", "status": "True"}]})
    assert replicas_of(_live("ScaledJob", {}, {}), [*jobs[:2], failed]) == R(3, 3, 1)


def _pod(*statuses: dict[str, Any], conditions: Any = (), **metadata: Any) -> dict[str, Any]:
    status = {"containerStatuses": list(statuses), "conditions": list(conditions)}
    return {"metadata": {"name": "p-1", **metadata}, "status": status}


def _waits(reason: str, message: str = "", name: str = "runtime", **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "app:1", "state": {"waiting": {"reason": reason, "message": message}}, **more}


ENDED: dict[str, Any] = {"lastState": {"terminated": {"exitCode": 3}}, "restartCount": 4}
KILLED: dict[str, Any] = {"lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
FAILED: dict[str, Any] = {"name": "runtime", "state": {"terminated": {"exitCode": 1}}}
UNSCHEDULABLE: dict[str, Any] = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}


@pytest.mark.parametrize(
    ("pod", "cause", "message"),
    [
        (_pod(_waits("ImagePullBackOff", "no such tag")), "ImagePullError", "cannot be pulled: no such tag"),
        (_pod(_waits("InvalidImageName")), "ImagePullError", "InvalidImageName"),
        (_pod(_waits("CreateContainerConfigError", 'secret "s" not found')), "ConfigError", 'secret "s" not found'),
        (_pod(_waits("CrashLoopBackOff", **ENDED)), "RuntimeError", "exit code 3 and was restarted 4 times"),
        (_pod(_waits("CrashLoopBackOff", name="sidecar", **ENDED)), "SidecarError", "kubectl logs p-1 -c sidecar"),
        (_pod(_waits("CrashLoopBackOff", **KILLED)), "RuntimeError", "resources.limits.memory"),
        (_pod(_waits("RunContainerError", "exec: python3 not found")), "RuntimeError", "python3 not found"),
        (_pod(conditions=[{**UNSCHEDULABLE, "message": "Insufficient cpu"}]), "PendingResources", "Insufficient cpu"),
        (
            _pod(conditions=[{**UNSCHEDULABLE, "message": "pod has unbound immediate PersistentVolumeClaims"}]),
            "VolumeError",
            "unbound",
        ),
        (_pod(FAILED), "RuntimeError", "exit code 1"),
    ],
)
def test_trouble(pod: dict[str, Any], cause: Phase, message: str) -> None:
    result = pods.trouble([pod], now=NOW)
    assert result is not None
    assert result.phase == cause
    assert message in result.message
    assert "p-1" in result.message


@pytest.mark.parametrize(
    "pod",
    [
        _pod(_waits("ContainerCreating")),
        _pod({"name": "runtime", "state": {"running": {}}, **ENDED}),
        _pod({"name": "init", "state": {"terminated": {"exitCode": 0}}}),
        _pod(_waits("ImagePullBackOff"), deletionTimestamp="2026-01-01T00:00:00Z"),
        {"metadata": {"name": "p-1"}},
        {
            "metadata": {"name": "evicted"},
            "status": {"phase": "Failed", "reason": "Evicted", "containerStatuses": [FAILED]},
        },
    ],
)
def test_healthy_pods(pod: dict[str, Any]) -> None:
    assert pods.trouble([pod], now=NOW) is None


def test_of_two_problems_the_one_to_fix_first_is_reported() -> None:
    crashing, pulling = _pod(_waits("CrashLoopBackOff", name="sidecar")), _pod(_waits("ErrImagePull"))
    result = pods.trouble([crashing, pulling], now=NOW)
    assert result is not None
    assert result.phase == "ImagePullError"


@pytest.mark.parametrize(
    ("message", "cause"),
    [
        ('MountVolume.SetUp failed for volume "v" : secret "s" not found', "ConfigError"),
        ('MountVolume.SetUp failed for volume "v" : configmap "asya-runtime" not found', "ConfigError"),
        ("AttachVolume.Attach failed: disk is attached elsewhere", "VolumeError"),
    ],
)
def test_problems_with_volumes_come_from_events(message: str, cause: Phase) -> None:
    event = {"reason": "FailedMount", "message": message, "involvedObject": {"name": "p-1"}}
    pod = _pod(_waits("ContainerCreating"))
    assert pods.starting([pod]) == ["p-1"]
    result = pods.trouble([pod], [event, {"reason": "Unhealthy", "message": "probe"}], now=NOW)
    assert result is not None
    assert (result.phase, message in result.message) == (cause, True)


def test_a_workloads_own_conditions_are_reported() -> None:
    refused = [{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}]
    result = pods.own_trouble(_live("Deployment", {}, {"conditions": refused}))
    assert result is not None
    assert (result.phase, "exceeded quota" in result.message) == ("WorkloadError", True)
    failed = [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]
    result = pods.own_trouble(_live("Job", {}, {"conditions": failed}))
    assert result is not None
    assert result.phase == "RuntimeError"
    assert pods.own_trouble(_live("Deployment", {}, {})) is None


def _says(reason: str, message: str, uid: str = "u") -> dict[str, Any]:
    return {"reason": reason, "message": message, "involvedObject": {"uid": uid}}


@pytest.mark.parametrize(
    ("messages", "refused"),
    [
        ([], False),
        ([_says("FailedCreate", "exceeded quota")], True),
        ([_says("SuccessfulCreate", "one"), _says("FailedCreate", "exceeded quota")], True),
        ([_says("FailedCreate", "exceeded quota"), _says("RecreatingFailedPod", "another")], True),
        ([_says("FailedCreate", "exceeded quota"), _says("SuccessfulCreate", "one")], False),
        ([_says("FailedCreate", "exceeded quota", uid="of one before it")], False),
        ([{"reason": "FailedCreate"}], False),
    ],
)
def test_refused_pods_come_from_events(messages: list[dict[str, Any]], refused: bool) -> None:
    live = {"kind": "StatefulSet", "metadata": {"name": "x", "uid": "u"}}
    result = pods.refused(live, messages)
    assert (result is not None) == refused
    if result is not None:
        assert (result.phase, "exceeded quota. Change" in result.message) == ("WorkloadError", True)


def test_the_time_for_which_pods_have_not_been_ready() -> None:
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    waits = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:04:00Z"}
    late = _pod(creationTimestamp="2026-01-01T00:09:00Z")
    assert pods.unready([_pod(conditions=[ready])]) == []
    obj = pods.unready([late, _pod(conditions=[ready]), _pod(conditions=[waits])])
    assert [(NOW - since).total_seconds() for since, _ in obj] == [360, 60]
    assert pods.unready([{**_pod(conditions=[waits]), "status": {"phase": "Failed"}}]) == []


@pytest.mark.parametrize(
    ("workload", "scaling", "runtime", "word"),
    [
        (true("A", ""), None, true("A", ""), "Running"),
        (true("A", ""), None, false("RuntimeSourceFailed", ""), "Running"),
        (false("X", "", phase="ImagePullError"), None, false("Y", "", phase="ConfigError"), "ConfigError"),
        (false("X", ""), false("Z", ""), true("A", ""), "WorkloadError"),
        (true("A", ""), false("Z", "", phase="QueueMissing"), true("A", ""), "QueueMissing"),
        (true("A", ""), false("KEDANotInstalled", ""), true("A", ""), "ScalingError"),
        (Verdict("Unknown", "ReplacingJob", ""), None, true("A", ""), "Updating"),
    ],
)
def test_the_phase_of_a_status(workload: Verdict, scaling: Verdict | None, runtime: Verdict, word: str) -> None:
    observation = Observation(workload, scaling, runtime, replicas=R(1, 1, 1))
    assert status_of({"generation": 1, "name": "a"}, observation, {}, "2026-01-01T00:00:00Z")["phase"] == word
