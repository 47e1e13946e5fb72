"""Who makes room for whom, and where a request ends."""

import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.connections import MAX_BODY, MAX_HEAD, Connection, Crowd, request_end

GET = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"


def post(length: int) -> bytes:
    return f"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


@given(body=st.binary(max_size=200), more=st.binary(max_size=50))
def test_a_request_ends_where_its_body_does(body: bytes, more: bytes) -> None:
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
def test_what_does_not_say_clearly_where_it_ends_is_refused_by_its_head_and_is_the_last(head: bytes) -> None:
    assert request_end(bytearray(head + b"12345")) == (len(head), False)


def test_a_head_without_end_is_cut_off() -> None:
    assert request_end(bytearray(b"x" * MAX_HEAD)) == (MAX_HEAD, False)


def connection(peer: str) -> Connection:
    mine, theirs = socket.socketpair()
    theirs.close()
    return Connection(mine, (peer, 1), ("", 0), None, lambda: None)


@pytest.fixture
def crowd() -> Any:
    made = Crowd(per_peer=3, total=5)
    yield made
    for one in list(made):
        one.close()


def test_one_that_opens_many_shuts_out_itself(crowd: Crowd) -> None:
    good = connection("10.0.0.1")
    assert crowd.admit(good) is None
    for _ in range(3):
        assert crowd.admit(connection("10.0.0.2")) is None
    for _ in range(10):
        leaving = crowd.admit(connection("10.0.0.2"))
        assert leaving is not None
        assert leaving.peer == "10.0.0.2"
        crowd.leaves(leaving)
        leaving.close()
    assert good in list(crowd)


def test_who_had_an_answer_stays_longer_and_who_is_answered_stays(crowd: Crowd) -> None:
    first, second, third = (connection("a") for _ in range(3))
    for one in (first, second, third):
        crowd.admit(one)
    crowd.works(first)
    first.is_proven = True
    crowd.worked(first)
    crowd.works(second)
    assert crowd.admit(connection("a")) is third
    crowd.leaves(third)
    third.close()
    newest = next(one for one in crowd if one not in (first, second))
    crowd.works(newest)
    assert crowd.admit(connection("a")) is first, "rather than the newcomer"


def test_of_many_addresses_the_fullest_makes_room(crowd: Crowd) -> None:
    for peer in ("a", "a", "b", "c", "d"):
        assert crowd.admit(connection(peer)) is None
    leaving = crowd.admit(connection("e"))
    assert leaving is not None
    assert leaving.peer == "a"
