"""Clients of the runtime script that stop half way, that have disconnected, or that send bytes that are not text."""

import json
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.harness.clusters import wait_for
from tests.harness.script import FRAMES_ROUTE, Script, http_message, interpreters

HANDLERS = """
import time

def note(payload):
    with open("calls", "a") as calls:
        print(payload, file=calls)
    if payload == "slow":
        time.sleep(0.5)
    return payload

HALF = "\\ud800"

def parts(payload):
    for n in range(payload):
        yield {"n": n, "text": "x" * 100000}

def half(payload):
    return {payload: HALF} if payload == "value" else {HALF: payload}

def halves(payload):
    yield {"n": 1}
    try:
        yield {"n": HALF}
    except ValueError:
        yield {"n": "refused"}
    raise LookupError(HALF)

def fail(payload):
    raise ValueError(HALF)
"""
Kind = Callable[[Any], bytes]


def frame(payload: Any) -> bytes:
    """A complete frame."""
    data = json.dumps({"id": "1", "route": FRAMES_ROUTE, "payload": payload}).encode()
    return struct.pack(">I", len(data)) + data


def request(payload: Any) -> bytes:
    """A complete request with its length."""
    data = http_message(payload)
    return b"POST /invoke HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data)


def chunks(payload: Any) -> bytes:
    """A complete request in chunks."""
    data = http_message(payload)
    head = b"POST /invoke HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"9\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (data[:9], len(data) - 9, data[9:])


KINDS = pytest.mark.parametrize("kind", [frame, request, chunks], ids=lambda kind: str(kind.__name__))


