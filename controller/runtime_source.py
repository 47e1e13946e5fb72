"""Where the runtime script comes from.

A script that is too large for a ConfigMap or is not Python is refused, and the last good one stays.
"""

import ast
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from telemetry.metrics import RUNTIME_LOADS

log = structlog.get_logger(__name__)

MAX_BYTES = 1024 * 1024
"""What a ConfigMap holds: https://kubernetes.io/docs/concepts/configuration/configmap/"""


class BadScript(ValueError):
    """A script that cannot be used; the message says why and what to do."""


def check(data: bytes, origin: str) -> str:
    """The script in ``data``, read from ``origin``.

    Raises:
        BadScript: if it is too large, not text, or not Python.
    """
    if len(data) > MAX_BYTES - 4096:
        raise BadScript(f"{origin}: has {len(data)} bytes, which is more than a ConfigMap holds (1 MiB)")
    try:
        text = data.decode()
        ast.parse(text)
    except (UnicodeDecodeError, SyntaxError, ValueError) as error:
        raise BadScript(f"{origin}: is not valid Python: {error}") from None
    return text


class LocalSource:
    """A file, looked at every ``interval`` seconds; ``on_change`` is called after each change."""

    def __init__(self, path: Path, on_change: Callable[[], None], interval: float = 1.0) -> None:
        self._path, self._on_change, self._interval = path, on_change, interval
        self._stop = threading.Event()
        self._seen: bytes | None = None
        self.script: str | None = None
        """The last good script."""
        self.problem = ""
        """Why the latest one was refused, or an empty string."""

    def start(self) -> None:
        """Load the script, and go on looking at the file on a thread."""
        self.load()
        threading.Thread(target=self._watch, name="runtime-source", daemon=True).start()

    def stop(self) -> None:
        """Stop looking."""
        self._stop.set()

    def load(self) -> bool:
        """Read the file; whether anything changed."""
        try:
            data = self._path.read_bytes()
        except OSError as error:
            return self._refuse(f"{self._path}: cannot be read: {error.strerror}")
        if data == self._seen:
            return False
        self._seen = data
        try:
            self.script = check(data, str(self._path))
        except BadScript as bad:
            return self._refuse(str(bad))
        self.problem = ""
        RUNTIME_LOADS.labels("success").inc()
        log.info("runtime_loaded", path=str(self._path), bytes=len(data))
        return True

    def _refuse(self, problem: str) -> bool:
        changed = problem != self.problem
        if changed:
            self.problem = problem
            RUNTIME_LOADS.labels("failure").inc()
            log.warning("runtime_refused", problem=problem)
        return changed

    def _watch(self) -> None:
        while not self._stop.wait(self._interval):
            if self.load():
                self._on_change()
