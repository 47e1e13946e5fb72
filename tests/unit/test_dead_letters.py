"""``kubectl asya dlq show`` and ``drop``, and ``logs --follow``, with a broker and a cluster in memory."""

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
    """A message on which the actor failed."""
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
        """Number of messages in a queue."""
        return len(self.queues[queue]) if queue in self.queues else None

    def dead_letter_queues(self, queue: str) -> tuple[str, ...]:
        """The broker has none."""
        return ()

    def publish(self, queue: str, body: bytes, key: str = "") -> None:
        """Add a message to a queue."""
        self.queues[queue].append(body)

    def hold(self, queue: str, most: int) -> Iterator[Held]:
        """The messages of a queue."""
        for body in self.queues[queue][:most]:
            yield Held(queue, body, body)

    def is_worn(self, held: Held) -> bool:
        """No message is worn."""
        return False

    def remove(self, held: Held) -> None:
        """Remove the message."""
        self.queues[held.queue].remove(held.body)

    def move_to_end(self, held: Held) -> None:
        """Not used."""

    def give_back(self) -> None:
        """No message was taken."""

    def watch(self, queues: Mapping[str, str], exchange: str) -> Watch:
        """Not used."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing to close."""


class Desk:
    """The actor's messages on the broker in memory."""

    def __init__(self, broker: Memory) -> None:
        self.target, self._broker = ACTOR, broker

    def run(self, request: Request) -> Iterator[dict[str, Any]]:
        """The events of a request."""
        return actions.run(self._broker, request)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """Two dead letters at the end of the route. The commands use this broker."""
    made = Memory({SUMP: [dead("1"), dead("2")]})
    monkeypatch.setattr(messaging, "Desk", lambda *_: Desk(made))
    return made


def test_show_prints_the_whole_message_and_its_traceback(broker: Memory) -> None:
    result = CliRunner().invoke(app, ["dlq", "show", "a", "2"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads(dead("2"))
    assert "Traceback of 2" in result.stderr
    assert broker.queues[SUMP] == [dead("1"), dead("2")]


def test_show_names_a_missing_message(broker: Memory) -> None:
    result = CliRunner().invoke(app, ["dlq", "show", "a", "3"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no message '3'" in result.stderr


class Terminal:
    """A user at a terminal who answers after another message has arrived."""

    def __init__(self, answer: str, broker: Memory) -> None:
        self._answer, self._broker = answer, broker

    def isatty(self) -> bool:
        """Standard input is a terminal."""
        return True

    def confirm(self, text: str, err: bool) -> bool:
        """The answer to the question that ``drop`` asks."""
        assert (text, err) == ("Drop 2 messages for ever?", True)
        self._broker.queues[SUMP].append(dead("late"))
        return self._answer == "y"


@pytest.mark.parametrize(
    ("answer", "code", "left"), [("y", 0, [dead("late")]), ("n", 1, [dead("1"), dead("2"), dead("late")])]
)
def test_drop_asks_and_drops_only_the_counted_messages(
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
    """A cluster with one pod, and a second pod from the second request on."""

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
        line = f"2026-01-01T00:00:01Z of {path.split('/')[-2]}\n"  # the same lines again if the log is opened again
        return type("Response", (list,), {"close": lambda self: None})([line.encode()])


def test_lines_of_later_pods_are_followed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOOK_SECONDS", 0.05)
    client: Any = Following()
    ended = threading.Event()
    lines = []
    for line in logs.follow(client, "n", "a", stop=ended.is_set):
        lines.append(line.text)
        if len(lines) == 2:
            ended.set()
    assert lines == ["of p", "of q"]


def test_a_forbidden_log_ends_the_command_and_names_the_missing_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOOK_SECONDS", 0.05)
    client: Any = Following(refused=True)
    with pytest.raises(logs.NoLogs, match="pods --subresource log"):
        list(logs.follow(client, "n", "a"))
