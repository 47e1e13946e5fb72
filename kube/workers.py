"""Threads that take keys from a work queue, one key a thread at a time."""

import threading
import time
from collections.abc import Callable

from kube.objects import Key
from kube.workqueue import WorkQueue
from telemetry import threads

STUCK_SECONDS = 900.0
"""No reconcile takes so long: each of its requests has a time limit."""


class Workers:
    """A fixed number of workers on one queue."""

    def __init__(self, queue: WorkQueue[Key], number: int, handle: Callable[[Key], None]) -> None:
        """``handle`` is called with each key; it requeues the key as needed and raises nothing."""
        self._queue, self._number, self._handle = queue, number, handle
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._in_hand: dict[str, tuple[Key, float]] = {}
        """By worker: the key that it handles, and since when."""

    def start(self) -> None:
        """Start the threads, unless they run already."""
        with self._lock:
            if not self._threads:
                names = [f"worker-{number}" for number in range(self._number)]
                self._threads = [threads.start(name, self._work, name) for name in names]

    def join(self, seconds: float) -> None:
        """Wait until the threads end, which they do once the queue is closed; at most ``seconds``."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def stuck_workers(self) -> str:
        """Which workers do not finish; empty if all do."""
        now = time.monotonic()
        in_hand = list(self._in_hand.values())
        stuck = [f"{'/'.join(key)} for {now - since:.0f} s" for key, since in in_hand if now - since > STUCK_SECONDS]
        return f"workers that do not come to an end: {', '.join(stuck)}" if stuck else ""

    def _work(self, name: str) -> None:
        while (key := self._queue.get()) is not None:
            self._in_hand[name] = key, time.monotonic()
            try:
                self._handle(key)
            finally:
                self._in_hand.pop(name, None)
                self._queue.done(key)
