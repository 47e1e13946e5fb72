"""Which connection the server closes when there are too many, and where a request ends."""

import socket
import ssl
import threading
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.util import write_error
from hypothesis import given
from hypothesis import strategies as st

from certs.authority import create_authority, issue
from webhook.connections import MAX_BODY, MAX_HEAD, Connection, Outbox, request_end
from webhook.fairness import ConnectionLimits, Turns
from webhook.worker import Worker

GET = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"


def post(length: int) -> bytes:
    return f"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


@given(body=st.binary(max_size=200), more=st.binary(max_size=50))
def test_a_request_ends_with_its_body(body: bytes, more: bytes) -> None:
    head = post(len(body))
    assert request_end(bytearray(head + body + more)) == (len(head + body), True)
    for cut in range(len(head)):
        assert request_end(bytearray(head[:cut])) is None


@pytest.mark.parametrize(
    "head",
    [
        post(5)[:-2] + b"Content-Length: 6\r\n\r\n",
        post(5)[:-2] + b"content-length: 5\r\n\r\n",
        post(5)[:-2] + b"Transfer-Encoding: chunked\r\n\r\n",
        post(MAX_BODY + 1),
        GET[:-2] + b"Content-Length: +5\r\n\r\n",
        GET[:-2] + b"Content-Length : 5\r\n\r\n",
    ],
)
def test_a_request_without_a_clear_end_is_refused_and_is_the_last(head: bytes) -> None:
    assert request_end(bytearray(head + b"12345")) == (len(head), False)


def test_a_client_gets_the_error_that_gunicorn_writes_about_its_request() -> None:
    outbox = Outbox(None)
    write_error(outbox, 400, "Bad Request", "no colon")
    assert b"".join(outbox.parts).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_a_head_without_end_is_cut() -> None:
    assert request_end(bytearray(b"x" * MAX_HEAD)) == (MAX_HEAD, False)


def connection(peer: str) -> Connection:
    mine, theirs = socket.socketpair()
    theirs.close()
    return Connection(mine, (peer, 1), ("", 0), None, lambda: None)


@pytest.fixture
def limits() -> Any:
    made = ConnectionLimits(per_peer=3, total=5)
    yield made
    for one in list(made):
        one.close()


def test_an_address_with_many_connections_closes_its_own(limits: ConnectionLimits) -> None:
    good = connection("10.0.0.1")
    assert limits.admit(good) is None
    for _ in range(3):
        assert limits.admit(connection("10.0.0.2")) is None
    for _ in range(10):
        leaving = limits.admit(connection("10.0.0.2"))
        assert leaving is not None
        assert leaving.peer == "10.0.0.2"
        limits.remove(leaving)
        leaving.close()
    assert good in list(limits)


def test_answered_connections_stay_longer(limits: ConnectionLimits) -> None:
    first, second, third = (connection("a") for _ in range(3))
    for one in (first, second, third):
        limits.admit(one)
    limits.mark_busy(first)
    first.is_proven = True
    limits.mark_answered(first)
    limits.mark_busy(second)
    assert limits.admit(connection("a")) is third
    limits.remove(third)
    third.close()
    newest = next(one for one in limits if one not in (first, second))
    limits.mark_busy(newest)
    assert limits.admit(connection("a")) is first, "an older connection must be closed, not the new one"


def test_the_address_with_the_most_connections_loses_one(limits: ConnectionLimits) -> None:
    for peer in ("a", "a", "b", "c", "d"):
        assert limits.admit(connection(peer)) is None
    leaving = limits.admit(connection("e"))
    assert leaving is not None
    assert leaving.peer == "a"


def test_a_connection_that_the_event_loop_answered_closes_after_those_without_an_answer() -> None:
    worker: Any = Worker.__new__(Worker)
    worker.alive, worker.app = True, SimpleNamespace(answer=lambda request, certificate, is_last: (b"answer", True))
    worker._limits = limits = ConnectionLimits(per_peer=3, total=5)
    answered, second, third, newest = (connection("a") for _ in range(4))
    for one in (answered, second, third):
        assert limits.admit(one) is None
    answered.request = GET
    assert worker._answer(answered)
    assert limits.admit(newest) is second, "not the connection of an API server, although it is the oldest"
    for one in (answered, second, third, newest):
        one.close()


