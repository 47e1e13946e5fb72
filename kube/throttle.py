"""Spares the API server: a limit on requests, and a much lower one for as long as it fails.

Everything that retries does so on its own, with backoff; but many such, each patient, are together a
storm. Here all requests of a client meet: after a failure they go out one by one, at :data:`FAILING`
a second, until one succeeds, and then all at once again.
"""

import random
import threading
import time

QPS, BURST = 400, 400
"""Requests a second on average, and at once, unless a setting says otherwise."""
FAILING = 1.5
"""Requests a second while there is no answer, or one that says that the server is not well."""
LONGEST_RETRY_AFTER = 30.0
SUSPECTS = 3
"""Different requests that fail in a row before the fault is the server's and not theirs."""


class Throttle:
    """Tells each request how long to wait. Safe to share between threads."""

    def __init__(self, normal: float = QPS, burst: float = BURST, failing: float = FAILING) -> None:
        self._normal, self._burst, self._failing = normal, burst, failing
        self._lock = threading.Lock()
        self._tokens, self._filled = burst, time.monotonic()
        self._well = threading.Event()
        self._well.set()
        self._next = 0.0
        self._suspects: set[str] = set()

    def wait(self, patience: float) -> bool:
        """Wait for this request's turn; False, at once, if that is more than ``patience`` seconds away."""
        pause = self._reserve(patience)
        if pause is None:
            return False
        if pause and self._well.is_set():
            time.sleep(pause)
        elif pause:
            self._well.wait(pause)  # the success of another ends it
        return True

    def succeeded(self) -> None:
        """The server has answered well."""
        self._well.set()
        self._suspects = set()

    def failed(self, retry_after: float | None = None, about: str = "") -> None:
        """The server has not answered, or has said that it is not well, for so many seconds perhaps.

        ``about`` names what was asked for, where the failure may be of that alone: then it is the server's once
        :data:`SUSPECTS` have failed so without one success.
        """
        with self._lock:
            if about:
                self._suspects.add(about)
                if len(self._suspects) < SUSPECTS:
                    return
            now = time.monotonic()
            if self._well.is_set():
                self._well.clear()
                self._next = now + random.uniform(0.5, 1.5) / self._failing
            if retry_after is not None:
                self._next = max(self._next, now + min(retry_after, LONGEST_RETRY_AFTER) * random.uniform(1.0, 1.2))

    def _reserve(self, patience: float) -> float | None:
        with self._lock:
            now = time.monotonic()
            if not self._well.is_set():
                at = max(self._next, now)
                if at - now > patience:
                    return None
                self._next = at + 1 / self._failing
                return at - now
            self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._normal)
            self._filled = now
            self._tokens -= 1
            return max(0.0, -self._tokens / self._normal)
