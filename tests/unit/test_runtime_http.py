"""The runtime script with the http generation of the sidecar."""

import collections
import json
import random
import socket
import time
from typing import Any

import pytest

from tests.harness.http_handlers import HANDLERS
from tests.harness.script import FRAMES_ROUTE, Script, UnixConnection, http_message

ONWARD = {"prev": ["a"], "curr": "b", "next": ["c"]}


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One script for many messages, so that effects of one message on the next appear."""
    script = Script(tmp_path_factory.mktemp("http"), HANDLERS, "handlers.any", ASYA_SOCKET_MAX_SIZE="100000")
    yield script
    script.kill()


def down(payload: Any, **more: Any) -> tuple[str, Any]:
    """An event with a frame."""
    return "downstream", {"payload": payload, "route": ONWARD, **more}


@pytest.mark.parametrize("handler", ["echo", "later"])
@pytest.mark.parametrize("payload", [{"x": "é ✓"}, [1, {"y": None}], "text", 0, False])
def test_a_returned_value_is_one_frame(one: Script, handler: str, payload: Any) -> None:
    assert one.post([handler, payload]) == (200, {"frames": [{"payload": payload, "route": ONWARD}]})


def test_none_is_204(one: Script) -> None:
    assert one.post(["none", 1]) == (204, None)
    assert one.post(["nothing", 1]) == (204, None)


@pytest.mark.parametrize(
    ("route", "onward"),
    [
        (
            {"prev": ["x"], "curr": "a", "next": ["b"], "more": 1},
            {"prev": ["x", "a"], "curr": "b", "next": [], "more": 1},
        ),
        ({"prev": [], "curr": "a", "next": None}, {"prev": ["a"], "curr": "", "next": []}),
        (FRAMES_ROUTE, {"actors": ["a", "b"], "current": 1}),
    ],
)
def test_the_route_advances_and_keeps_its_form(one: Script, route: Any, onward: Any) -> None:
    assert one.post(["echo", 1], route=route)[1]["frames"] == [{"payload": 1, "route": onward}]


def test_a_generator_is_a_stream_of_frames(one: Script) -> None:
    for handler in ("gen", "agen"):
        expected = [*(down({"i": i}) for i in range(100)), ("done", {})]
        assert one.post([handler, 100]) == (200, expected)


@pytest.mark.parametrize(
    ("handler", "kind", "mro"),
    [
        ("fail", "ValueError", ["ValueError", "Exception"]),
        ("special", "handlers.Special", ["handlers.Special", "LookupError", "Exception"]),
        ("leave", "SystemExit", ["SystemExit"]),
        ("nan", "ValueError", None),
        ("fail_then_gen", "ValueError", None),
        ("unserialisable", "TypeError", None),
        ("bytes_", "TypeError", None),
        ("decimal_nan", "ValueError", None),
        ("circular", "RecursionError", None),
        ("absent", "KeyError", None),
    ],
)
def test_an_error_is_500_with_its_class_and_bases(one: Script, handler: str, kind: str, mro: Any) -> None:
    status, answer = one.post([handler, 1])
    assert (status, answer["error"], answer["details"]["type"]) == (500, "processing_error", kind)
    assert mro in (None, answer["details"]["mro"])
    assert answer["details"]["traceback"].startswith("Traceback")


@pytest.mark.parametrize(
    ("handler", "argument", "words"),
    [
        ("gen_then_fail", 1, "half way"),
        ("wrong", 5, "yield 5"),
        ("wrong", [1], "yield dicts"),
    ],
)
def test_an_error_after_frames_is_an_event(one: Script, handler: str, argument: Any, words: str) -> None:
    status, (first, (event, failure)) = one.post([handler, argument])
    assert (status, first, event, failure["error"]) == (200, down({"i": 0}), "error", "processing_error")
    assert words in failure["details"]["message"]
    assert "handlers.py" in failure["details"]["traceback"], "the traceback lacks the line of the yield"


def test_commands(one: Script) -> None:
    commands = [
        ["GET", ".id"],
        ["GET", ".parent_id"],
        ["GET", ".route.prev"],
        ["GET", ".route.next[-1]"],
        ["GET", ".route.next[7]"],
        ["GET", ".headers"],
        ["GET", ".status.phase"],
        ["SET", ".route.next[:0]", ["x", "y"]],
        ["DEL", ".route.next[1]"],
        ["SET", '.headers["a.b"].c', {"d": 1}],
        ["GET", '.headers["a.b"].c.d'],
        ["DEL", ".headers.h"],
        ["DEL", ".headers.absent"],
        ["SET", ".status.note", "n"],
        ["FLY", {"token": "t"}],
    ]
    answers: list[Any] = ["1", None, [], "c", None, {"h": 1}, "x", None, None, None, 1, None, None, None, None]
    headers, status = {"a.b": {"c": {"d": 1}}}, {"phase": "x", "note": "n"}
    for handler in ("commands", "acommands"):
        _status, stream = one.post([handler, commands])
        assert stream[0] == ("upstream", {"payload": {"token": "t"}})
        frame = stream[1][1]
        assert frame["payload"]["answers"] == answers
        assert frame["route"] == {"prev": ["a"], "curr": "x", "next": ["b", "c"]}
        assert (frame["headers"], frame["status"]) == (headers, status)


@pytest.mark.parametrize(
    "command",
    [
        ["GET", ".payload"],
        ["GET", "."],
        ["GET", "id"],
        ["GET", 5],
        ["GET", ".route.next[:1]"],
        ["SET", ".id", "2"],
        ["SET", ".headers", {}],
        ["SET", ".route.curr", "x"],
        ["SET", ".route.prev", []],
        ["SET", ".route.next", "x"],
        ["SET", ".route.next", [1]],
        ["SET", ".route.next[9]", "x"],
        ["DEL", ".status.phase"],
        ["DEL", ".route.curr"],
        ["FLY", "text"],
        ["GET", ".id", "more"],
        ["ADD", ".id"],
    ],
)
def test_a_forbidden_command_raises_at_its_yield_and_changes_nothing(one: Script, command: Any) -> None:
    _status, stream = one.post(["commands", [command]])
    (answer,) = stream[0][1].pop("payload")["answers"]
    assert answer.startswith(("ValueError: ", "TypeError: "))
    assert stream == [("downstream", {"route": ONWARD}), ("done", {})]


def test_the_answer_of_get_is_a_copy(one: Script) -> None:
    assert one.post(["copies", 1])[1][0] == down({"next": ["b", "c"]})


def test_common_classes_have_a_json_form(one: Script) -> None:
    assert one.post(["shapes", 1])[1]["frames"][0]["payload"] == {
        "model": [{"a": 1}, {"mode": "json"}],
        "point": {"x": 1, "when": "2026-01-02"},
        "pair": {"left": 1, "right": [2, 3]},
        "when": "2026-01-02T03:04:05+00:00",
        "time": ["01:02:00", 90.0],
        "decimal": "1.10",
        "id": "00000000-0000-0000-0000-000000000001",
        "color": "red",
        "set": ["a", "b"],
        "array": [1.5, 2],
        "keys": {"1": "int", "00000000-0000-0000-0000-000000000002": "uuid", "null": "none"},
        "ordered": {"a": [1]},
    }


def test_a_client_that_disconnects_stops_the_generator(one: Script) -> None:
    connection = UnixConnection(one.path)
    connection.request("POST", "/invoke", http_message(["endless", 1]))
    response = connection.getresponse()  # it owns the socket, because the response says "Connection: close"
    response.read(10)
    assert not (one.directory / "closed").exists()
    response.close()
    assert one.post(["echo", 1])[0] == 200
    assert (one.directory / "closed").exists()


def test_health_and_unknown_paths(one: Script) -> None:
    assert one.request("GET", "/healthz") == (200, "application/json", b'{"status":"ok"}')
    for method, path in (("GET", "/invoke"), ("POST", "/other"), ("PUT", "/invoke"), ("DELETE", "/")):
        status, _kind, body = one.request(method, path)
        assert (status, json.loads(body)["error"]) == (400, "msg_parsing_error")


def test_chunks_and_expectations(one: Script) -> None:
    message = http_message(["echo", "chunk"])
    parts = iter([message[:10], message[10:]])
    assert json.loads(one.request("POST", "/invoke", parts)[2])["frames"][0]["payload"] == "chunk"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        client.connect(str(one.path))
        client.sendall(b"POST /invoke HTTP/1.1\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(message))
        assert client.recv(100).startswith(b"HTTP/1.1 100 ")
        client.sendall(message)
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"\xff",
        b'{"payload": NaN}',
        b'{"payload": 1, "route": []}',
        b'{"payload": 1, "route": {"next": "b"}}',
        b'{"payload": 1, "route": {"curr": 5}}',
        b"[" * 100000,
        b'{"payload": "%s"}' % (b"x" * 200000),
    ],
)
def test_an_invalid_body_is_400(one: Script, body: bytes) -> None:
    status, _kind, answer = one.request("POST", "/invoke", body)
    failure = json.loads(answer)
    assert (status, failure["error"], "traceback" in failure["details"]) == (400, "msg_parsing_error", True)


def test_connections_without_a_byte_are_not_logged_and_block_nothing(one: Script) -> None:
    before = one.log()
    with socket.socket(socket.AF_UNIX) as idle, socket.socket(socket.AF_UNIX) as other:
        idle.connect(str(one.path))
        other.connect(str(one.path))
        began = time.monotonic()
        assert one.post(["echo", 1])[0] == 200
        assert time.monotonic() - began < 3
        other.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert other.recv(100).startswith(b"HTTP/1.1 200")
    assert one.post(["echo", 1])[0] == 200
    assert one.log() == before


def _malformed(randomness: random.Random, whole: list[bytes]) -> bytes:
    """A message of one kind with one defect."""
    data = bytearray(randomness.choice(whole))
    for _ in range(randomness.randint(1, 3)):
        at, what = randomness.randrange(len(data) or 1), randomness.randrange(5)
        if what == 0:
            del data[at:]
        elif what == 1 and data:
            data[at] = randomness.randrange(256)
        elif what == 2:
            data[at:at] = randomness.randbytes(randomness.randint(1, 8))
        elif what == 3:
            del data[at : at + randomness.randint(1, 20)]
        else:
            data[:at] = randomness.randbytes(randomness.randint(0, 6))
    return bytes(data)


def _is_answer(data: bytes) -> bool:
    """Whether ``data`` is empty, or a complete response with a correct length."""
    if not data:
        return True
    if not data.startswith(b"HTTP/1.1 "):
        assert int.from_bytes(data[:4], "big") == len(data) - 4
        return all("error" in result or "payload" in result for result in json.loads(data[4:]))
    data = data.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    status, body = data[9:12], data.partition(b"\r\n\r\n")[2]
    if status == b"200" and body:
        return b"frames" in body or b"status" in body
    return not data or (status in (b"400", b"500") and "error" in json.loads(body))


@pytest.mark.parametrize("kind", ["frames", "http"])
def test_10_000_malformed_messages_are_answered_or_closed_and_the_next_is_served(one: Script, kind: str) -> None:
    body = http_message(["echo", "x"])
    frame = len(body).to_bytes(4, "big") + body
    head = b"POST /invoke HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    requests = [
        head + b"Content-Length: %d\r\n\r\n" % len(body) + body,
        head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks,
        head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body) + body,
        b"GET /healthz HTTP/1.1\r\n\r\n",
    ]
    randomness = random.Random(14)
    of_the_kind, outcomes = 0, collections.Counter[str]()
    for n in range(10_000):
        data = _malformed(randomness, [frame, frame[:40]] if kind == "frames" else requests)
        answer = one.raw(data)
        assert _is_answer(answer), data
        of_the_kind += (b"A" <= data[:1] <= b"Z") == (kind == "http")
        outcomes["closed" if not answer else "error" if b'"error"' in answer else "good"] += 1
        if n % 1000 == 0:
            assert one.post(["echo", "good"])[1]["frames"][0]["payload"] == "good"
            assert one.call(["echo", "good"])[0]["payload"] == "good"
    assert of_the_kind > 6_000
    assert outcomes["error"] > 5_000, outcomes
    assert min(outcomes["closed"], outcomes["good"]) > 10, outcomes
