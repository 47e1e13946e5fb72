"""The runtime script as a process, over its socket."""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import SCRIPT
from tests.harness.clusters import wait_for

HANDLERS = """
class Counter:
    def __init__(self):
        self.n = 0
    def count(self, payload):
        self.n += 1
        return {"n": self.n}

def echo(payload): return payload
def none(payload): return None
def many(payload): return [1, 2]
def gen(payload):
    yield 1
    yield 2
async def later(payload): return {"later": payload}
def fail(payload): raise ValueError("no good")
def leave(payload): raise SystemExit(3)
def nan(payload): return float("nan")
def unserialisable(payload): return object()
def interrupted(payload): raise KeyboardInterrupt
def slow(payload):
    import time
    time.sleep(0.5)
    return payload
def wait(payload):
    import time
    time.sleep(payload)
    return payload
async def wait_async(payload):
    import asyncio
    await asyncio.sleep(payload)
    return payload
def envelope(message): return {**message, "payload": "changed"}
"""
ROUTE = {"actors": ["a", "b"], "current": 0}


def interpreters() -> list[str]:
    """Every Python at hand that the script is meant for, the oldest first."""
    found = {}
    for folder in [*os.get_exec_path(), *map(str, Path.home().glob(".pyenv/versions/*/bin"))]:
        for path in Path(folder).glob("python3.[0-9]*"):
            minor = path.name.removeprefix("python3.")
            if minor.isdecimal() and int(minor) >= 7 and os.access(path, os.X_OK):
                found[int(minor)] = str(path)
    return [found[minor] for minor in sorted(found)] or [sys.executable]


