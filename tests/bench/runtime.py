"""How many messages a second the runtime script answers on one core, and whether its memory stays flat."""

import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from runtime import SCRIPT
from tests.harness.clusters import wait_for

RUNS, MESSAGES = 5, 20_000
PAYLOAD = {"text": "x" * 1000}


def run() -> dict[str, Any]:
    """Median, least and most messages a second of five runs, and resident MB after the first and the last."""
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
                memory.append(_resident(script.pid))
        finally:
            script.kill()
            script.wait()
    return {
        "messages_per_second": round(statistics.median(rates)),
        "least": round(min(rates)),
        "most": round(max(rates)),
        "messages": RUNS * MESSAGES,
        "resident_mb_first": memory[0],
        "resident_mb_last": memory[-1],
    }


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


def _resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return round(int(status.split("VmRSS:")[1].split()[0]) / 1024, 1)


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
