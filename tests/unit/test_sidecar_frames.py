"""The test sidecar of the frames generations handles each answer as the released ones do."""

import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.scripted import FramesRuntime
from tests.podrun.frames import Frames
from tests.podrun.settings import MissingSetting, duration, read
from tests.podrun.transports import Received, SendFailed

Object = dict[str, Any]
MESSAGE: Object = {"id": "1", "route": {"actors": ["a", "b"], "current": 0}, "headers": {"t": 1}, "payload": {"x": 1}}
NEXT = {"actors": ["a", "b"], "current": 1}
FAILED = {"error": "processing_error", "details": {"message": "no", "type": "Bad", "traceback": "tb"}}


class Broker:
    """Keeps the messages that were sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Object]] = []
        self.acknowledged = 0

    def consume(self) -> Received | None:
        return None

    def send(self, queue: str, key: str, body: bytes, delay: float = 0.0) -> None:
        assert queue == f"asya-{key}"
        self.sent.append((queue, json.loads(body)))

    def acknowledge(self, received: Received) -> None:
        self.acknowledged += 1

    def requeue(self, received: Received) -> None:
        raise AssertionError("nothing is requeued here")


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[FramesRuntime]:
    started = FramesRuntime(tmp_path / "asya-runtime.sock")
    yield started
    started.close()


def sidecar(directory: Path, broker: Broker, generation: str = "frames", **env: str) -> Frames:
    known = {"ASYA_ACTOR_NAME": "a", "ASYA_NAMESPACE": "n", "ASYA_SOCKET_DIR": str(directory)}
    return Frames(read(generation, {**known, "ASYA_RUNTIME_TIMEOUT": "5s", **env}), broker)


def framed(body: Any) -> bytes:
    data = json.dumps(body).encode()
    return struct.pack(">I", len(data)) + data


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        (framed([{"payload": 1, "route": NEXT}]), ["asya-b"]),
        (framed([{"payload": 1, "route": {"actors": ["a", "b"], "current": 2}}]), ["asya-happy-end"]),
        (framed([{"payload": n, "route": NEXT} for n in range(3)]), 3 * ["asya-b"]),
        (framed([]), ["asya-happy-end"]),
        (framed([FAILED]), ["asya-error-end"]),
        (framed({"payload": 1}), ["asya-error-end"]),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ["asya-error-end"]),
        (framed([])[:-1], ["asya-error-end"]),
        (b"", ["asya-error-end"]),
    ],
)
def test_the_target_of_each_answer(tmp_path: Path, runtime: FramesRuntime, answer: bytes, sent: list[str]) -> None:
    runtime.answers, broker = [answer], Broker()
    sidecar(tmp_path, broker).handle(Received(1, json.dumps(MESSAGE).encode()))
    assert [queue for queue, _ in broker.sent] == sent
    assert broker.acknowledged == 1
    assert json.loads(runtime.requests[0]) == MESSAGE


def test_children_of_a_fan_out_and_failed_messages(tmp_path: Path, runtime: FramesRuntime) -> None:
    runtime.answers, broker = [framed([{"payload": n, "route": NEXT} for n in range(2)]), framed([FAILED])], Broker()
    tried = sidecar(tmp_path, broker, "frames-namespaced")
    for _ in range(2):
        tried.handle(Received(1, json.dumps(MESSAGE).encode()))
    assert broker.sent == [
        ("asya-n-b", {"id": "1", "route": NEXT, "payload": 0}),
        ("asya-n-b", {"id": "1-1", "parent_id": "1", "route": NEXT, "payload": 1}),
        (
            "asya-n-error-end",
            {"id": "1", "route": MESSAGE["route"], "payload": {**FAILED, "original_payload": {"x": 1}}},
        ),
    ]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"payload": 1}', json.dumps({**MESSAGE, "route": NEXT}).encode()])
def test_a_message_that_it_cannot_handle_goes_to_the_error_end(tmp_path: Path, body: bytes) -> None:
    broker = Broker()
    sidecar(tmp_path, broker).handle(Received(1, body))
    assert [queue for queue, _ in broker.sent] == ["asya-error-end"]


def test_the_message_in_hand_at_sigterm_is_delivered_again(tmp_path: Path, runtime: FramesRuntime) -> None:
    runtime.answers, broker = [framed([{"payload": 1, "route": NEXT}])], Broker()
    tried = sidecar(tmp_path, broker)
    tried.cancelled = True
    with pytest.raises(SendFailed):
        tried.handle(Received(1, json.dumps(MESSAGE).encode()))
    assert (broker.sent, broker.acknowledged, len(runtime.requests)) == ([], 0, 1)


def test_a_timeout_ends_the_sidecar(tmp_path: Path) -> None:
    broker = Broker()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "asya-runtime.sock"))
        silent.listen()
        with pytest.raises(SystemExit) as ended:
            sidecar(tmp_path, broker, ASYA_RUNTIME_TIMEOUT="100ms").handle(Received(1, json.dumps(MESSAGE).encode()))
    assert ended.value.code == 1
    assert ([queue for queue, _ in broker.sent], broker.acknowledged) == (["asya-error-end"], 0)


@pytest.mark.parametrize(
    ("text", "seconds"), [("5s", 5), ("1h2m3s", 3723), ("500ms", 0.5), ("1.5m", 90), ("5", 7), ("", 7), ("5 s", 7)]
)
def test_durations_are_gos(text: str, seconds: float) -> None:
    assert duration(text, 7) == seconds


@pytest.mark.parametrize("generation", ["frames", "frames-namespaced", "http"])
def test_required_variables(generation: str) -> None:
    with pytest.raises(MissingSetting, match="ASYA_ACTOR_NAME"):
        read(generation, {"ASYA_NAMESPACE": "n"})
    if generation != "frames":
        with pytest.raises(MissingSetting, match="ASYA_NAMESPACE"):
            read(generation, {"ASYA_ACTOR_NAME": "a"})
