"""The test sidecar of the http generation handles each answer as the released one does."""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.harness.scripted import Runtime
from tests.podrun.envelopes import Envelopes, now
from tests.podrun.settings import Settings, read
from tests.podrun.transports import DelayNotSupported, Received, SendFailed

Object = dict[str, Any]
PREFIX = "asya-n-"
MESSAGE: Object = {
    "id": "1",
    "route": {"prev": [], "curr": "a", "next": ["b"]},
    "headers": {"trace": "t"},
    "payload": {"x": 1},
}
SHIFTED: Object = {"prev": ["a"], "curr": "b", "next": []}
DETAILS = {"message": "no", "type": "app.Bad", "mro": ["ValueError", "Exception"], "traceback": "tb"}


@dataclass
class Sent:
    """One message that was sent."""

    actor: str
    message: Object
    delay: float


@dataclass
class Broker:
    """Keeps the messages that were sent."""

    delays: bool = True
    sent: list[Sent] = field(default_factory=list)
    acknowledged: list[object] = field(default_factory=list)

    def consume(self) -> Received | None:
        return None

    def send(self, queue: str, key: str, body: bytes, delay: float = 0.0) -> None:
        if delay and not self.delays:
            raise DelayNotSupported
        assert queue == PREFIX + key
        self.sent.append(Sent(key, json.loads(body), delay))

    def acknowledge(self, received: Received) -> None:
        self.acknowledged.append(received.receipt)

    def requeue(self, received: Received) -> None:
        raise AssertionError("nothing is requeued here")

    def outcome(self) -> list[tuple[str, str]]:
        """The target and the phase of the message."""
        return [(sent.actor, sent.message["status"]["phase"]) for sent in self.sent]


@dataclass
class Rig:
    """A sidecar with a runtime and a broker."""

    settings: Settings
    runtime: Runtime
    broker: Broker = field(default_factory=Broker)

    def handle(self, *messages: Object | bytes) -> None:
        """Handle messages with one sidecar."""
        sidecar = Envelopes(self.settings, self.broker, lambda _text: None)
        for n, message in enumerate(messages):
            body = message if isinstance(message, bytes) else json.dumps(message).encode()
            sidecar.handle(Received(n, body))

    def last_request(self) -> Object:
        """The body of the last request."""
        request: Object = json.loads(self.runtime.requests[-1].partition(b"\r\n\r\n")[2])
        return request


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    env = {"ASYA_ACTOR_NAME": "a", "ASYA_NAMESPACE": "n", "ASYA_SOCKET_DIR": str(tmp_path)}
    runtime = Runtime(tmp_path / "asya-runtime.sock")
    yield Rig(read("http", {**env, "ASYA_RESILIENCY_ACTOR_TIMEOUT": "5s"}), runtime)
    runtime.close()


