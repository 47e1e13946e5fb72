"""The first status of a new actor waits for KEDA, for a moment and without a trace."""

from types import SimpleNamespace
from typing import Any

import pytest

from controller import reconciler
from controller.reconciler import KEDA_SECONDS, Reconciler
from controller.rules.status import Observation, Verdict

KEY = ("ns", "a")
WAITS = Observation(
    Verdict("True", "WorkloadReady", ""),
    Verdict("Unknown", "ScaledObjectNotObserved", ""),
    Verdict("True", "Ready", ""),
)


class Nothing:
    """Stands in for the parts that clean up after an actor."""

    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(reconciler, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


@pytest.fixture
def one() -> Any:
    made: Any = Reconciler.__new__(Reconciler)
    made._first_seen = {}
    made._reporter = made._workloads = made._runtime = made._scaling = made._absent = Nothing()
    return made


def obj(uid: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"uid": uid}, **status}


def test_the_first_status_waits_once(one: Any, clock: SimpleNamespace) -> None:
    assert one._wait_for_keda(KEY, obj("1"), WAITS) == KEDA_SECONDS
    clock.seconds += KEDA_SECONDS / 2
    assert one._wait_for_keda(KEY, obj("1"), WAITS) == KEDA_SECONDS / 2
    clock.seconds += KEDA_SECONDS
    assert one._wait_for_keda(KEY, obj("1"), WAITS) < 0
    assert one._wait_for_keda(KEY, obj("1", status={"phase": "Pending"}), WAITS) == 0
    assert not one._first_seen


def test_a_new_actor_of_the_same_name_waits_again(one: Any, clock: SimpleNamespace) -> None:
    one._wait_for_keda(KEY, obj("1"), WAITS)
    clock.seconds += 10
    assert one._wait_for_keda(KEY, obj("2"), WAITS) == KEDA_SECONDS


def test_nothing_stays_of_an_actor_that_is_deleted_before_its_first_status(one: Any) -> None:
    one._wait_for_keda(KEY, obj("1"), WAITS)
    one._forget(KEY)
    assert not one._first_seen