class Script:
    """The script with one handler."""

    def __init__(
        self, directory: Path, handler: str, python: str = sys.executable, script: Path = SCRIPT, **environment: str
    ) -> None:
        (directory / "handlers.py").write_text(HANDLERS)
        self.path = directory / "app.sock"
        env = {"ASYA_HANDLER": handler, "ASYA_SOCKET_PATH": str(self.path), "PYTHONPATH": str(directory)}
        self.process = subprocess.Popen(
            [python, str(script)], env={**os.environ, **env, **environment}, stderr=subprocess.PIPE
        )
        wait_for("the script", (directory / "runtime-ready").exists)

    def send(self, data: bytes) -> Any:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(self.path))
            client.sendall(struct.pack(">I", len(data)) + data)
            stream = client.makefile("rb")
            (size,) = struct.unpack(">I", stream.read(4))
            return json.loads(stream.read(size))

    def call(self, payload: Any, **more: Any) -> Any:
        message = {"id": "1", "route": ROUTE, "headers": {"h": 1}, "payload": payload, **more}
        return self.send(json.dumps(message).encode())

    def abandon(self, payload: Any) -> None:
        """Send a message and hang up, as a sidecar does whose timeout has passed."""
        data = json.dumps({"payload": payload}).encode()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.path))
            client.sendall(struct.pack(">I", len(data)) + data)
            time.sleep(0.2)  # until the handler has it

    def raw(self, data: bytes) -> bytes:
        """Send bytes as they are, hang up, and read what comes."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(self.path))
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            answer = b""
            try:
                while part := client.recv(65536):
                    answer += part
            except ConnectionResetError:
                pass  # it had not read all that we sent; what it answered came first
            return answer

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(5)


@pytest.fixture
def scripts(tmp_path: Path) -> Iterator[Any]:
    started: list[Script] = []

    def start(handler: str, **more: Any) -> Script:
        started.append(Script(tmp_path, handler, **more))
        return started[-1]

    yield start
    for script in started:
        script.process.kill()
        script.process.communicate()


@pytest.mark.parametrize(
    ("handler", "payloads"),
    [
        ("handlers.echo", [{"x": "é"}]),
        ("handlers.none", []),
        ("handlers.many", [1, 2]),
        ("handlers.gen", [1, 2]),
        ("handlers.later", [{"later": {"x": "é"}}]),
        ("handlers.Counter.count", [{"n": 1}]),
    ],
)
def test_payload_mode(scripts: Any, handler: str, payloads: list[Any]) -> None:
    onward = {"actors": ["a", "b"], "current": 1}
    assert scripts(handler).call({"x": "é"}) == [{"payload": p, "route": onward, "headers": {"h": 1}} for p in payloads]


@pytest.mark.parametrize("python", interpreters(), ids=lambda p: Path(p).name)
def test_every_python_at_hand(tmp_path: Path, python: str) -> None:
    if subprocess.run([python, "-c", "pass"], check=False, capture_output=True).returncode:
        pytest.skip("a shim without a version behind it")
    for handler in ("handlers.later", "handlers.Counter.count", "handlers.fail"):
        script = Script(tmp_path, handler, python)
        (answer,) = script.call({"x": 1})
        assert ("payload" in answer) == (handler != "handlers.fail")
        assert script.stop() == 0
        script.process.communicate()


def test_a_class_is_instantiated_once(scripts: Any) -> None:
    script = scripts("handlers.Counter.count")
    assert [script.call(None)[0]["payload"]["n"] for _ in range(3)] == [1, 2, 3]


def test_envelope_mode(scripts: Any) -> None:
    script = scripts("handlers.envelope", ASYA_HANDLER_MODE="envelope")
    assert script.call("x") == [{"id": "1", "route": ROUTE, "headers": {"h": 1}, "payload": "changed"}]


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        ("handlers.fail", "ValueError"),
        ("handlers.leave", "SystemExit"),
        ("handlers.interrupted", "KeyboardInterrupt"),
    ],
)
def test_a_handlers_fault_is_an_answer_and_the_next_message_is_served(scripts: Any, handler: str, kind: str) -> None:
    script = scripts(handler)
    for _ in range(2):
        (answer,) = script.call("x")
        assert answer["error"] == "processing_error"
        assert answer["details"]["type"] == kind
        assert "handlers.py" in answer["details"]["traceback"]


def test_bad_messages_are_answered(scripts: Any) -> None:
    script = scripts("handlers.echo", ASYA_SOCKET_MAX_SIZE="1000")
    assert script.send(b"\xff{")[0]["error"] == "msg_parsing_error"
    assert script.send(b"[]")[0]["error"] == "msg_parsing_error"
    assert script.send(b'"' + b"x" * 2000 + b'"')[0]["error"] == "connection_error"
    assert script.call("still there")[0]["payload"] == "still there"


def test_the_link_the_mode_and_the_clean_up(scripts: Any, tmp_path: Path) -> None:
    script = scripts("handlers.echo", ASYA_SOCKET_CHMOD="0o600")
    assert (tmp_path / "app.sock").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "asya-runtime.sock").readlink() == Path("app.sock")
    assert script.stop() == 0
    assert not [p.name for p in tmp_path.iterdir() if p.name in ("app.sock", "asya-runtime.sock", "runtime-ready")]


@pytest.mark.parametrize("handler", ["handlers.nan", "handlers.unserialisable"])
def test_a_result_that_is_no_json_is_an_error(scripts: Any, handler: str) -> None:
    script = scripts(handler)
    for _ in range(2):
        assert script.call("x")[0]["error"] == "processing_error"


def test_sigterm_lets_the_message_in_hand_finish(scripts: Any) -> None:
    script = scripts("handlers.slow")
    answers: list[Any] = []
    caller = threading.Thread(target=lambda: answers.append(script.call("x")))
    caller.start()
    time.sleep(0.2)
    assert script.stop() == 0
    caller.join(5)
    assert answers[0][0]["payload"] == "x"


def test_stale_files_of_a_process_that_was_killed_are_no_hindrance(scripts: Any, tmp_path: Path) -> None:
    script = scripts("handlers.echo")
    script.process.kill()
    script.process.wait()
    assert (tmp_path / "app.sock").exists()
    (tmp_path / "runtime-ready").unlink()
    assert scripts("handlers.echo").call(1)[0]["payload"] == 1


def test_large_messages(scripts: Any) -> None:
    text = "x" * 9 * 1024 * 1024
    assert scripts("handlers.echo").call(text)[0]["payload"] == text


MALFORMED = st.one_of(
    st.binary(max_size=40),
    st.tuples(st.integers(0, 60), st.binary(max_size=3)).map(
        lambda cut: json.dumps({"id": "1", "route": ROUTE, "payload": "x"}).encode()[: cut[0]] + cut[1]
    ),
)


@pytest.fixture(scope="module")
def echo() -> Iterator[Script]:
    """One script for all frames, so that what one leaves behind meets the next."""
    with TemporaryDirectory() as directory:
        script = Script(Path(directory), "handlers.echo", ASYA_SOCKET_MAX_SIZE="1000")
        yield script
        script.process.kill()
        script.process.communicate()


@given(st.lists(MALFORMED, min_size=20, max_size=20))
@settings(max_examples=350, deadline=None)
def test_21_000_malformed_frames_are_answered_or_closed_and_the_next_message_is_served(
    echo: Script, frames: list[bytes]
) -> None:
    for frame in frames:
        for data in (frame, struct.pack(">I", len(frame)) + frame, struct.pack(">I", 2**31) + frame):
            answer = echo.raw(data)
            if answer.startswith(b"HTTP/1.1 400 "):
                assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"] == "msg_parsing_error"
            elif answer:
                (size,) = struct.unpack(">I", answer[:4])
                (failure,) = json.loads(answer[4 : 4 + size])
                assert failure["error"] in ("connection_error", "msg_parsing_error")
    assert echo.call("still there")[0]["payload"] == "still there"
