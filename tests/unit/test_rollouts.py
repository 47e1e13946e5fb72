"""Places to roll over in, and when a workload has rolled out."""

from typing import Any

import pytest

from controller.rollouts import NoPlace, Rollouts, rolled_out

Object = dict[str, Any]


def deployment(uid: str = "u", generation: int = 2, **status: Any) -> Object:
    seen = {"observedGeneration": generation, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
    return {
        "kind": "Deployment",
        "metadata": {"uid": uid, "generation": generation},
        "spec": {"replicas": 1},
        "status": {**seen, **status},
    }


def test_places_are_limited_and_those_who_wait_are_woken() -> None:
    woken: list[tuple[str, str]] = []
    rollouts = Rollouts(2, 60, woken.append)
    assert rollouts.take("u", ("ns", "a"))
    assert rollouts.take("v", ("ns", "a"))
    assert rollouts.take("u", ("ns", "a")), "it has one already"
    assert not rollouts.take("w", ("ns", "b"))
    rollouts.started(deployment(observedGeneration=1))
    assert (rollouts.in_flight, woken) == (2, [])
    rollouts.seen(deployment(generation=1))
    assert rollouts.in_flight == 2, "that was how it was before"
    rollouts.seen(deployment())
    assert (rollouts.in_flight, woken) == (1, [("ns", "b")])


def test_a_workload_that_never_comes_up_is_not_waited_for_for_ever() -> None:
    rollouts = Rollouts(1, 0, lambda key: None)
    assert rollouts.take("u", ("ns", "a"))
    assert rollouts.take("v", ("ns", "a"))


def test_a_deleted_workload_gives_its_place_back() -> None:
    rollouts = Rollouts(1, 60, lambda key: None)
    rollouts.take("u", ("ns", "a"))
    rollouts.started(deployment(observedGeneration=1))
    rollouts.seen(deployment(observedGeneration=1), deleted=True)
    assert rollouts.in_flight == 0


def test_what_rolls_over_at_the_start_holds_its_place() -> None:
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
    ],
)
def test_rolled_out(workload: Object, done: bool) -> None:
    assert rolled_out(workload) is done


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


def test_a_write_that_rolls_pods_waits_for_a_place() -> None:
    written: list[int] = []

    def write() -> Object:
        written.append(1)
        return with_template("2", 3)

    with pytest.raises(NoPlace):
        full().write(with_template("1"), ACTOR, write, latest=lambda: None)
    assert not written


def test_a_write_that_rolls_nothing_needs_none() -> None:
    rollouts, answer = full(), with_template("1", 3)
    found = rollouts.write(with_template("1"), ACTOR, lambda: answer, rolls=lambda: False, latest=lambda: answer)
    assert found is answer
    assert rollouts.in_flight == 1


@pytest.mark.parametrize("live", [None, {**with_template("1"), "spec": {"replicas": 0}, "status": {}}])
def test_what_has_no_pods_needs_none(live: Object | None) -> None:
    rollouts = full()
    assert rollouts.write(live, ACTOR, lambda: with_template("2"), latest=lambda: None)
    assert rollouts.in_flight == 1


def test_a_place_is_held_until_the_pods_are_there_and_given_back_by_what_rolled_nothing() -> None:
    rollouts = Rollouts(1, 60, lambda key: None)
    same = with_template("1", 3)
    rollouts.write(with_template("1"), ACTOR, lambda: same, latest=lambda: same)
    assert rollouts.in_flight == 0
    rolling = with_template("2", 3, observedGeneration=2)
    rollouts.write(with_template("1"), ACTOR, lambda: rolling, latest=lambda: rolling)
    assert rollouts.in_flight == 1
    # A second write while it rolls, which changes nothing or fails, takes nothing from it.
    rollouts.write(rolling, ACTOR, lambda: rolling, latest=lambda: rolling)
    assert rollouts.in_flight == 1
    with pytest.raises(ValueError, match="refused"):
        rollouts.write(rolling, ACTOR, _refuse, latest=lambda: rolling)
    assert rollouts.in_flight == 1
    rollouts.seen(with_template("2", 3))
    assert rollouts.in_flight == 0


def _refuse() -> Object:
    raise ValueError("refused")


def test_one_that_leaves_the_watch_holds_its_place_until_somebody_looks() -> None:
    rollouts = Rollouts(1, 60, lambda key: None)
    rolling = with_template("2", 3, observedGeneration=2)
    rollouts.write(with_template("1"), ACTOR, lambda: rolling, latest=None)
    rollouts.seen(rolling, deleted=True)  # by the watch, whose selection it left
    assert rollouts.holds("u")
    rollouts.seen(with_template("2", 3))
    assert not rollouts.holds("u")


def test_of_those_who_wait_the_first_are_woken() -> None:
    woken: list[tuple[str, str]] = []
    rollouts = Rollouts(1, 60, woken.append)
    rollouts.take("u", ACTOR)
    for number in range(5):
        rollouts.take(f"w{number}", ("ns", f"b{number}"))
    rollouts.give_back("u")
    assert woken == [("ns", "b0"), ("ns", "b1")]
