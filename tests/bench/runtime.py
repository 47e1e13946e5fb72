"""How many messages a second the runtime script answers on one core, and whether its memory stays flat."""

import json
import os
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson

from runtime import SCRIPT
from tests.bench.measure import RUNS, Result, median, resident
from tests.harness.clusters import wait_for

MESSAGES = 20_000
MICROSECONDS, FLAT = 200, 1.05
"""5,000 messages a second, and memory that does not grow."""
PAYLOAD = {"text": "x" * 1000}


def run() -> list[Result]:
    """Messages a second, and resident MB after the last run against those after the first."""
    with TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "handlers.py").write_text("def echo(payload):\n    return payload\n")
        path = directory / "asya-runtime.sock"
        script = subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            env={"ASYA_HANDLER": "handlers.echo", "ASYA_SOCKET_PATH": str(path), "PYTHONPATH": name},
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for("the script", (directory / "runtime-ready").exists)
            cores = sorted(os.sched_getaffinity(0))
            os.sched_setaffinity(script.pid, cores[:1])
            os.sched_setaffinity(0, cores[1:] or cores)
            _send(path, 2000)
            rates, memory = [], []
            for _ in range(RUNS):
                began = time.perf_counter()
                _send(path, MESSAGES)
                rates.append(MESSAGES / (time.perf_counter() - began))
                memory.append(resident(script.pid))
        finally:
            script.kill()
            script.wait()
    return [
        Result("runtime", "microseconds a message of 1 kB", 1e6 / median(rates), "µs", limit=MICROSECONDS),
        Result(
            "runtime",
            f"resident after {RUNS * MESSAGES} messages",
            memory[-1],
            "MB",
            memory[0],
            "after a fifth of them",
            FLAT,
            "ratio",
        ),
    ]


def _send(path: Path, count: int) -> None:
    message = json.dumps({"id": "1", "route": {"actors": ["a"], "current": 0}, "payload": PAYLOAD}).encode()
    frame = struct.pack(">I", len(message)) + message
    for _ in range(count):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(frame)
            answer = b""
            while part := client.recv(1 << 16):
                answer += part
        if orjson.loads(answer[4:])[0]["payload"] != PAYLOAD:
            raise AssertionError(answer)
