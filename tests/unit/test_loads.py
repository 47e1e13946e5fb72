"""Workers share new connections evenly, and no connection waits longer than a moment for a busy worker."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.loads import ABSENT, LEAVE_SECONDS, NEXT_SECONDS, Loads, Share


def with_loads(*connections: int) -> Loads:
    loads = Loads(len(connections))
    for slot, number in enumerate(connections):
        loads.write(slot, number)
    return loads


@pytest.mark.parametrize(
    ("own", "other", "exceeds"),
    [(0, 0, False), (1, 0, True), (4, 4, False), (5, 4, True), (3, 4, False), (110, 100, False), (113, 100, True)],
)
def test_one_eighth_more_connections_are_more(own: int, other: int, exceeds: bool) -> None:
    assert with_loads(own, other).exceeds_another(0) is exceeds


def test_a_worker_that_accepts_nothing_is_no_other_worker() -> None:
    assert not with_loads(9, ABSENT).exceeds_another(0)
    assert not with_loads(9).exceeds_another(0)


@given(st.lists(st.integers(ABSENT, 50), min_size=1, max_size=5))
def test_some_worker_always_accepts(connections: list[int]) -> None:
    present = [slot for slot, number in enumerate(connections) if number != ABSENT]
    loads = with_loads(*connections)
    assert not present or any(not loads.exceeds_another(slot) for slot in present)


def test_the_counts_are_shared_with_a_forked_worker() -> None:
    loads = with_loads(ABSENT, 0)
    child = os.fork()
    if child == 0:
        loads.write(0, 7)
        os._exit(0)
    os.waitpid(child, 0)
    assert loads.exceeds_another(0)
    assert not loads.exceeds_another(1)


def test_each_worker_gets_a_slot_and_more_workers_than_slots_share_the_last() -> None:
    loads = Loads(3)
    assert [loads.free_slot(taken) for taken in (set(), {0}, {1}, {0, 1})] == [0, 1, 0, 2]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_connection_is_left_for_a_moment_only() -> None:
    clock = Clock()
    share = Share(with_loads(2, 1), 0, clock)
    assert share.leaves_to_another()
    clock.now += LEAVE_SECONDS / 2
    assert share.leaves_to_another()
    clock.now += LEAVE_SECONDS
    assert not share.leaves_to_another(), "the other worker did not come"


def test_the_next_connection_is_left_as_well() -> None:
    clock = Clock()
    share = Share(with_loads(2, 1), 0, clock)
    assert share.leaves_to_another()
    clock.now += 2 * NEXT_SECONDS  # the other worker took the first one
    assert share.leaves_to_another()


def test_a_worker_with_as_many_accepts_at_once() -> None:
    assert not Share(with_loads(1, 1), 0).leaves_to_another()
