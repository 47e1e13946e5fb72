"""A sidecar for tests: moves messages between RabbitMQ or SQS and the runtime's socket.

Its argument selects one of the released generations. It does what that generation does, including its faults. It uses
its environment and the contract of the socket, and shares no code with the operator.
"""

import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

from tests.podrun.envelopes import Envelopes
from tests.podrun.frames import Frames
from tests.podrun.settings import MissingSetting, Settings, read
from tests.podrun.transports import Disconnected, Received, SendFailed, Transport, open_transport

POLL_SECONDS = 0.5
FAILED_SECONDS = 0.5
"""Seconds before a message that could not be sent on is delivered again."""


class Handler(Protocol):
    """Handles messages."""

    exits_at_once: bool
    cancelled: bool

    def handle(self, received: Received) -> None:
        """Send one message to the runtime, send on the results, and acknowledge."""


def log(text: str) -> None:
    """Print a line on standard error."""
    print(f"sidecar: {text}", file=sys.stderr, flush=True)


def serve_health(address: tuple[str, int]) -> None:
    """Serve ``/health`` and ``/metrics``. If the port is taken, only log it."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = {"/health": b"OK", "/metrics": b"asya_actor_active_messages 0\n"}.get(self.path)
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    try:
        server = ThreadingHTTPServer(address, Answers)
    except OSError as error:
        log(f"metrics server: {error}")
        return
    threading.Thread(target=server.serve_forever, daemon=True).start()


def wait_for_runtime(settings: Settings) -> None:
    """Wait for the ready file, then open a connection and close it without sending a byte.

    Raises:
        TimeoutError: if the runtime is not ready in time.
    """
    deadline = time.monotonic() + settings.ready_timeout
    while time.monotonic() < deadline:
        if (Path(settings.directory) / "runtime-ready").exists():
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(settings.socket)
                return
            except OSError as error:
                log(f"the runtime's socket: {error}")
        time.sleep(POLL_SECONDS)
    raise TimeoutError("the runtime did not become ready in time")


class Stopping:
    """Handles SIGTERM: the http generation ends at once, the others wait for the runtime's answer."""

    def __init__(self) -> None:
        self.handler: Handler | None = None
        """Set while the sidecar handles a message."""
        # A thread waits for the signal. Python runs a signal handler only after the main thread returns from a system
        # call. So a handler would see a signal too late if it arrives just before the main thread waits for the
        # runtime.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        signal.sigwait([signal.SIGTERM])
        if self.handler is None or self.handler.exits_at_once:
            os._exit(0)
        self.handler.cancelled = True


def run(generation: str) -> None:
    """Handle messages until SIGTERM."""
    stopping = Stopping()
    settings = read(generation, os.environ)
    kind = Envelopes if generation == "http" else Frames
    queue = settings.queue(settings.actor)
    transport: Transport = open_transport(
        os.environ,
        queue,
        settings.actor if kind is Envelopes else queue.removeprefix("asya-"),
        log,
        declares=kind.declares,
        reconnects=kind.reconnects,
    )
    handler: Handler = Envelopes(settings, transport, log) if kind is Envelopes else Frames(settings, transport)
    serve_health(settings.metrics)
    wait_for_runtime(settings)
    while True:
        received = transport.consume()
        if received is None:
            continue
        stopping.handler = handler
        try:
            handler.handle(received)
        except SendFailed as error:
            log(f"not sent, the message comes again: {error}")
            time.sleep(FAILED_SECONDS)
            transport.requeue(received)
        stopping.handler = None
        if handler.cancelled:
            return


def main() -> None:
    """Run the sidecar. It exits with 1 in the same cases as released ones."""
    try:
        run(sys.argv[1])
    except (MissingSetting, Disconnected, TimeoutError) as error:
        log(str(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
