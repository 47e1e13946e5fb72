"""The dashboard's table: rows, lengths of queues, and differences."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.rules.phase import MEANINGS
from dashboard.board import Board
from dashboard.history import SAMPLES, History
from dashboard.rows import MAX_MESSAGE, measured_length, row, scaled_object_of, tone

Object = dict[str, Any]


def an_actor(name: str = "a", **status: Any) -> Object:
    ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": "well"}
    return {
        "metadata": {"name": name, "namespace": "ns", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"transport": {"type": "rabbitmq"}, "scaling": {"enabled": True, "minReplicas": 1, "maxReplicas": 5}},
        "status": {"phase": "Running", "conditions": [ready], "queueName": f"asya-ns-{name}", **status},
    }


def an_autoscaler(average: str, replicas: int, owner: str = "a") -> Object:
    current = {"external": {"metric": {"name": "s0"}, "current": {"averageValue": average}}}
    return {
        "metadata": {
            "name": f"keda-hpa-{owner}",
            "namespace": "ns",
            "ownerReferences": [{"kind": "ScaledObject", "name": owner, "controller": True}],
        },
        "status": {"currentReplicas": replicas, "currentMetrics": [current]},
    }


def test_every_phase_has_a_tone() -> None:
    assert {tone(phase) for phase in MEANINGS} == {"good", "rest", "moving", "wrong"}
    assert tone("") == "unknown"
    assert tone("AWordOfTheFuture") == "wrong"


def test_a_row_shows_the_first_problem_and_hides_credentials() -> None:
    wrong = {
        "type": "PodsReady",
        "status": "False",
        "reason": "SidecarError",
        "message": "amqp://u:hush@r/ " + "x" * 999,
    }
    not_known = {"type": "WorkloadReady", "status": "Unknown", "reason": "WaitingForRollouts", "message": "waits"}
    ready = {"type": "Ready", "status": "False", "reason": "SidecarError", "message": "so"}
    made = row(an_actor(conditions=[not_known, wrong, ready]), 3)
    assert (made["reason"], made["length"], made["scale"]) == ("SidecarError", 3, "1 to 5")
    assert made["message"].startswith("amqp://***@r/")
    assert len(made["message"]) <= MAX_MESSAGE
    assert row({"metadata": {"name": "new", "namespace": "ns"}}, None)["message"].startswith(
        "the controller has not processed"
    )


@pytest.mark.parametrize(
    ("status", "measured", "length"),
    [
        ({"desiredReplicas": 2, "scalingActive": True}, 7, 7),
        ({"desiredReplicas": 0, "scalingActive": False}, 7, 0),
        ({"desiredReplicas": 0, "scalingActive": True}, 7, None),
        ({"desiredReplicas": 0}, 7, None),
        ({"desiredReplicas": 2}, None, None),
    ],
)
def test_at_zero_pods_kedas_activity_counts_and_not_the_autoscalers_last_value(
    status: Object, measured: int | None, length: int | None
) -> None:
    assert row(an_actor(**status), measured)["length"] == length


@pytest.mark.parametrize(
    ("average", "replicas", "length"), [("2500m", 4, 10), ("1k", 2, 2000), ("333334m", 3, 1000), ("nonsense", 1, None)]
)
def test_the_queue_length_is_the_length_per_pod_times_the_pods(average: str, replicas: int, length: int | None) -> None:
    assert measured_length(an_autoscaler(average, replicas)) == length


def test_an_autoscaler_without_a_scaled_object_belongs_to_no_actor() -> None:
    foreign = an_autoscaler("1", 1)
    foreign["metadata"]["ownerReferences"] = []
    assert scaled_object_of(foreign) == ""
    board = Board()
    board.take_autoscaler(foreign, False)
    board.take_actor(an_actor(), False)
    assert board.changes(None).rows[0]["length"] is None


def test_an_autoscaler_before_or_after_its_actor_is_in_its_row() -> None:
    board = Board()
    board.take_autoscaler(an_autoscaler("2", 2), False)
    board.take_actor(an_actor(), False)
    first = board.changes(None)
    assert [made["length"] for made in first.rows] == [4]
    board.take_autoscaler(an_autoscaler("3", 2), False)
    second = board.changes(first.version)
    assert ([made["length"] for made in second.rows], second.whole) == ([6], False)
    board.take_autoscaler(an_autoscaler("3", 2), True)
    assert board.changes(second.version).rows[0]["length"] is None


def test_an_unchanged_row_is_not_sent() -> None:
    board = Board()
    board.take_actor(an_actor(), False)
    version = board.changes(None).version
    touched = an_actor()
    touched["metadata"] |= {"resourceVersion": "77", "labels": {"x": "y"}}
    board.take_actor(touched, False)
    assert board.changes(version).version == version


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["Running", "Napping", None]), st.booleans())))
def test_differences_since_any_version_give_the_present_state(steps: list[tuple[str, str | None, bool]]) -> None:
    board = Board()
    pages: list[tuple[int, dict[str, Object]]] = [(0, {})]
    for name, phase, looks in steps:
        actor = an_actor(name, phase=phase or "Running")
        board.take_actor(actor, phase is None)
        if looks:
            rows = {f"{made['ns']}/{made['name']}": made for made in board.changes(None).rows}
            pages.append((board.changes(None).version, rows))
    now = {f"{made['ns']}/{made['name']}": made for made in board.changes(None).rows}
    for version, rows in pages:
        page, newer = copy.deepcopy(rows), board.changes(version)
        for key in newer.gone:
            page.pop(key, None)
        page |= {f"{made['ns']}/{made['name']}": made for made in newer.rows}
        assert page == now


def test_a_page_that_was_away_too_long_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.board.MAX_DELETED", 2)
    board = Board()
    for name in "abc":
        board.take_actor(an_actor(name), False)
        board.take_actor(an_actor(name), True)
    assert board.changes(1).whole, "the removal of 'a' is no longer recorded"
    assert not board.changes(3).whole
    assert board.changes(999).whole, "the version is from another run"


def test_notices_appear_and_disappear() -> None:
    board = Board()
    board.notice("lengths", "not known")
    first = board.changes(0)
    assert first.notices == [{"id": "lengths", "text": "not known"}]
    board.notice("lengths", "not known")
    assert board.changes(first.version).notices is None
    board.notice("lengths", "")
    assert board.changes(first.version).notices == []


def test_samples_are_kept_for_ten_minutes_and_gaps_stay_gaps() -> None:
    history = History()
    history.sample({("ns", "a"): 1, ("ns", "never"): None})
    history.sample({("ns", "a"): None, ("ns", "never"): None})
    history.sample({("ns", "a"): 3, ("ns", "never"): None})
    assert history.of(("ns", "a")) == [1, None, 3]
    assert history.of_all([("ns", "a"), ("ns", "never")]) == {"ns/a": [1, None, 3]}
    for n in range(SAMPLES + 5):
        history.sample({("ns", "a"): n})
    assert len(history.of(("ns", "a"))) == SAMPLES
    history.sample({})
    assert history.of(("ns", "a")) == []
