"""Monitors watches: restarts a watch whose thread hangs, and reports a watch that stays silent.

A working informer acts at least once a minute: it reads a bookmark, gives up on a silent connection, or connects.
An informer that does nothing for longer hangs where no timeout applies, for example in the resolver or in a handler.
If only the API server is silent, the informer continues to retry, and only the readiness check reports it.
"""

import threading
import time
from collections.abc import Callable, Iterable

from kube.informer import Informer
from kube.reflector import SILENT_SECONDS
from telemetry import threads
from telemetry.logs import log
from telemetry.metrics.shared import WATCH_RESTARTS, WATCH_SILENCE

CHECK_SECONDS = 5.0
"""Interval of the checks."""
SILENCE_SECONDS = SILENT_SECONDS + 45.0
"""After this time without data from the API server, a cache may be stale."""
STALLED_SECONDS = SILENT_SECONDS + 45.0
"""A watch without any attempt for this time hangs."""
DEAD_RESTARTS = 2
"""After this many restarts in a row, a watch that hangs counts as dead: only a new process helps."""


class Watchdog:
    """Monitors the informers that ``informers`` returns. Calls ``on_dead`` with a message about dead watches."""

    def __init__(
        self, informers: Callable[[], Iterable[Informer]], on_dead: Callable[[str], None] = lambda why: None
    ) -> None:
        self._informers, self._on_dead = informers, on_dead
        self._restarts: dict[Informer, int] = {}
        self._last_check = time.monotonic()
        self._stop = threading.Event()

    def start(self) -> None:
        """Start the checks on a separate thread."""
        threads.start("watchdog", self._run)

    def stop(self) -> None:
        """Stop the checks."""
        self._stop.set()

    def silent_watches(self) -> str:
        """Return a message about watches that are silent for long, for a readiness check. Empty if there are none."""
        now = time.monotonic()
        ages = {repr(i.resource): now - i.last_contact for i in self._informers()}
        silent = [f"{name} for {age:.0f} s" for name, age in sorted(ages.items()) if age > SILENCE_SECONDS]
        return f"no data from the API server about {', '.join(silent)}" if silent else ""

    def dead_watches(self) -> str:
        """Return a message about dead watches, for a liveness check. Empty if no restart of the process is needed."""
        hanging = sorted(repr(i.resource) for i in self._informers() if self._restarts.get(i, 0) > DEAD_RESTARTS)
        if hanging:
            return f"watches hang even after {DEAD_RESTARTS} restarts: {', '.join(hanging)}"
        age = time.monotonic() - self._last_check
        return f"the watchdog has not run for {age:.0f} s" if age > STALLED_SECONDS else ""

    def check(self) -> None:
        """Restart the watches that hang."""
        self._last_check = now = time.monotonic()
        for informer in self._informers():
            resource = repr(informer.resource)
            WATCH_RESTARTS.labels(resource)  # creates the series at 0, so that the first restart shows as an increase
            WATCH_SILENCE.labels(resource).set(now - informer.last_contact)
            if now - informer.last_attempt <= STALLED_SECONDS:
                self._restarts.pop(informer, None)
                continue
            restarts = self._restarts[informer] = self._restarts.get(informer, 0) + 1
            seconds = round(now - informer.last_attempt)
            log.warning("watch_stalled", resource=resource, seconds=seconds, restarts=restarts)
            WATCH_RESTARTS.labels(resource).inc()
            if restarts > DEAD_RESTARTS:
                self._on_dead(self.dead_watches())
            else:
                informer.restart()

    def _run(self) -> None:
        while not self._stop.wait(CHECK_SECONDS):
            self.check()
