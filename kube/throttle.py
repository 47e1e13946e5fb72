"""Limits the rate of requests to the API server, and reduces it further while the API server fails.

Each component retries with backoff, but many components together still overload a failing server. All requests of a
client share one throttle. After a failure, it sends :data:`FAILING` requests per second until one succeeds.
"""

import random
import threading
import time

QPS, BURST = 400, 400
"""Default rate: average requests per second, and largest burst."""
FAILING = 1.5
"""Requests per second while the server does not respond or reports an error of its own."""
LONGEST_RETRY_AFTER = 30.0
"""Upper limit of the server's ``Retry-After``, in seconds."""
SUSPECTS = 3
"""If this many different requests fail in a row, the server counts as failing, not the single requests."""


class Throttle:
    """Delays each request as needed. All methods are thread-safe."""

    def __init__(self, normal: float = QPS, burst: float = BURST, failing: float = FAILING) -> None:
        self._normal, self._burst, self._failing = normal, burst, failing
        self._lock = threading.Lock()
        self._tokens, self._filled = burst, time.monotonic()
        self._healthy = threading.Event()
        self._healthy.set()
        self._next = 0.0
        self._suspects: set[str] = set()

    def wait(self, patience: float) -> bool:
        """Wait until the request may be sent. Return False at once if that takes more than ``patience`` seconds."""
        pause = self._reserve(patience)
        if pause is None:
            return False
        if pause and self._healthy.is_set():
            time.sleep(pause)
        elif pause:
            self._healthy.wait(pause)  # the success of another request ends the wait
        return True

    def succeeded(self) -> None:
        """Record that the server handled a request."""
        self._healthy.set()
        self._suspects = set()

    def failed(self, retry_after: float | None = None, about: str = "") -> None:
        """Record that the server did not respond, or that it reported an error of its own.

        Args:
            retry_after: the seconds in the response's ``Retry-After``.
            about: the requested path, if the failure may concern only this path. The server then counts as failing
                after :data:`SUSPECTS` different paths have failed without a success.
        """
        with self._lock:
            if about:
                self._suspects.add(about)
                if len(self._suspects) < SUSPECTS:
                    return
            now = time.monotonic()
            if self._healthy.is_set():
                self._healthy.clear()
                self._next = now + random.uniform(0.5, 1.5) / self._failing
            if retry_after is not None:
                self._next = max(self._next, now + min(retry_after, LONGEST_RETRY_AFTER) * random.uniform(1.0, 1.2))

    def _reserve(self, patience: float) -> float | None:
        """Reserve the next slot for a request. Return the seconds until then, or None if they exceed ``patience``."""
        with self._lock:
            now = time.monotonic()
            if not self._healthy.is_set():
                slot = max(self._next, now)
                if slot - now > patience:
                    return None
                self._next = slot + 1 / self._failing
                return slot - now
            self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._normal)
            self._filled = now
            self._tokens -= 1
            return max(0.0, -self._tokens / self._normal)
