"""How the dashboard's buttons use the plugin's sessions."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from dashboard import acting
from dashboard.acting import BrokerLetters, Controls
from dashboard.ports import Refused
from messages import controls
from messages.broker import BrokerError
from messages.controls import CannotControl
from messages.requests import Request
from messages.target import NoTarget, Target

DEAD = {
    "id": "m-1",
    "route": {"prev": ["intake"], "curr": "a", "next": []},
    "status": {"phase": "failed", "actor": "a"},
    "payload": {
        "error": "processing_error",
        "details": {"type": "ValueError", "message": "no"},
        "original_payload": {},
    },
}
TARGET = Target("ns", "a", "uid", "http", "rabbitmq", "a", "asya-ns-a", "asya-ns-", "x-sink", "x-sump")


class Session:
    """Answers with events, and records the requests."""

    def __init__(self, *events: Any) -> None:
        self.events, self.requests = events, list[Request]()

    def run(self, request: Request) -> Iterator[Any]:
        self.requests.append(request)
        for event in self.events:
            if isinstance(event, Exception):
                raise event
            yield event

    def abandon(self) -> None:
        self.events = ()


class Endless(Session):
    """Runs until it is abandoned."""

    def __init__(self) -> None:
        super().__init__()
        self.started, self.abandoned, self.closed = threading.Event(), threading.Event(), False

    def run(self, request: Request) -> Iterator[Any]:
        try:
            while not self.abandoned.wait(0.01):
                self.started.set()
                yield {"kind": "progress"}
        finally:
            self.closed = True

    def abandon(self) -> None:
        self.abandoned.set()


@pytest.fixture(autouse=True)
def target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acting, "find_target", lambda client, namespace, name, operator: TARGET)


def letters(session: Session) -> BrokerLetters:
    nothing: Any = None
    return BrokerLetters(nothing, lambda client, target: session)


def test_dead_letters_of_the_actor_are_listed_with_their_errors() -> None:
    event = {"kind": "message", "queue": "asya-ns-x-sump", "body": json.dumps(DEAD), "is_dead": True}
    session = Session(event, {"kind": "progress", "done": 1, "of": 1}, {**event, "body": "no JSON"})
    first, second = letters(session).list("ns", "a")
    assert (first.id, first.queue) == ("m-1", "asya-ns-x-sump")
    assert "ValueError: no" in first.error
    assert json.loads(first.text) == DEAD
    assert (second.id, second.text) == ("", "no JSON")
    assert (session.requests[0].action, session.requests[0].filter.actor) == ("dead", "a")


def test_running_sessions_are_abandoned_before_the_dashboard_ends() -> None:
    session = Endless()
    dead_letters = letters(session)
    thread = threading.Thread(target=dead_letters.replay, args=("ns", "a", None))
    thread.start()
    assert session.started.wait(5)
    dead_letters.close()
    assert session.closed
    thread.join(5)
    with pytest.raises(Refused, match="the dashboard is closing"):
        dead_letters.list("ns", "a")


def test_an_error_during_a_request_closes_the_session() -> None:
    session = Endless()
    events = acting._events(session, TARGET.request(action="dead"))
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert session.closed


def test_lengths_are_read_once() -> None:
    session = Session({"kind": "length", "queue": "q", "length": 3}, {"kind": "length", "queue": "r", "length": None})
    assert letters(session).lengths("ns", "a") == {"q": 3, "r": None}
    assert (session.requests[0].action, session.requests[0].every) == ("lengths", 0.0)


def test_one_request_replays_one_or_all_messages() -> None:
    session = Session({"kind": "replayed", "id": "1"}, {"kind": "skipped", "id": "2", "why": "at no actor"})
    assert letters(session).replay("ns", "a", ["1", "2"]) == "1 replayed; 1 not replayed: at no actor"
    assert letters(session).replay("ns", "a", None).startswith("1 replayed")
    assert [request.filter.message_ids for request in session.requests] == [["1", "2"], []]
    assert {request.action for request in session.requests} == {"replay"}


@pytest.mark.parametrize(
    "fault",
    [
        BrokerError("Unreachable", "the broker is away"),
        {"kind": "error", "problem": "x", "message": "the broker is away"},
    ],
)
def test_a_refusal_by_the_broker_keeps_its_words(fault: Any) -> None:
    with pytest.raises(Refused, match="the broker is away"):
        letters(Session(fault)).list("ns", "a")
    with pytest.raises(Refused, match="the broker is away"):
        letters(Session(fault)).replay("ns", "a", None)


def test_a_missing_target_and_a_missing_right_are_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> Any:
        raise NoTarget("no such actor")

    def denied(*_: Any) -> str:
        raise CannotControl("not yours")

    monkeypatch.setattr(acting, "find_target", missing)
    with pytest.raises(Refused, match="no such actor"):
        letters(Session()).list("ns", "a")
    nothing: Any = None
    monkeypatch.setattr(controls, "pause", denied)
    monkeypatch.setattr(controls, "resume", lambda *_: "resumed: it has 1 pod")
    with pytest.raises(Refused, match="not yours"):
        Controls(nothing).pause("ns", "a")
    assert Controls(nothing).resume("ns", "a") == "a: resumed: it has 1 pod"
