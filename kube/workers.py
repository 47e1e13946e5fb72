"""Worker threads that process the keys of a work queue. Each thread processes one key at a time."""

import threading
import time
from collections.abc import Callable

from kube.objects import Key
from kube.workqueue import WorkQueue
from telemetry import threads

STUCK_SECONDS = 900.0
"""A worker with the same key for this time is stuck. All requests of a reconcile have timeouts that are shorter."""


class Workers:
    """A fixed number of worker threads for one queue."""

    def __init__(self, queue: WorkQueue[Key], number: int, handle: Callable[[Key], None]) -> None:
        """Each worker calls ``handle`` with its key. ``handle`` requeues the key if needed and must not raise."""
        self._queue, self._number, self._handle = queue, number, handle
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._in_hand: dict[str, tuple[Key, float]] = {}
        """For each busy worker: its key and its start time."""

    def start(self) -> None:
        """Start the threads unless they are running."""
        with self._lock:
            if not self._threads:
                names = [f"worker-{number}" for number in range(self._number)]
                self._threads = [threads.start(name, self._work, name) for name in names]

    def join(self, seconds: float) -> None:
        """Wait at most ``seconds`` until the threads end. They end when the queue is closed."""
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def stuck_workers(self) -> str:
        """Return a message about stuck workers, for a liveness check. Empty if there are none."""
        now = time.monotonic()
        in_hand = list(self._in_hand.values())
        stuck = [f"{'/'.join(key)} for {now - since:.0f} s" for key, since in in_hand if now - since > STUCK_SECONDS]
        return f"workers are stuck at: {', '.join(stuck)}" if stuck else ""

    def _work(self, name: str) -> None:
        while (key := self._queue.get()) is not None:
            self._in_hand[name] = key, time.monotonic()
            try:
                self._handle(key)
            finally:
                self._in_hand.pop(name, None)
                self._queue.done(key)