@pytest.mark.parametrize("alive", [True, False])
def test_a_worker_that_stops_answers_once_more_and_closes(alive: bool) -> None:
    worker: Any = Worker.__new__(Worker)
    worker.alive = alive
    worker.app = SimpleNamespace(answer=lambda request, certificate, is_last: (b"answer", not is_last))
    worker._limits = limits = ConnectionLimits(per_peer=3, total=5)
    one = connection("a")
    limits.admit(one)
    one.request = GET
    assert worker._answer(one)
    assert one.is_proven is alive, "a connection that goes on is proven"
    one.close()


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    serving = issue(create_authority("test", timedelta(days=1)), ["127.0.0.1"], timedelta(days=1))
    (tmp_path / "both.pem").write_bytes(serving.certificate + serving.key)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(tmp_path / "both.pem")
    return made


def test_after_a_refusal_the_connection_stays_open_for_a_client_that_still_sends(context: ssl.SSLContext) -> None:
    mine, theirs = socket.socketpair()
    received: list[bytes] = []

    def send_a_large_body() -> None:
        with ssl._create_unverified_context().wrap_socket(theirs) as client:
            client.sendall(post(MAX_BODY + 1))
            for _ in range(20):
                client.sendall(b"x" * 65536)
            received.append(client.recv(100))

    sender = threading.Thread(target=send_a_large_body)
    sender.start()
    server = Connection(mine, ("a", 1), ("", 0), None, lambda: context)
    progress, until = server.advance(5), time.monotonic() + 10
    while progress != "closed" and time.monotonic() < until:
        if progress == "whole":
            server.reply(b"refused", keep=False)
        time.sleep(0.001)
        progress = server.advance(5)
    server.close()
    sender.join(10)
    assert received == [b"refused"]


def served(turns: Turns, cost: dict[str, float], rounds: int) -> dict[str, float]:
    """The share of time of each address while all its connections stay ready."""
    time = dict.fromkeys(cost, 0.0)
    for _ in range(rounds):
        one = turns.take()
        time[one.peer] += cost[one.peer]
        turns.charge(cost[one.peer])
        turns.add(one)
    return time


def test_addresses_get_equal_time_whatever_their_number_of_connections() -> None:
    turns, many = Turns(), [connection("many") for _ in range(200)]
    few = connection("few")
    for one in (*many, few):
        turns.add(one)
    time = served(turns, {"many": 0.004, "few": 0.001}, 1000)
    assert time["few"] == pytest.approx(time["many"], abs=0.005)
    for one in (*many, few):
        one.close()


def test_an_idle_address_saves_no_time() -> None:
    turns, busy, idle = Turns(), connection("busy"), connection("idle")
    turns.add(busy)
    served(turns, {"busy": 1.0}, 1000)
    turns.add(idle)
    time = served(turns, {"busy": 1.0, "idle": 1.0}, 10)
    assert time["busy"] == pytest.approx(time["idle"], abs=1.0)
    busy.close()
    idle.close()


def test_answered_connections_do_not_wait_for_new_ones_of_their_address() -> None:
    turns, new, proven = Turns(), [connection("a") for _ in range(50)], connection("a")
    proven.is_proven = True
    for one in (*new, proven):
        turns.add(one)
    first = []
    for _ in range(2):
        first.append(turns.take())
        turns.charge(0.001)
    assert proven in first
    for one in (*new, proven):
        one.close()


def test_a_removed_connection_gets_no_turn() -> None:
    turns, one, other = Turns(), connection("a"), connection("b")
    for _ in range(2):
        turns.add(one)
        turns.add(other)
    turns.remove(one)
    turns.remove(one)
    assert turns.take() is other
    turns.charge(0.0)
    assert not turns
    with pytest.raises(IndexError):
        turns.take()
    turns.add(one)
    assert turns.take() is one
    one.close()
    other.close()


def test_the_memory_of_addresses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook.fairness.REMEMBERED_LINES", 10)
    turns = Turns()
    for n in range(1000):
        one = connection(str(n))
        turns.add(one)
        turns.take()
        turns.charge(0.001)
        one.close()
    assert len(turns._used) <= 11
