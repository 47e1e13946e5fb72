"""Shares new connections evenly between the workers.

All workers wait for connections on the same socket, and the kernel gives a new connection to the worker that asks
first. An API server opens few connections and keeps them. So one worker could get most of them, and its core would do
the work of both. Here each worker writes the number of its connections into memory that all of them share, and a
worker with more than another one lets the other accept first.
"""

import mmap
import time
from collections.abc import Callable

ABSENT = -1
"""Written for a worker that accepts no connections: it is starting, stops, or has died."""
TOLERANCE = 8
"""A worker shares connections if it has one eighth more than another. With fewer than eight, one more is enough."""

LEAVE_SECONDS = 0.01
"""The longest time for which a worker leaves a new connection to another one, which may be busy.

The other one may also wait for a core. A scheduler gives it one after some milliseconds.
"""
STEP_SECONDS = 0.001
"""The worker looks again after this time. Until then it does not poll for connections: the other one gets the core."""
NEXT_SECONDS = 0.02
"""A worker that was not asked to accept for this time is asked for a new connection."""


class Loads:
    """The number of connections of each worker. Create it before the workers are forked."""

    def __init__(self, slots: int) -> None:
        self._memory = mmap.mmap(-1, 8 * slots)  # anonymous and shared: it survives a fork
        self._connections = memoryview(self._memory).cast("q")
        for slot in range(slots):
            self.write(slot, ABSENT)

    def write(self, slot: int, connections: int) -> None:
        """Publish the number of connections of the worker in ``slot``, or :data:`ABSENT`."""
        self._connections[slot] = connections

    def exceeds_another(self, slot: int) -> bool:
        """Whether the worker in ``slot`` has so many connections that another one must accept the next."""
        fewest = self.fewest_of_others(slot)
        return self._connections[slot] - fewest > fewest // TOLERANCE

    def fewest_of_others(self, slot: int) -> int:
        """The fewest connections of another worker; without another one, those of the worker in ``slot``."""
        others = (n for other, n in enumerate(self._connections) if other != slot and n != ABSENT)
        return min(others, default=self._connections[slot])

    def free_slot(self, taken: set[int]) -> int:
        """A slot for a new worker that is not in ``taken``; the last one if there is none."""
        last = len(self._connections) - 1
        return next((slot for slot in range(last) if slot not in taken), last)


class Share:
    """Decides for one worker whether it accepts a new connection now."""

    def __init__(self, loads: Loads, slot: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._loads, self._slot, self._clock = loads, slot, clock
        self._since, self._last, self._fewest = 0.0, float("-inf"), 0

    def publish(self, connections: int) -> None:
        """Publish the worker's number of connections, or :data:`ABSENT`."""
        self._loads.write(self._slot, connections)

    def exceeds_another(self) -> bool:
        """Whether another worker must accept the next connection, if it comes."""
        return self._loads.exceeds_another(self._slot)

    def leaves_to_another(self) -> bool:
        """Whether to leave the waiting connection to a worker with fewer; for :data:`LEAVE_SECONDS` at most.

        The worker asks every :data:`STEP_SECONDS`, for as long as a connection waits. If the worker with the fewest has
        accepted meanwhile, the connection is a new one.
        """
        if not self.exceeds_another():
            self._last = float("-inf")
            return False
        now, fewest = self._clock(), self._loads.fewest_of_others(self._slot)
        if now - self._last > NEXT_SECONDS or fewest > self._fewest:
            self._since = now
        self._last, self._fewest = now, fewest
        return now - self._since < LEAVE_SECONDS
