"""How many messages per second the runtime script answers on one core, by protocol, and whether its memory grows."""

import json
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from runtime import SCRIPT
from tests.bench.measure import RUNS, Result, cpu_seconds, median, resident
from tests.harness.clusters import wait_for

MESSAGES = 20_000
MICROSECONDS = {"frames": 200, "http": 250}
FLAT = 1.05
"""At least 5,000 messages per second by frames and 4,000 by HTTP, and memory that does not grow."""
HOLDER_MEGABYTES = 16
"""The memory request of the socket holder."""
PAYLOAD = {"text": "x" * 1000}


def run() -> list[Result]:
    """Messages per second, resident MB after the last run compared with the first, and the holder's memory."""
    return [*_measure("frames"), *_measure("http"), _holder()]


def _measure(protocol: str) -> list[Result]:
    with TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "handlers.py").write_text("def echo(payload):\n    return payload\n")
        path = directory / "asya-runtime.sock"
        script = subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            cwd=directory,
            env={"ASYA_HANDLER": "handlers.echo", "ASYA_SOCKET_PATH": str(path)},
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for("the script", (directory / "runtime-ready").exists)
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(script.pid, cores[:1])
            os.sched_setaffinity(0, cores[1:] or cores)
            _send(path, protocol, 2000)
            rates, used, memory = [], [], []
            for _ in range(RUNS):
                began, worked = time.perf_counter(), cpu_seconds([script.pid])
                _send(path, protocol, MESSAGES)
                rates.append(MESSAGES / (time.perf_counter() - began))
                used.append((cpu_seconds([script.pid]) - worked) / MESSAGES)
                memory.append(resident(script.pid))
        finally:
            script.kill()
            script.wait()
            os.sched_setaffinity(0, cores)
    limit = MICROSECONDS[protocol]
    return [
        Result("runtime", f"microseconds a message of 1 kB, {protocol}", 1e6 / median(rates), "µs", limit=limit),
        Result("runtime", f"of which the script's processor time, {protocol}", 1e6 * median(used), "µs"),
        Result(
            "runtime",
            f"resident after {RUNS * MESSAGES} messages, {protocol}",
            memory[-1],
            "MB",
            memory[0],
            "after a fifth of them",
            FLAT,
            "ratio",
        ),
    ]


def _holder() -> Result:
    with TemporaryDirectory() as name:
        holder = subprocess.Popen(
            [sys.executable, str(SCRIPT), "hold"], env={"ASYA_SOCKET_DIR": name}, stderr=subprocess.DEVNULL
        )
        try:
            wait_for("the holder", (Path(name) / "asya-holder.sock").exists)
            return Result("runtime", "resident, socket holder", resident(holder.pid), "MB", limit=HOLDER_MEGABYTES)
        finally:
            holder.kill()
            holder.wait()


def _request(protocol: str) -> bytes:
    route: dict[str, Any] = {"actors": ["a"], "current": 0}
    if protocol == "http":
        route = {"prev": [], "curr": "a", "next": []}
    message = json.dumps({"id": "1", "route": route, "payload": PAYLOAD}).encode()
    if protocol == "frames":
        return struct.pack(">I", len(message)) + message
    head = "POST /invoke HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n"
    return (head % len(message)).encode() + message


def _send(path: Path, protocol: str, count: int) -> None:
    request = _request(protocol)
    for _ in range(count):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(request)
            answer = b""
            while part := client.recv(1 << 16):
                answer += part
        if protocol == "frames":
            results = orjson.loads(answer[4:])
        else:
            results = orjson.loads(answer.partition(b"\r\n\r\n")[2])["frames"]
        if results[0]["payload"] != PAYLOAD:
            raise AssertionError(answer)