@contextmanager
def connected(path: Path) -> Iterator[socket.socket]:
    """A connection to the script."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        yield client


def answer(client: socket.socket) -> bytes:
    """Everything that the script sends until it closes the connection."""
    received = b""
    while part := client.recv(65536):
        received += part
    return received


def calls(script: Script) -> list[str]:
    """The payloads with which the function was called."""
    path = script.directory / "calls"
    return path.read_text().split() if path.exists() else []


@KINDS
def test_half_a_message_blocks_nothing_and_is_answered_when_complete(scripts: Any, kind: Kind) -> None:
    script = scripts(HANDLERS, "handlers.note")
    whole = kind("patient")
    for at in (1, 3, 30, len(whole) // 2, len(whole) - 1):
        with connected(script.path) as half, connected(script.path) as other:
            half.sendall(whole[:at])
            other.sendall(whole[:3])
            began = time.monotonic()
            assert script.call("quick")[0]["payload"] == "quick"
            assert script.post("quick")[0] == 200
            assert time.monotonic() - began < 2, f"half a message of {at} bytes blocked others"
            half.sendall(whole[at:])
            assert b"patient" in answer(half)


@pytest.mark.parametrize("python", interpreters(), ids=lambda path: Path(path).name)
def test_every_python_at_hand_lets_halves_wait_and_ignores_dead_clients(scripts: Any, python: str) -> None:
    script = scripts(HANDLERS, "handlers.note", python)
    with connected(script.path) as half, connected(script.path) as busy:
        half.sendall(frame("patient")[:30])
        busy.sendall(request("slow"))
        wait_for("the call", lambda: calls(script) == ["slow"])
        for kind in (frame, request, chunks):
            with connected(script.path) as dead:
                dead.sendall(kind("dead"))
        assert b"slow" in answer(busy)
        half.sendall(frame("patient")[30:])
        assert b"patient" in answer(half)
    assert calls(script) == ["slow", "patient"]
    assert script.stop() == 0


@KINDS
def test_the_oldest_halves_are_closed_when_there_are_too_many(scripts: Any, kind: Kind) -> None:
    script = scripts(HANDLERS, "handlers.note")
    halves = []
    for _ in range(70):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(5)
        client.connect(str(script.path))
        client.sendall(kind("x")[:40])
        halves.append(client)
    assert script.call("quick")[0]["payload"] == "quick"
    assert answer(halves[0]) == b""
    halves[-1].sendall(kind("x")[40:])
    assert answer(halves[-1])
    for client in halves:
        client.close()


def test_large_halves_do_not_accumulate_in_memory(scripts: Any) -> None:
    script = scripts(HANDLERS, "handlers.note", ASYA_SOCKET_MAX_SIZE="4000000")
    data = frame("x" * 3_900_000)
    halves = []
    for _ in range(20):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(5)
        client.connect(str(script.path))
        client.sendall(data[:-1])
        halves.append(client)
        assert script.call("quick")[0]["payload"] == "quick"
    rss = next(line for line in Path(f"/proc/{script.process.pid}/status").read_text().splitlines() if "VmRSS" in line)
    assert int(rss.split()[1]) < 70_000
    halves[-1].sendall(data[-1:])
    assert len(answer(halves[-1])) > 3_900_000
    for client in halves:
        client.close()


@KINDS
def test_a_message_of_a_disconnected_client_is_not_handled(scripts: Any, kind: Kind) -> None:
    script = scripts(HANDLERS, "handlers.note")
    with connected(script.path) as busy:
        busy.sendall(kind("slow"))
        wait_for("the call", lambda: calls(script) == ["slow"])
        for n in range(5):
            with connected(script.path) as dead:
                dead.sendall(kind(f"dead{n}"))
        with connected(script.path) as alive, connected(script.path) as finished:
            alive.sendall(kind("alive"))
            finished.sendall(kind("finished"))
            finished.shutdown(socket.SHUT_WR)  # it still reads
            assert b"slow" in answer(busy)
            assert b"alive" in answer(alive)
            assert b"finished" in answer(finished)
    assert calls(script) == ["slow", "alive", "finished"]
    assert "disconnected before the call" in script.log()


def test_a_message_of_a_disconnected_client_does_not_end_a_job(scripts: Any) -> None:
    script = scripts(HANDLERS, "handlers.note", ready=False, ASYA_JOB_MESSAGES="2")
    wait_for("the script", (script.directory / "runtime-ready").exists)
    with connected(script.path) as busy:
        busy.sendall(frame("slow"))
        wait_for("the call", lambda: calls(script) == ["slow"])
        with connected(script.path) as dead, connected(script.path) as half:
            dead.sendall(frame("dead"))
            half.sendall(frame("half")[:-1])
        assert answer(busy)
    assert script.call("second")[0]["payload"] == "second"
    assert script.process.wait(10) == 0
    assert calls(script) == ["slow", "second"]


@KINDS
def test_a_message_that_arrives_during_sigterm_is_handled(scripts: Any, kind: Kind) -> None:
    script = scripts(HANDLERS, "handlers.note")
    with connected(script.path) as half, connected(script.path) as idle:
        half.sendall(kind("x")[:-1])
        assert script.call("quick")[0]["payload"] == "quick"
        script.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        half.sendall(kind("x")[-1:])
        assert b"payload" in answer(half)
        assert script.process.wait(5) == 0
        assert idle.recv(1) == b""


def test_a_slow_client_gets_everything(scripts: Any) -> None:
    script = scripts(HANDLERS, "handlers.parts")
    for kind in (frame, request):
        with connected(script.path) as client:
            client.sendall(kind(40))
            time.sleep(0.2)
            received = answer(client)
            assert all(b'"n":%d,' % n in received for n in range(40))
            assert len(received) > 4_000_000


def test_half_a_surrogate_pair_in_a_result_is_an_error(scripts: Any) -> None:
    script = scripts(HANDLERS, "handlers.half")
    for payload in ("value", "key"):
        (failure,) = script.call(payload)
        assert failure["error"] == "processing_error"
        assert "half a surrogate pair" in failure["details"]["message"]
        status, failure = script.post(payload)
        assert (status, failure["error"], failure["details"]["type"]) == (500, "processing_error", "ValueError")


def test_half_a_surrogate_pair_in_a_stream_raises_at_the_yield(scripts: Any) -> None:
    script = scripts(HANDLERS, "handlers.halves")
    (failure,) = script.call(1)
    assert failure["error"] == "processing_error"
    _status, stream = script.post(1)
    assert [event for event, _ in stream] == ["downstream", "downstream", "error"]
    assert stream[1][1]["payload"] == {"n": "refused"}
    assert stream[2][1]["details"]["message"] == "?"


def test_half_a_surrogate_pair_in_an_error_is_replaced(scripts: Any) -> None:
    script = scripts(HANDLERS, "handlers.fail")
    assert script.call(1)[0]["details"]["message"] == "?"
    status, failure = script.post(1)
    assert (status, failure["details"]["message"]) == (500, "?")
    assert failure["details"]["traceback"].endswith("ValueError: ?\n")
