"""What runs in the short-lived pod: reads the request from mounted files, and prints each event as a sealed line."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from messages.actions import run
from messages.broker import Broker, BrokerError
from messages.connection import connect
from messages.requests import Request
from messages.sealed import Sealer

Event = dict[str, Any]
END: Event = {"kind": "end"}
BEAT_SECONDS = 10.0
PATIENCE_SECONDS = 5.0


def read_request(directory: Path) -> tuple[Request, str]:
    """The request and its key, from files whose names sort in the order of their parts."""
    text = b"".join(file.read_bytes() for file in sorted(directory.glob("part-*")))
    data = json.loads(text)
    return Request.from_json(data["request"]), str(data["key"])


def serve(directory: Path, env: Mapping[str, str] = os.environ) -> None:
    """Do what the request in ``directory`` asks for; SIGTERM and SIGINT end it early, and whole."""
    stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    request, key = read_request(directory)
    emit = _printer(Sealer(key))
    try:
        broker = _patiently(lambda: connect(env))
        try:
            for event in run(broker, request, lambda: stopping):
                emit(event)
        finally:
            broker.close()
    except BrokerError as error:
        emit({"kind": "error", "problem": error.problem, "message": error.message})
    emit(END)


def _printer(sealer: Sealer) -> Callable[[Event], None]:
    """Prints events, and a sign of life between them, so that whoever reads knows a silent pod from a lost line."""
    lock = threading.Lock()

    def emit(event: Event) -> None:
        with lock:
            sys.stdout.write(sealer.seal(event) + "\n")
            sys.stdout.flush()

    def beat() -> None:
        while True:
            time.sleep(BEAT_SECONDS)
            emit({"kind": "beat"})

    threading.Thread(target=beat, daemon=True).start()
    return emit


def _patiently(connect_once: Callable[[], Broker]) -> Broker:
    """Connect; a broker that does not answer is tried for some seconds, since a mesh may let a new pod wait."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return connect_once()
        except BrokerError as error:
            if error.problem != "Unreachable" or time.monotonic() > until:
                raise
        time.sleep(0.5)
