"""``kubectl asya dlq show`` and ``drop``, and ``logs --follow``, on a broker and a cluster in memory."""

import json
import threading
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import messaging
from cli.main import app
from kube.failures import ApiError
from messages import actions, logs
from messages.broker import Held, Watch
from messages.requests import Request
from tests.unit.test_messages import target

ACTOR = target()
SUMP = list(ACTOR.ends)[1]


def dead(name: str) -> bytes:
    """A message that failed at the actor."""
    payload = {
        "error": "processing_error",
        "details": {"type": "ValueError", "message": "bad", "traceback": f"Traceback of {name}"},
        "original_payload": {"n": name},
    }
    route = {"prev": [], "curr": "a", "next": []}
    return json.dumps({"id": name, "route": route, "payload": payload}).encode()


class Memory:
    """A broker whose queues are lists."""

    def __init__(self, queues: dict[str, list[bytes]]) -> None:
        self.queues = queues

    def length(self, queue: str) -> int | None:
        """Messages in a queue."""
        return len(self.queues[queue]) if queue in self.queues else None

    def dead_letter_queues(self, queue: str) -> tuple[str, ...]:
        """None."""
        return ()

    def publish(self, queue: str, body: bytes, key: str = "") -> None:
        """Put a message into a queue."""
        self.queues[queue].append(body)

    def hold(self, queue: str, most: int) -> Iterator[Held]:
        """Messages of a queue."""
        for body in self.queues[queue][:most]:
            yield Held(queue, body, body)

    def is_worn(self, held: Held) -> bool:
        """Never."""
        return False

    def remove(self, held: Held) -> None:
        """Take it out."""
        self.queues[held.queue].remove(held.body)

    def move_to_end(self, held: Held) -> None:
        """Not needed."""

    def give_back(self) -> None:
        """Nothing is taken."""

    def watch(self, queues: Mapping[str, str], exchange: str) -> Watch:
        """Not needed."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing to close."""


class Desk:
    """The actor's messages, on the broker in memory."""

    def __init__(self, broker: Memory) -> None:
        self.target, self._broker = ACTOR, broker

    def run(self, request: Request) -> Iterator[dict[str, Any]]:
        """The events of a request."""
        return actions.run(self._broker, request)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """Two dead letters at the end of the route, reached by the commands."""
    made = Memory({SUMP: [dead("1"), dead("2")]})
    monkeypatch.setattr(messaging, "Desk", lambda *_: Desk(made))
    return made


def test_show_prints_the_whole_message_and_its_traceback(broker: Memory) -> None:
    result = CliRunner().invoke(app, ["dlq", "show", "a", "2"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads(dead("2"))
    assert "Traceback of 2" in result.stderr
    assert broker.queues[SUMP] == [dead("1"), dead("2")]


def test_show_names_a_message_that_is_not_there(broker: Memory) -> None:
    result = CliRunner().invoke(app, ["dlq", "show", "a", "3"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no message '3'" in result.stderr


class Terminal:
    """Somebody at a terminal, who answers after another message has arrived."""

    def __init__(self, answer: str, broker: Memory) -> None:
        self._answer, self._broker = answer, broker

    def isatty(self) -> bool:
        """Yes."""
        return True

    def confirm(self, text: str, err: bool) -> bool:
        """The answer to the question that ``drop`` asks."""
        assert (text, err) == ("Drop 2 messages for ever?", True)
        self._broker.queues[SUMP].append(dead("late"))
        return self._answer == "y"


@pytest.mark.parametrize(
    ("answer", "code", "left"), [("y", 0, [dead("late")]), ("n", 1, [dead("1"), dead("2"), dead("late")])]
)
def test_drop_asks_and_drops_what_it_asked_about(
    broker: Memory, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, left: list[bytes]
) -> None:
    terminal = Terminal(answer, broker)
    monkeypatch.setattr(messaging, "sys", SimpleNamespace(stdin=terminal))
    monkeypatch.setattr("typer.confirm", terminal.confirm)
    result = CliRunner().invoke(app, ["dlq", "drop", "a"])
    assert result.exit_code == code, result.output
    assert broker.queues[SUMP] == left


# -- logs --follow -------------------------------------------------------------------------------------


class Following:
    """A cluster with one pod, and a second one from the second look on."""

    def __init__(self, refused: bool = False) -> None:
        self._refused, self._looks = refused, 0

    def list(self, *_: Any, **__: Any) -> list[Any]:
        """The pods."""
        self._looks += 1
        return [self._pod(name) for name in ("p", "q")[: self._looks]]

    def _pod(self, name: str) -> Any:
        started = {"name": "runtime", "state": {"running": {}}}
        return {
            "metadata": {"name": name},
            "spec": {"containers": [{"name": "runtime"}]},
            "status": {"containerStatuses": [started]},
        }

    def request(self, _method: str, path: str, *, query: dict[str, str], **_: Any) -> Any:
        """The log of a pod."""
        if self._refused:
            raise ApiError(403, "Forbidden", 'cannot get resource "pods/log" in API group "" in the namespace "n"')
        assert query["follow"] == "true"
        line = f"2026-01-01T00:00:01Z of {path.split('/')[-2]}\n"  # the same again where the log is opened again
        return type("Response", (list,), {"close": lambda self: None})([line.encode()])


def test_lines_of_pods_that_start_later_are_followed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOOK_SECONDS", 0.05)
    client: Any = Following()
    ended = threading.Event()
    lines = []
    for line in logs.follow(client, "n", "a", stop=ended.is_set):
        lines.append(line.text)
        if len(lines) == 2:
            ended.set()
    assert lines == ["of p", "of q"]


def test_a_log_that_may_not_be_read_ends_it_with_the_right_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOOK_SECONDS", 0.05)
    client: Any = Following(refused=True)
    with pytest.raises(logs.NoLogs, match="pods --subresource log"):
        list(logs.follow(client, "n", "a"))
