"""The end of a pod's last runtime for its sidecar, and the end of a stream."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime import SCRIPT
from tests.harness.clusters import free_port, wait_for
from tests.podrun.invoke import Client, StreamedError

HANDLERS = """
def parts(payload):
    yield from ({"part": n} for n in range(payload["parts"]))
    if payload["fails"]:
        raise ValueError("no good")

def echo(payload):
    return payload
"""
MESSAGE = {"id": "1", "route": {"actors": ["a"], "current": 0}, "payload": 1}


@contextmanager
def process(directory: Path, *arguments: str, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The script, with a short time for the sidecar's SIGTERM."""
    script = directory / "asya_runtime.py"
    script.write_text(SCRIPT.read_text().replace("LAST_SECONDS = 10.0", "LAST_SECONDS = 0.5"))
    (directory / "handlers.py").write_text(HANDLERS)
    env = {"ASYA_SOCKET_PATH": str(directory / "asya-runtime.sock"), "PYTHONPATH": str(directory), **environment}
    with (directory / f"log{len(arguments)}").open("wb") as log:
        started = subprocess.Popen([sys.executable, str(script), *arguments], env={**os.environ, **env}, stderr=log)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def client(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(3)
    made.connect(str(path))
    return made


def hung_up(connection: socket.socket) -> bool:
    """Whether the other end closes the connection without sending a byte."""
    try:
        return connection.recv(4) == b""
    except ConnectionResetError:
        return True


def test_a_waiting_frame_is_refused_when_no_further_runtime_comes(tmp_path: Path) -> None:
    holder, port = str(tmp_path / "holder.sock"), str(free_port())
    data = json.dumps(MESSAGE).encode()
    frame = struct.pack(">I", len(data)) + data
    with process(tmp_path, "hold", ASYA_SOCKET_HOLDER=holder):
        wait_for("the holder", Path(holder).exists)
        job = {"ASYA_JOB_MESSAGES": "1", "ASYA_SOCKET_HOLDER": holder, "ASYA_RUNTIME_PORT": port}
        with process(tmp_path, ASYA_HANDLER="handlers.echo", **job) as runtime:
            with client(tmp_path / "asya-runtime.sock") as first:
                first.sendall(frame)
                assert first.recv(4)
            with client(tmp_path / "asya-runtime.sock") as second:
                second.sendall(frame)
                assert runtime.wait(10) == 0
                assert hung_up(second)


def test_a_waiting_frame_is_kept_for_the_next_runtime(tmp_path: Path) -> None:
    holder, port = str(tmp_path / "holder.sock"), str(free_port())
    data = json.dumps(MESSAGE).encode()
    frame = struct.pack(">I", len(data)) + data
    common = {"ASYA_SOCKET_HOLDER": holder, "ASYA_RUNTIME_PORT": port, "ASYA_HANDLER": "handlers.echo"}
    with process(tmp_path, "hold", ASYA_SOCKET_HOLDER=holder):
        wait_for("the holder", Path(holder).exists)
        with process(tmp_path, **common) as runtime:
            with client(tmp_path / "asya-runtime.sock") as first:
                first.sendall(frame)
                assert first.recv(4)
            runtime.send_signal(signal.SIGTERM)
            assert runtime.wait(10) == 0
        with client(tmp_path / "asya-runtime.sock") as second:
            second.sendall(frame)
            second.settimeout(1)
            with pytest.raises(TimeoutError):
                second.recv(4)
            second.settimeout(5)
            with process(tmp_path, **common):
                assert second.recv(4)


@pytest.mark.parametrize("fails", [False, True])
def test_a_sidecar_that_closes_after_the_last_event_is_not_logged(tmp_path: Path, fails: bool) -> None:
    route = {"prev": [], "curr": "a", "next": []}
    message = {"id": "1", "route": route, "payload": {"parts": 2, "fails": fails}}
    with process(tmp_path, ASYA_HANDLER="handlers.parts"):
        wait_for("the script", (tmp_path / "runtime-ready").exists)
        client = Client(str(tmp_path / "asya-runtime.sock"), lambda _event: None)
        for _ in range(50):
            if fails:
                with pytest.raises(StreamedError):
                    list(client.invoke(json.dumps(message).encode(), 5))
            else:
                assert len(list(client.invoke(json.dumps(message).encode(), 5))) == 2
        wait_for("the log", lambda: "listens" in (tmp_path / "log0").read_text())
        assert "went away" not in (tmp_path / "log0").read_text()
