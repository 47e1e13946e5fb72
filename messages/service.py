"""The program in the short-lived pod: reads the request from mounted files, and prints each event as a sealed line."""

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
"""Seconds between two ``beat`` events."""
PATIENCE_SECONDS = 5.0
"""How long to retry a broker that does not answer."""


def read_request(directory: Path) -> tuple[Request, str]:
    """The request and its key, from the files ``part-*`` in the order of their names."""
    text = b"".join(file.read_bytes() for file in sorted(directory.glob("part-*")))
    data = json.loads(text)
    return Request.from_json(data["request"]), str(data["key"])


def serve(directory: Path, env: Mapping[str, str] = os.environ) -> None:
    """Run the request in ``directory``. SIGTERM and SIGINT end it early, after the message in hand."""
    is_stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_stopping
        is_stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    request, key = read_request(directory)
    emit = _printer(Sealer(key))
    try:
        broker = _patiently(lambda: connect(env))
        try:
            for event in run(broker, request, lambda: is_stopping):
                emit(event)
        finally:
            broker.close()
    except BrokerError as error:
        emit({"kind": "error", "problem": error.problem, "message": error.message})
    emit(END)


def _printer(sealer: Sealer) -> Callable[[Event], None]:
    """A function that prints events. A thread prints ``beat`` events, so the reader notices a broken connection."""
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
    """Connect, and retry for PATIENCE_SECONDS: a service mesh may block the first connections of a new pod.

    Raises:
        BrokerError: if the broker refuses, or still does not answer.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return connect_once()
        except BrokerError as error:
            if error.problem != "Unreachable" or time.monotonic() > until:
                raise
        time.sleep(0.5)
