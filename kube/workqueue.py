"""A work queue: keys that wait for a worker, each at most once, each in one worker's hands at a time.

The semantics are client-go's: a key added while it is worked on is worked on once more afterwards; a
key that failed comes back later each time, with jitter, until it succeeds.
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
    """Keys of type ``K``. Safe to use from any thread."""

    def __init__(self, base: float = BASE_SECONDS, limit: float = MAX_SECONDS) -> None:
        self._base, self._limit = base, limit
        self._condition = threading.Condition()
        self._ready: deque[K] = deque()
        self._waiting: set[K] = set()
        """In ``_ready``, or to be put there when done."""
        self._working: set[K] = set()
        self._later: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        """When each key of ``_later`` comes up first; its other entries there count for nothing."""
        self._count = itertools.count()
        self._failures: dict[K, int] = {}
        self._looks: dict[K, int] = {}
        self._closed = self._paused = False

    def add(self, key: K) -> None:
        """Have ``key`` worked on as soon as a worker is free."""
        with self._condition:
            self._add(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Have ``key`` worked on in ``seconds``, unless it is to be earlier anyway."""
        with self._condition:
            at = time.monotonic() + seconds
            if at >= self._due.get(key, float("inf")):
                return
            self._due[key] = at
            heapq.heappush(self._later, (at, next(self._count), key))
            self._condition.notify()

    def retry(self, key: K, limit: float | None = None) -> float:
        """``key`` failed: have it worked on again after a pause that doubles each time; the pause in seconds."""
        return self._add_later(self._failures, key, limit or self._limit)

    def recheck_later(self, key: K, seconds: float) -> None:
        """``key`` succeeded, and is to be worked on in ``seconds`` at the latest: soon at first, then ever later."""
        with self._condition:
            self._failures.pop(key, None)
        self._add_later(self._looks, key, seconds)

    def forget(self, key: K) -> None:
        """``key`` succeeded: its next failure is its first."""
        with self._condition:
            self._failures.pop(key, None)
            self._looks.pop(key, None)

    def _add_later(self, counts: dict[K, int], key: K, limit: float) -> float:
        with self._condition:
            count = counts[key] = counts.get(key, 0) + 1
        pause = min(limit, self._base * 2.0 ** min(count - 1, 20)) * random.uniform(0.75, 1.25)
        self.add_after(key, pause)
        return pause

    def get(self) -> K | None:
        """The next key, as soon as there is one; None once the queue is closed. Pair with :meth:`done`."""
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
        """The worker is done with ``key``."""
        with self._condition:
            self._working.discard(key)
            if key in self._waiting:
                self._ready.append(key)
                self._condition.notify()

    def pause(self) -> None:
        """Hand out no key until :meth:`resume`."""
        with self._condition:
            self._paused = True

    def resume(self) -> None:
        """Hand out keys again."""
        with self._condition:
            self._paused = False
            self._condition.notify_all()

    def close(self) -> None:
        """Let all workers go."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    @property
    def depth(self) -> int:
        """How many keys wait, those to be retried later not counted."""
        return len(self._waiting)

    @property
    def in_flight(self) -> int:
        """How many keys workers have in hand."""
        return len(self._working)

    def _add(self, key: K) -> None:
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._working:
            self._ready.append(key)
            self._condition.notify()

    def _promote(self) -> float | None:
        """Move what is due to ``_ready``; seconds until the next is."""
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            at, _, key = heapq.heappop(self._later)
            if self._due.get(key) == at:
                del self._due[key]
                self._add(key)
        return self._later[0][0] - now if self._later else None
