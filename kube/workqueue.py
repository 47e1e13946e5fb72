"""A work queue of keys. A key waits at most once, and at most one worker processes it at a time.

The semantics are client-go's. A key that is added while a worker processes it is processed once more afterwards.
A key that failed is requeued with exponential backoff and jitter until it succeeds.
Source: https://pkg.go.dev/k8s.io/client-go/util/workqueue
"""

import heapq
import itertools
import random
import threading
import time
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

BASE_SECONDS = 0.1
MAX_SECONDS = 30.0


class WorkQueue(Generic[K]):
    """A queue of keys of type ``K``. All methods are thread-safe. Times are in seconds."""

    def __init__(self, base: float = BASE_SECONDS, limit: float = MAX_SECONDS) -> None:
        self._base, self._limit = base, limit
        self._condition = threading.Condition()
        self._ready: deque[K] = deque()
        self._waiting: set[K] = set()
        """Keys in ``_ready``, and keys that move there when their worker is done."""
        self._working: set[K] = set()
        self._later: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        """The earliest time of each key in ``_later``. Later entries of the same key are ignored."""
        self._count = itertools.count()
        self._failures: dict[K, int] = {}
        self._rechecks: dict[K, int] = {}
        self._closed = self._paused = False

    def add(self, key: K) -> None:
        """Queue ``key`` for the next free worker."""
        with self._condition:
            self._add(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Queue ``key`` in ``seconds``, unless it is already due earlier."""
        with self._condition:
            at = time.monotonic() + seconds
            if at >= self._due.get(key, float("inf")):
                return
            self._due[key] = at
            heapq.heappush(self._later, (at, next(self._count), key))
            self._condition.notify()

    def retry(self, key: K, limit: float | None = None) -> float:
        """Requeue ``key`` after a failure. The pause doubles with each failure. Return the pause in seconds."""
        return self._add_later(self._failures, key, limit or self._limit)

    def recheck_later(self, key: K, seconds: float) -> None:
        """Requeue ``key`` after a success. The pause doubles with each call, up to ``seconds``."""
        with self._condition:
            self._failures.pop(key, None)
        self._add_later(self._rechecks, key, seconds)

    def forget(self, key: K) -> None:
        """Reset the pauses of ``key`` after a success."""
        with self._condition:
            self._failures.pop(key, None)
            self._rechecks.pop(key, None)

    def _add_later(self, counts: dict[K, int], key: K, limit: float) -> float:
        with self._condition:
            count = counts[key] = counts.get(key, 0) + 1
        pause = min(limit, self._base * 2.0 ** min(count - 1, 20)) * random.uniform(0.75, 1.25)
        self.add_after(key, pause)
        return pause

    def get(self) -> K | None:
        """Wait for the next key and return it. None if the queue is closed. Call :meth:`done` afterwards."""
        with self._condition:
            while not self._closed:
                pause = self._promote()
                if self._ready and not self._paused:
                    key = self._ready.popleft()
                    self._waiting.discard(key)
                    self._working.add(key)
                    return key
                self._condition.wait(pause)
            return None

    def done(self, key: K) -> None:
        """Mark ``key`` as processed."""
        with self._condition:
            self._working.discard(key)
            if key in self._waiting:
                self._ready.append(key)
                self._condition.notify()

    def pause(self) -> None:
        """Return no keys from :meth:`get` until :meth:`resume`."""
        with self._condition:
            self._paused = True

    def resume(self) -> None:
        """End the pause."""
        with self._condition:
            self._paused = False
            self._condition.notify_all()

    def close(self) -> None:
        """Close the queue: :meth:`get` returns None to all workers."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    @property
    def depth(self) -> int:
        """Number of waiting keys, without those that are due later."""
        return len(self._waiting)

    @property
    def in_flight(self) -> int:
        """Number of keys that workers process."""
        return len(self._working)

    def _add(self, key: K) -> None:
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._working:
            self._ready.append(key)
            self._condition.notify()

    def _promote(self) -> float | None:
        """Move keys that are due to ``_ready``. Return the seconds until the next one is due, or None."""
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            at, _, key = heapq.heappop(self._later)
            if self._due.get(key) == at:
                del self._due[key]
                self._add(key)
        return self._later[0][0] - now if self._later else None
