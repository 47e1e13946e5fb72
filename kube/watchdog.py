"""Looks after watches: one whose thread hangs is started anew, and one that stays silent is reported.

An informer that is alive does something every minute or so: it reads a bookmark, gives up on a silent
connection, tries to connect. One that does nothing for longer hangs where no time limit reaches, in the
resolver say, or in a handler. Silence of the API server is another thing: then the informer goes on
trying, and only readiness says so.
"""

import threading
import time
from collections.abc import Callable, Iterable

import structlog

from kube.informer import Informer
from kube.reflector import SILENT_SECONDS
from telemetry import threads
from telemetry.metrics.shared import WATCH_RESTARTS, WATCH_SILENCE

log = structlog.get_logger(__name__)

CHECK_SECONDS = 5.0
SILENCE_SECONDS = SILENT_SECONDS + 45.0
"""Without a word from the API server for so long, a cache may be behind."""
STALLED_SECONDS = SILENT_SECONDS + 45.0
"""A watch that has tried nothing for so long hangs."""
DEAD_RESTARTS = 2
"""A watch that was started anew so often in a row, and hangs again, is beyond help within this process."""


class Watchdog:
    """Watches over the informers that ``informers`` returns; ``on_dead`` is called with what is beyond help."""

    def __init__(
        self, informers: Callable[[], Iterable[Informer]], on_dead: Callable[[str], None] = lambda why: None
    ) -> None:
        self._informers, self._on_dead = informers, on_dead
        self._restarts: dict[Informer, int] = {}
        self._looked = time.monotonic()
        self._stop = threading.Event()

    def start(self) -> None:
        """Start to look, on a thread of its own."""
        threads.start("watchdog", self._run)

    def stop(self) -> None:
        """Stop."""
        self._stop.set()

    def silent_watches(self) -> str:
        """Which caches have had no word from the API server for long, for a readiness check; empty if none."""
        now = time.monotonic()
        quiet = {repr(i.resource): now - i.last_contact for i in self._informers()}
        silent = [f"{name} for {age:.0f} s" for name, age in sorted(quiet.items()) if age > SILENCE_SECONDS]
        return f"no word from the API server about {', '.join(silent)}" if silent else ""

    def dead_watches(self) -> str:
        """What a restart of the process would help, for a liveness check; empty if nothing."""
        hanging = sorted(repr(i.resource) for i in self._informers() if self._restarts.get(i, 0) > DEAD_RESTARTS)
        if hanging:
            return f"watches that hang although they were started anew: {', '.join(hanging)}"
        age = time.monotonic() - self._looked
        return f"the watchdog has not looked for {age:.0f} s" if age > STALLED_SECONDS else ""

    def check(self) -> None:
        """Start anew what hangs."""
        self._looked = now = time.monotonic()
        for informer in self._informers():
            resource = repr(informer.resource)
            WATCH_RESTARTS.labels(resource)  # a series from 0, so that the first restart is an increase
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
