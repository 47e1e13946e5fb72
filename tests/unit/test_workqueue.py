"""The work queue: each key is queued once, has one worker at a time, and is requeued after a failure."""

import threading
import time

from kube.workqueue import WorkQueue


def test_a_key_is_queued_once_however_often_it_is_added() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for _ in range(3):
        queue.add("a")
    assert queue.depth == 1
    assert queue.get() == "a"
    assert (queue.depth, queue.in_flight) == (0, 1)


def test_a_key_that_is_added_during_its_work_is_processed_again_afterwards() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    queue.get()
    queue.add("a")
    queue.add("b")
    assert queue.get() == "b"
    queue.done("a")
    assert queue.get() == "a"


def test_retries_have_a_growing_backoff_until_the_key_is_forgotten() -> None:
    queue: WorkQueue[str] = WorkQueue(base=0.01, limit=0.05)
    pauses = [queue.retry("a") for _ in range(6)]
    assert 0.007 <= pauses[0] <= 0.0126
    assert 0.035 <= pauses[-1] <= 0.0626
    queue.forget("a")
    assert queue.retry("a") <= 0.0126
    assert queue.get() == "a"


def test_a_retry_can_have_its_own_limit() -> None:
    queue: WorkQueue[str] = WorkQueue(base=10)
    assert queue.retry("a", 0.02) <= 0.025


def test_requeues_come_later_each_time_and_are_no_failures() -> None:
    queue: WorkQueue[str] = WorkQueue(base=0.01, limit=100)
    for _ in range(20):
        queue.recheck_later("a", 60)
    assert queue.retry("a") <= 0.0126, "its first failure"
    assert queue.retry("a") <= 0.0251
    queue.recheck_later("a", 60)
    assert queue.retry("a") <= 0.0126, "it has succeeded meanwhile"


def test_closing_releases_all_workers() -> None:
    queue: WorkQueue[str] = WorkQueue()
    got: list[str | None] = []
    workers = [threading.Thread(target=lambda: got.append(queue.get())) for _ in range(3)]
    for worker in workers:
        worker.start()
    queue.close()
    for worker in workers:
        worker.join(2)
    assert got == [None, None, None]


def test_many_workers_never_share_a_key() -> None:
    queue: WorkQueue[int] = WorkQueue()
    held: set[int] = set()
    clashes: list[int] = []
    worked = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal worked
        while (key := queue.get()) is not None:
            with lock:
                if key in held:
                    clashes.append(key)
                held.add(key)
            time.sleep(0.0005)
            with lock:
                held.discard(key)
                worked += 1
            queue.done(key)

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for n in range(500):
        queue.add(n % 5)
        time.sleep(0.0002)
    deadline = time.monotonic() + 5
    while (queue.depth or queue.in_flight) and time.monotonic() < deadline:
        time.sleep(0.01)
    queue.close()
    for worker in workers:
        worker.join(2)
    assert not clashes
    assert worked >= 5
