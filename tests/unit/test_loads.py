"""Workers share new connections evenly, and no connection waits longer than a moment for a busy worker."""

import os
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.fairness import ConnectionLimits, Turns
from webhook.loads import ABSENT, LEAVE_SECONDS, NEXT_SECONDS, STEP_SECONDS, Loads, Share
from webhook.worker import Worker


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


def test_a_connection_soon_after_one_that_the_other_accepted_is_left_as_well() -> None:
    clock, loads = Clock(), with_loads(5, 1)
    share = Share(loads, 0, clock)
    assert share.leaves_to_another()
    loads.write(1, 2)
    clock.now += 1.5 * LEAVE_SECONDS
    assert share.leaves_to_another()


def test_a_hung_worker_delays_a_connection_once_while_others_work() -> None:
    clock, loads = Clock(), with_loads(300, 0, 150)
    share, left = Share(loads, 0, clock), 0.0
    while share.leaves_to_another():
        clock.now += STEP_SECONDS
        left += STEP_SECONDS
        loads.write(2, 150 - int(left * 1000))
    assert left <= LEAVE_SECONDS + STEP_SECONDS


def test_a_worker_with_as_many_accepts_at_once() -> None:
    assert not Share(with_loads(1, 1), 0).leaves_to_another()


@pytest.fixture
def worker() -> Iterator[Any]:
    """A worker that polls a listener, beside another worker in slot 1 that never accepts."""
    made: Any = Worker.__new__(Worker)
    made.app, made.cfg, made.alive, made.slot = SimpleNamespace(loads=with_loads(0, 0)), SimpleNamespace(), True, 0
    made.nr_conns, made._accepts, made._accepting, made._accepts_from = 0, 1, False, 0.0
    made._limits, made._ready, made._share = ConnectionLimits(100, 100), Turns(), Share(made.app.loads, 0)
    made.poller = selectors.DefaultSelector()
    made.sockets = [socket.create_server(("127.0.0.1", 0))]
    made.set_accept_enabled(True)
    yield made
    for open_socket in (*made._limits, *made.sockets, made.poller):
        open_socket.close()


def turn(worker: Any) -> None:
    """One turn of gunicorn's event loop."""
    if not worker._accepting:
        worker.set_accept_enabled(True)
    worker.wait_for_and_dispatch_events(timeout=1.0)


@pytest.fixture
def connect(worker: Any) -> Iterator[Callable[[int], None]]:
    """Opens connections to the worker, which wait in its listener. They close after the test."""
    with ExitStack() as opened:

        def open_some(number: int) -> None:
            for _ in range(number):
                opened.enter_context(socket.create_connection(worker.sockets[0].getsockname()))

        yield open_some


def test_a_worker_with_more_does_not_poll_while_the_other_one_gets_the_core(
    worker: Any, connect: Callable[[int], None]
) -> None:
    connect(4)
    turn(worker)
    worker._accepts = 4
    turn(worker)
    assert worker.nr_conns == 1
    assert not worker._accepting
    assert not worker.poller.select(0), "a listener that is polled would wake the worker at once, again and again"
    before = time.monotonic()
    worker.wait_for_and_dispatch_events(timeout=1.0)
    assert time.monotonic() - before < 0.5, "it looks again after a step"


def test_a_worker_accepts_at_once_when_the_other_one_has_as_many(worker: Any, connect: Callable[[int], None]) -> None:
    connect(3)
    turn(worker)
    turn(worker)
    worker.app.loads.write(1, 1)
    time.sleep(2 * STEP_SECONDS)
    turn(worker)
    assert worker.nr_conns == 2, "one more, and then the other worker has fewer again"


def test_a_worker_still_polls_when_no_other_connection_waits(worker: Any, connect: Callable[[int], None]) -> None:
    connect(1)
    worker._accepts = 4
    turn(worker)
    assert worker.nr_conns == 1
    assert worker._accepting, "the time for which it leaves a connection begins when there is one"


def test_a_worker_accepts_all_if_the_other_one_never_comes(worker: Any, connect: Callable[[int], None]) -> None:
    connect(20)
    until = time.monotonic() + 20
    while worker.nr_conns < 20 and time.monotonic() < until:
        turn(worker)
    assert worker.nr_conns == 20


def test_a_worker_that_stops_accepts_what_it_had_left_to_another(worker: Any, connect: Callable[[int], None]) -> None:
    connect(3)
    turn(worker)
    turn(worker)
    worker.alive = False
    worker._cap_keepalive(time.monotonic() + 1)
    assert worker.nr_conns == 3
    assert worker.app.loads.fewest_of_others(1) == 0, "it accepts nothing more, so it does not count"
