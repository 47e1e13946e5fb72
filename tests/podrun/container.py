"""One container as a process: restarted, probed and stopped by the rules of a kubelet."""

import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BACKOFF_SECONDS = 0.1
"""A kubelet's first backoff is 10 s. It doubles with every restart, up to ``LONGEST_BACKOFF``."""
LONGEST_BACKOFF = 2.0
STEADY_SECONDS = 5.0
"""After a run of this many seconds, the backoff starts again at its shortest. A kubelet uses ten minutes."""
PROBE_SECONDS = 0.1
"""Seconds between two probes, whatever the probe's own period."""


@dataclass(frozen=True)
class Recipe:
    """What a container runs, with all values of the pod inserted."""

    name: str
    command: list[str]
    environment: dict[str, str]
    spec: Mapping[str, Any]
    policy: str
    """``Always``, ``OnFailure`` or ``Never``."""
    directory: Path
    local: Callable[[str], str]
    """Maps a text of the container to a text for this host: paths below a mount change."""
    ports: Mapping[int, int] = field(default_factory=dict)
    """Maps a port of the pod to a port of this host."""
    working_directory: Path = Path()
    """The working directory of its processes."""

    def url(self, action: Mapping[str, Any]) -> str:
        """The URL of an ``httpGet``."""
        named = {port.get("name"): port["containerPort"] for port in self.spec.get("ports") or ()}
        port = named.get(action["port"], action["port"])
        return f"http://127.0.0.1:{self.ports.get(port, port)}{action.get('path', '/')}"


class Container:
    """The process of one container."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.name = recipe, recipe.name
        self.log = recipe.directory / f"{recipe.name}.log"
        self.exits: list[int] = []
        """Exit codes of its processes so far, negative for a signal."""
        self.restarts = 0
        self.started = threading.Event()
        """Whether its start-up probe has succeeded. True without such a probe."""
        self.ended = threading.Event()
        """Whether it has ended and is not restarted."""
        self.readiness: list[tuple[float, bool]] = []
        """Each change of its readiness, with its time (``time.monotonic``)."""
        self.hooks: list[str] = []
        """The result of its preStop hook."""
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes]

    @property
    def ready(self) -> bool:
        """Whether its readiness probe succeeds. Without one, whether it runs."""
        return bool(self.readiness) and self.readiness[-1][1]

    def start(self) -> None:
        """Start the process, and threads that restart and probe it."""
        self._spawn()
        threading.Thread(target=self._keep, daemon=True).start()
        threading.Thread(target=self._probe, daemon=True).start()

    def signal(self, number: int) -> None:
        """Send a signal to the first process."""
        self._process.send_signal(number)

    def stop(self, deadline: float, turn: Callable[[float], None]) -> None:
        """Run the preStop hook, wait for ``turn``, send SIGTERM, and SIGKILL at the deadline."""
        hook = ((self.recipe.spec.get("lifecycle") or {}).get("preStop")) or {}
        if hook and not self.ended.is_set():
            self.hooks.append(self._act(hook, max(0.1, deadline - time.monotonic())))
        turn(deadline)
        with self._lock:
            self._stopping.set()
        if not self.ended.is_set() and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        if not self.ended.wait(max(0.0, deadline - time.monotonic())):
            self._process.kill()
            self.ended.wait()

    # -- the process -----------------------------------------------------------------------------

    def _spawn(self) -> None:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.recipe.command,
                env=self.recipe.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.recipe.working_directory,
                start_new_session=True,
            )

    def _keep(self) -> None:
        pause = BACKOFF_SECONDS
        while True:
            start_time = time.monotonic()
            code = self._process.wait()
            self.exits.append(code)
            self._kill_the_rest()
            self._note_ready(False)
            if not self._starts_again(code):
                break
            if time.monotonic() - start_time > STEADY_SECONDS:
                pause = BACKOFF_SECONDS
            self.started.clear()
            if self._stopping.wait(pause):
                break
            pause = min(2 * pause, LONGEST_BACKOFF)
            with self._lock:
                if self._stopping.is_set():
                    break
                self._spawn()
            self.restarts += 1
        self.ended.set()

    def _starts_again(self, code: int) -> bool:
        if self._stopping.is_set():
            return False
        return self.recipe.policy == "Always" or (self.recipe.policy == "OnFailure" and code != 0)

    def _kill_the_rest(self) -> None:
        """A container ends with its first process. Kill all processes that it started."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    # -- probes and hooks ------------------------------------------------------------------------

    def _probe(self) -> None:
        """Run the start-up probe, then the readiness probe, again for each process."""
        startup, readiness = (self.recipe.spec.get(kind) for kind in ("startupProbe", "readinessProbe"))
        while not self.ended.is_set():
            alive = self._process.poll() is None
            if alive and not self.started.is_set() and (startup is None or self._succeeds(startup)):
                self.started.set()
            if self.started.is_set():
                self._note_ready(alive and (readiness is None or self._succeeds(readiness)))
            self.ended.wait(PROBE_SECONDS)

    def _note_ready(self, ready: bool) -> None:
        if ready != self.ready:
            self.readiness.append((time.monotonic(), ready))

    def _succeeds(self, probe: Mapping[str, Any]) -> bool:
        return self._act(probe, probe.get("timeoutSeconds", 1)).startswith("ok")

    def _act(self, action: Mapping[str, Any], timeout: float) -> str:
        """The result of an ``httpGet``, an ``exec`` or a ``sleep``. It starts with "ok" if it succeeded."""
        if "httpGet" in action:
            try:
                with urllib.request.urlopen(self.recipe.url(action["httpGet"]), timeout=timeout) as answer:
                    return f"ok {answer.status}"
            except urllib.error.HTTPError as error:
                return f"HTTP {error.code}"
            except OSError as error:
                return f"failed: {error}"
        if "sleep" in action:
            time.sleep(min(timeout, action["sleep"]["seconds"]))
            return "ok"
        command = [self.recipe.local(part) for part in action["exec"]["command"]]
        try:
            completed = subprocess.run(
                command,
                env=self.recipe.environment,
                cwd=self.recipe.working_directory,
                capture_output=True,
                timeout=timeout,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"failed: {error}"
        return (
            "ok"
            if completed.returncode == 0
            else f"exit {completed.returncode}: {completed.stderr.decode(errors='replace')}"
        )
