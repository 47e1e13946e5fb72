"""Places for rollouts, and when the rollout of a workload is complete."""

from functools import partial
from typing import Any

import pytest

from controller.cluster.rollouts import NoPlace, Rollouts
from controller.rules.rolling import is_rolled_out

Object = dict[str, Any]


def deployment(uid: str = "u", generation: int = 2, **status: Any) -> Object:
    known = {"observedGeneration": generation, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    return {
        "kind": "Deployment",
        "metadata": {"uid": uid, "generation": generation},
        "spec": {"replicas": 1},
        "status": {**known, **status},
    }


def test_places_are_limited_and_waiting_workloads_are_woken() -> None:
    woken: list[tuple[str, str]] = []
    rollouts = Rollouts(2, 60, woken.append)
    assert rollouts.take("u", ("ns", "a"))
    assert rollouts.take("v", ("ns", "a"))
    assert rollouts.take("u", ("ns", "a")), "it already has a place"
    assert not rollouts.take("w", ("ns", "b"))
    rollouts.started(deployment(observedGeneration=1))
    assert (rollouts.in_flight, woken) == (2, [])
    rollouts.observe(deployment(generation=1))
    assert rollouts.in_flight == 2, "this state is from before the rollout"
    rollouts.observe(deployment())
    assert (rollouts.in_flight, woken) == (1, [("ns", "b")])


def test_a_rollout_that_never_completes_holds_its_place_for_a_limited_time() -> None:
    rollouts = Rollouts(1, 0, lambda key: None)
    assert rollouts.take("u", ("ns", "a"))
    assert rollouts.take("v", ("ns", "a"))


def test_a_deleted_workload_releases_its_place() -> None:
    rollouts = Rollouts(1, 60, lambda key: None)
    rollouts.take("u", ("ns", "a"))
    rollouts.started(deployment(observedGeneration=1))
    rollouts.observe(deployment(observedGeneration=1), deleted=True)
    assert rollouts.in_flight == 0


def test_a_rollout_at_the_start_holds_its_place() -> None:
    rollouts = Rollouts(1, 60, lambda key: None)
    rollouts.resume([deployment("u"), deployment("v", availableReplicas=0)])
    assert rollouts.in_flight == 1
    assert not rollouts.take("w", ("ns", "a"))


def of_kind(kind: str, status: Object, **spec: Any) -> Object:
    return {
        "kind": kind,
        "metadata": {"uid": "u", "generation": 1},
        "spec": {"replicas": 2, **spec},
        "status": {"observedGeneration": 1, **status},
    }


@pytest.mark.parametrize(
    ("workload", "done"),
    [
        (deployment(), True),
        (deployment(observedGeneration=1), False),
        (deployment(replicas=2), False),
        (deployment(updatedReplicas=0), False),
        (deployment(availableReplicas=0), False),
        (of_kind("Deployment", {}, replicas=0), True),
        (of_kind("Deployment", {}, paused=True), True),
        (of_kind("StatefulSet", {"updateRevision": "b", "currentRevision": "a", "updatedReplicas": 1}), False),
        (
            of_kind(
                "StatefulSet",
                {"updateRevision": "b", "currentRevision": "a", "updatedReplicas": 2, "availableReplicas": 2},
            ),
            True,
        ),
        (of_kind("StatefulSet", {"updateRevision": "b", "currentRevision": "b", "availableReplicas": 2}), True),
        (of_kind("StatefulSet", {"updateRevision": "b", "currentRevision": "b", "availableReplicas": 1}), False),
        (of_kind("StatefulSet", {}, updateStrategy={"type": "OnDelete"}), True),
        (of_kind("DaemonSet", {"desiredNumberScheduled": 2, "updatedNumberScheduled": 1}), False),
        (
            of_kind("DaemonSet", {"desiredNumberScheduled": 2, "updatedNumberScheduled": 2, "numberAvailable": 2}),
            True,
        ),
        ({"kind": "CronJob", "metadata": {"uid": "u"}}, True),
        (of_kind("Job", {"active": 1}), False),
        (of_kind("Job", {"active": 1, "ready": 1}), True),
        (of_kind("Job", {"conditions": [{"type": "Failed", "status": "True"}]}), True),
        (of_kind("Job", {}, suspend=True), True),
        (of_kind("ScaledJob", {}), True),
    ],
)
def test_when_a_rollout_is_complete(workload: Object, done: bool) -> None:
    assert is_rolled_out(workload) is done


# -- the gate ------------------------------------------------------------------------------------

ACTOR = ("ns", "a")


def with_template(image: str, generation: int = 2, uid: str = "u", **status: Any) -> Object:
    obj = deployment(uid, generation, **status)
    obj["spec"] = {"replicas": 1, "template": {"image": image}}
    return obj


def full() -> Rollouts:
    rollouts = Rollouts(1, 60, lambda key: None)
    assert rollouts.take("other", ("ns", "other"))
    return rollouts


def test_a_write_that_replaces_pods_waits_for_a_place() -> None:
    written: list[int] = []

    def write() -> Object:
        written.append(1)
        return with_template("2", 3)

    with pytest.raises(NoPlace):
        full().write(with_template("1"), ACTOR, write, latest=lambda: None)
    assert not written


def test_a_write_that_replaces_no_pods_needs_no_place() -> None:
    rollouts, answer = full(), with_template("1", 3)
    result = rollouts.write(with_template("1"), ACTOR, lambda: answer, rolls=lambda: False, latest=lambda: answer)
    assert result is answer
    assert rollouts.in_flight == 1


@pytest.mark.parametrize("live", [None, {**with_template("1"), "spec": {"replicas": 0}, "status": {}}])
def test_a_workload_without_pods_needs_no_place(live: Object | None) -> None:
    rollouts = full()
    assert rollouts.write(live, ACTOR, lambda: with_template("2"), latest=lambda: None)
    assert rollouts.in_flight == 1


def test_a_place_is_held_until_the_pods_are_ready_and_released_if_none_was_replaced() -> None:
    rollouts = Rollouts(1, 60, lambda key: None)
    same = with_template("1", 3)
    rollouts.write(with_template("1"), ACTOR, lambda: same, latest=lambda: same)
    assert rollouts.in_flight == 0
    rolling = with_template("2", 3, observedGeneration=2)
    rollouts.write(with_template("1"), ACTOR, lambda: rolling, latest=lambda: rolling)
    assert rollouts.in_flight == 1
    # A second write during the rollout, which changes nothing or fails, does not release the place.
    rollouts.write(rolling, ACTOR, lambda: rolling, latest=lambda: rolling)
    assert rollouts.in_flight == 1
    with pytest.raises(ValueError, match="refused"):
        rollouts.write(rolling, ACTOR, _refuse, latest=lambda: rolling)
    assert rollouts.in_flight == 1
    rollouts.observe(with_template("2", 3))
    assert rollouts.in_flight == 0


def _refuse() -> Object:
    raise ValueError("refused")


def test_a_workload_that_leaves_the_watch_holds_its_place_until_the_next_reconcile() -> None:
    rollouts = Rollouts(1, 60, lambda key: None)
    rolling = with_template("2", 3, observedGeneration=2)
    rollouts.write(with_template("1"), ACTOR, lambda: rolling, latest=None)
    rollouts.observe(rolling, deleted=True)  # by the watch, because the workload left its selection
    assert rollouts.holds("u")
    rollouts.observe(with_template("2", 3))
    assert not rollouts.holds("u")


def test_the_first_waiting_workloads_are_woken_first() -> None:
    woken: list[tuple[str, str]] = []
    rollouts = Rollouts(1, 60, woken.append)
    rollouts.take("u", ACTOR)
    for number in range(5):
        rollouts.take(f"w{number}", ("ns", f"b{number}"))
    rollouts.give_back("u")
    assert woken == [("ns", "b0"), ("ns", "b1")]


# -- Jobs ----------------------------------------------------------------------------------------


def job(uid: str = "j", generation: str = "1", finished: bool = False, **status: Any) -> Object:
    ended = {"conditions": [{"type": "Complete", "status": "True"}]} if finished else {}
    metadata = {"uid": uid, "generation": 1, "annotations": {"scaledjob.keda.sh/generation": generation}}
    return {"kind": "Job", "metadata": metadata, "spec": {}, "status": {**status, **ended}}


RUNNING: Any = {"active": 1, "ready": 1}


def test_the_place_of_a_replaced_job_is_held_until_its_successor_runs() -> None:
    woken: list[tuple[str, str]] = []
    rollouts = Rollouts(1, 60, woken.append)
    rollouts.replace(job("j", **RUNNING), ACTOR, lambda: None)
    rollouts.observe(job("j", **RUNNING), deleted=True)
    with pytest.raises(NoPlace):
        rollouts.replace(job("other", **RUNNING), ("ns", "b"), lambda: pytest.fail("it was deleted"))
    rollouts.succeeded(ACTOR, job("k"))
    rollouts.observe(job("k", active=1))
    assert (rollouts.in_flight, woken) == (1, [])
    rollouts.observe(job("k", **RUNNING))
    assert (rollouts.in_flight, woken) == (0, [("ns", "b")])


@pytest.mark.parametrize("done", [job(finished=True), job()], ids=["finished", "not started"])
def test_a_job_without_pods_needs_no_place_to_be_replaced(done: Object) -> None:
    deleted: list[int] = []
    full().replace(done, ACTOR, lambda: deleted.append(1))
    assert deleted


def _cannot() -> None:
    raise ValueError("refused")


def test_a_job_that_cannot_be_deleted_or_whose_actor_is_deleted_holds_no_place() -> None:
    rollouts = Rollouts(1, 60, lambda key: None)
    with pytest.raises(ValueError, match="refused"):
        rollouts.replace(job(**RUNNING), ACTOR, _cannot)
    assert rollouts.in_flight == 0
    rollouts.replace(job(**RUNNING), ACTOR, lambda: None)
    rollouts.forget(ACTOR)
    assert rollouts.in_flight == 0
    rollouts.succeeded(ACTOR, job("k"))
    assert rollouts.in_flight == 0


def scaled_job(strategy: str | None, generation: int = 1) -> Object:
    spec = {"rollout": {"strategy": strategy}} if strategy else {}
    return {"kind": "ScaledJob", "metadata": {"uid": "s", "generation": generation}, "spec": spec}


def test_a_scaled_job_whose_running_jobs_complete_needs_no_place() -> None:
    after = scaled_job("gradual", 2)
    rollouts = full()
    assert rollouts.write(scaled_job("gradual"), ACTOR, lambda: after, latest=lambda: after) is after
    assert rollouts.in_flight == 1


@pytest.mark.parametrize("strategy", ["immediate", "default", None])
def test_a_scaled_job_whose_running_jobs_are_deleted_holds_a_place_until_they_are_gone(strategy: str | None) -> None:
    jobs = [job("done", finished=True), job("j", "1", **RUNNING)]
    rollouts = Rollouts(1, 60, lambda key: None, lambda scaled: jobs)
    after = scaled_job(strategy, 2)
    with pytest.raises(NoPlace):
        full().write(scaled_job(strategy), ACTOR, lambda: pytest.fail("it was written"), latest=lambda: after)
    rollouts.write(scaled_job(strategy), ACTOR, lambda: after, latest=lambda: after)
    assert rollouts.in_flight == 1
    jobs[1:] = [job("k", "2", active=1)]
    rollouts.observe(after)
    assert rollouts.in_flight == 1, "the new one does not run yet"
    jobs[1:] = [job("k", "2", **RUNNING)]
    rollouts.observe(after)
    assert rollouts.in_flight == 0


def test_a_scaled_job_without_jobs_or_without_a_change_releases_its_place_at_once() -> None:
    rollouts = Rollouts(1, 60, lambda key: None)
    for after in (scaled_job("immediate"), scaled_job("immediate", 2)):
        rollouts.write(scaled_job("immediate"), ACTOR, partial(dict, after), latest=partial(dict, after))
        assert rollouts.in_flight == 0