def answer(body: Any, status: int = 200, connection: str = "close") -> bytes:
    """An HTTP response of known length."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    return f"{head}Connection: {connection}\r\n\r\n".encode() + data


def event(name: str, data: Any) -> bytes:
    """An event of a stream."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def stream(*events: bytes, end: bool = True) -> bytes:
    """A chunked stream of events, one in each chunk."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(e), e) for e in events) + (b"0\r\n\r\n" if end else b"")


def frame(payload: Any, **more: Any) -> Object:
    """A frame with an advanced route."""
    return {"payload": payload, "route": SHIFTED, **more}


FAILED = {"error": "processing_error", "details": DETAILS}
ONE = event("downstream", frame(1))
ROWS: dict[str, tuple[bytes, list[tuple[str, str]]]] = {
    "one frame": (answer({"frames": [frame(1)]}), [("b", "pending")]),
    "three frames": (answer({"frames": [frame(1), frame(2), frame(3)]}), 3 * [("b", "pending")]),
    "a frame to the end of its route": (
        answer({"frames": [{"payload": 1, "route": {"prev": ["a"], "curr": "", "next": []}}]}),
        [("x-sink", "succeeded")],
    ),
    "a frame without a route": (answer({"frames": [{"payload": 1}]}), [("x-sink", "succeeded")]),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", [("x-sink", "succeeded")]),
    "an empty object": (answer({}), [("x-sink", "succeeded")]),
    "no frames": (answer({"frames": []}), [("x-sink", "succeeded")]),
    "500 with an error": (answer(FAILED, 500), [("x-sink", "failed")]),
    "400 with an error": (answer({**FAILED, "error": "msg_parsing_error"}, 400), [("x-sink", "failed")]),
    "200 with a frame that is an error": (answer({"frames": [FAILED]}), [("x-sink", "failed")]),
    "404 without an error": (answer({"message": "?"}, 404), [("x-sink", "succeeded")]),
    "503 that is no JSON": (answer(b"<html>", 503), [("x-sump", "failed")]),
    "an array": (answer([frame(1)]), [("x-sump", "failed")]),
    "null": (answer(b"null"), [("x-sump", "failed")]),
    "a frame that is no object": (answer({"frames": [1]}), [("x-sump", "failed")]),
    "a route that is no object": (answer({"frames": [{"route": []}]}), [("x-sump", "failed")]),
    "no HTTP": (b"\0\0\0\2[]", [("x-sump", "failed")]),
    "nothing": (b"", [("x-sump", "failed")]),
    "cut short": (answer({"frames": [frame(1)]})[:-3], [("x-sump", "failed")]),
    "a stream": (stream(ONE, event("downstream", frame(2)), event("done", {})), 2 * [("b", "pending")]),
    "a stream without done": (stream(ONE), [("b", "pending")]),
    "a stream of nothing": (stream(event("done", {})), [("x-sink", "succeeded")]),
    "a stream of upstream events": (
        stream(event("upstream", {"payload": 1}), event("done", {})),
        [("x-sink", "succeeded")],
    ),
    "a stream that fails": (stream(ONE, event("error", FAILED)), [("b", "pending"), ("x-sink", "failed")]),
    "a stream cut short": (stream(ONE, end=False), [("b", "pending"), ("x-sump", "failed")]),
    "a stream without a space": (
        stream(b'event:downstream\ndata:{"payload": 1}\n\n', event("done", {})),
        [("x-sink", "succeeded")],
    ),
    "a stream whose data is no JSON": (stream(b"event: downstream\ndata: {\n\n"), [("x-sump", "failed")]),
    "a stream with a line of 16 MiB": (
        stream(event("downstream", frame("x" * (16 << 20))), event("done", {})),
        [("x-sump", "failed")],
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_the_target_of_each_answer(rig: Rig, row: str) -> None:
    raw, outcome = ROWS[row]
    rig.runtime.answers = [raw]
    rig.handle(MESSAGE)
    assert rig.broker.outcome() == outcome
    assert rig.broker.acknowledged == [0]


def test_the_request(rig: Rig) -> None:
    rig.runtime.answers = [answer({})]
    rig.handle({**MESSAGE, "headers": {}, "route": {"curr": "a"}, "payload": None, "parent_id": "0"})
    head, _, body = rig.runtime.requests[0].partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST /invoke HTTP/1.1",
        b"Host: localhost",
        b"User-Agent: Go-http-client/1.1",
        b"Content-Length: %d" % len(body),
        b"Content-Type: application/json",
        b"Accept-Encoding: gzip",
    ]
    request = rig.last_request()
    status = request.pop("status")
    assert request == {
        "id": "1",
        "parent_id": "0",
        "route": {"prev": None, "curr": "a", "next": None},
        "payload": None,
    }
    assert status == {
        "phase": "processing",
        "actor": "a",
        "attempt": 1,
        "max_attempts": 1,
        "created_at": status["updated_at"],
        "updated_at": status["updated_at"],
    }


def test_the_sent_messages(rig: Rig) -> None:
    rig.runtime.answers = [
        answer({"frames": [frame(1), frame(2, headers={}), frame(3, headers={"own": 1}), frame(4, headers=None)]})
    ]
    rig.handle(MESSAGE)
    messages = [sent.message for sent in rig.broker.sent]
    assert [m["payload"] for m in messages] == [1, 2, 3, 4]
    assert [m.get("headers") for m in messages] == [{"trace": "t"}, None, {"own": 1}, {"trace": "t"}]
    assert [m.get("parent_id") for m in messages] == [None, "1", "1", "1"]
    assert len({m["id"] for m in messages}) == 4
    assert all(m["route"] == SHIFTED and m["status"]["actor"] == "b" for m in messages)


def test_a_message_without_an_answer_goes_to_the_sink_unchanged(rig: Rig) -> None:
    rig.runtime.answers = [b"HTTP/1.1 204 No Content\r\n\r\n"]
    rig.handle(MESSAGE)
    (sent,) = rig.broker.sent
    assert {name: sent.message[name] for name in MESSAGE} == MESSAGE


def test_a_failed_message_keeps_its_payload_and_loses_its_headers(rig: Rig) -> None:
    rig.runtime.answers = [answer(FAILED, 500)]
    rig.handle(MESSAGE)
    (sent,) = rig.broker.sent
    assert sent.message["payload"] == {**FAILED, "original_payload": {"x": 1}}
    assert "headers" not in sent.message
    assert sent.message["route"] == MESSAGE["route"]


@pytest.mark.parametrize(("keep", "connections"), [(True, 1), (False, 3)])
def test_a_connection_is_reused_while_the_runtime_keeps_it_open(rig: Rig, keep: bool, connections: int) -> None:
    rig.runtime.keep = keep
    rig.runtime.answers = [
        answer({"frames": [frame(n)]}, connection="keep-alive" if keep else "close") for n in range(3)
    ]
    rig.handle(MESSAGE, MESSAGE, MESSAGE)
    assert [sent.actor for sent in rig.broker.sent] == 3 * ["b"]
    assert rig.runtime.connections == connections


def test_frames_of_a_stream_are_sent_on_as_they_arrive(rig: Rig) -> None:
    arrived = threading.Event()
    send = rig.broker.send

    def watched(*arguments: Any) -> None:
        send(*arguments)
        arrived.set()

    def slowly(connection: socket.socket) -> None:
        raw = stream(ONE, event("done", {}))
        cut = raw.index(b"event: done")
        connection.sendall(raw[: cut - 4])
        assert arrived.wait(5)
        connection.sendall(raw[cut - 4 :])

    rig.broker.send = watched  # type: ignore[method-assign, assignment]
    rig.runtime.answers = [slowly]
    rig.handle(MESSAGE)
    assert rig.broker.outcome() == [("b", "pending")]


def test_a_timeout_ends_the_sidecar_and_the_message_is_delivered_again(rig: Rig) -> None:
    gate = threading.Event()
    rig.settings = replace(rig.settings, timeout=0.2)
    rig.runtime.answers = [lambda _connection: assert_set(gate)]
    with pytest.raises(SystemExit) as ended:
        rig.handle(MESSAGE)
    gate.set()
    assert ended.value.code == 1
    assert rig.broker.outcome() == [("x-sump", "failed")]
    assert rig.broker.acknowledged == []


def assert_set(gate: threading.Event) -> None:
    assert gate.wait(5)


def test_a_missing_runtime(rig: Rig) -> None:
    rig.runtime.close()
    (Path(rig.settings.directory) / "asya-runtime.sock").unlink()
    rig.handle(MESSAGE)
    assert rig.broker.outcome() == [("x-sump", "failed")]


@pytest.mark.parametrize(
    "message",
    [
        b"{",
        b"[]",
        {"route": MESSAGE["route"], "payload": 1},
        {**MESSAGE, "route": {"prev": ["a"], "curr": "b", "next": []}},
        {"id": "1", "route": {"actors": ["a"], "current": 0}, "payload": 1},
    ],
)
def test_an_unreadable_message_goes_to_the_sump_without_a_call_of_the_runtime(rig: Rig, message: Any) -> None:
    rig.handle(message)
    assert rig.broker.outcome() == [("x-sump", "failed")]
    assert (rig.broker.acknowledged, rig.runtime.requests) == ([0], [])


def test_a_deadline_that_has_passed(rig: Rig) -> None:
    rig.handle({**MESSAGE, "status": {"actor": "a", "deadline_at": now()}})
    (sent,) = rig.broker.sent
    assert (sent.actor, sent.message["status"]["phase"], sent.message["status"]["reason"]) == (
        "x-sink",
        "failed",
        "Timeout",
    )
    assert rig.runtime.requests == []


def test_an_end_actor_sends_nothing(rig: Rig) -> None:
    rig.settings = replace(rig.settings, is_end_actor=True)
    rig.runtime.answers = [answer({"frames": [frame(1)]}), answer(FAILED, 500), b""]
    rig.handle({**MESSAGE, "route": {"prev": [], "curr": "elsewhere", "next": []}}, MESSAGE)
    assert (rig.broker.sent, rig.broker.acknowledged) == ([], [0, 1])
    assert "status" not in rig.last_request()
    with pytest.raises(SendFailed):
        rig.handle(MESSAGE)


# -- resiliency ---------------------------------------------------------------------------------

POLICIES = {
    "default": {"maxAttempts": 3, "backoff": "exponential", "initialDelay": "1s", "maxInterval": "1500ms"},
    "once": {"maxAttempts": 1},
    "elsewhere": {"onExhausted": ["rescue", "c"]},
}


@pytest.mark.parametrize(
    ("rules", "attempt", "outcome"),
    [
        ([], 1, ("a", "retrying", None, 1.0)),
        ([], 2, ("a", "retrying", None, 1.5)),
        ([], 3, ("x-sink", "failed", "PolicyExhausted", 0.0)),
        ([{"errors": ["Bad"], "policy": "once"}], 1, ("x-sink", "failed", "PolicyExhausted", 0.0)),
        ([{"errors": ["other.Bad"], "policy": "once"}], 1, ("a", "retrying", None, 1.0)),
        ([{"errors": ["Exception"], "policy": "elsewhere"}], 1, ("rescue", "failed", "PolicyRouted", 0.0)),
        ([{"errors": ["ValueError"], "policy": "missing"}], 1, ("x-sink", "failed", "RuntimeError", 0.0)),
    ],
)
def test_policies_and_rules(rig: Rig, rules: list[Object], attempt: int, outcome: tuple[Any, ...]) -> None:
    rig.settings = replace(rig.settings, policies=json.dumps(POLICIES), rules=json.dumps(rules))
    rig.runtime.answers = [answer(FAILED, 500)]
    rig.handle({**MESSAGE, "status": {"actor": "a", "attempt": attempt, "created_at": now()}})
    (sent,) = rig.broker.sent
    status = sent.message["status"]
    assert (sent.actor, status["phase"], status.get("reason"), sent.delay) == outcome
    if outcome[0] == "a":
        assert status["attempt"] == attempt + 1
        assert (sent.message["payload"], sent.message["headers"]) == (MESSAGE["payload"], MESSAGE["headers"])


def test_without_delays_in_the_broker_the_first_error_is_final(rig: Rig) -> None:
    rig.broker.delays = False
    rig.settings = replace(rig.settings, policies=json.dumps(POLICIES))
    rig.runtime.answers = [answer(FAILED, 500)]
    rig.handle(MESSAGE)
    assert rig.broker.outcome() == [("x-sink", "failed")]


def test_an_unreadable_message_is_not_tried_again(rig: Rig) -> None:
    rig.settings = replace(rig.settings, policies=json.dumps(POLICIES))
    rig.runtime.answers = [answer({**FAILED, "error": "msg_parsing_error"}, 400)]
    rig.handle(MESSAGE)
    assert rig.broker.outcome() == [("x-sink", "failed")]
