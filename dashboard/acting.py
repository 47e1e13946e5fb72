"""The actions behind the page's buttons. They are those of the plugin's commands, with the same messages."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, cast

from dashboard.ports import Letter, Refused
from kube.client import Client
from messages import controls
from messages.broker import BrokerError
from messages.envelope import Message
from messages.pod import SessionError
from messages.requests import Filter, Request
from messages.sessions import Session, open_session
from messages.target import NoTarget, Target, find_target

MAX_LETTERS = 200
"""The most dead letters in a list. A replay of all is not limited to these."""
MAX_REPLAYED = 1_000_000
CLOSE_SECONDS = 5.0
"""How long a close waits until the sessions have deleted their pods."""
Open = Callable[[Client, Target], Session]


@contextmanager
def _refusing() -> Iterator[None]:
    """Turns the plugin's errors into :class:`Refused` with the same message."""
    try:
        yield
    except (NoTarget, SessionError, BrokerError, controls.CannotControl) as error:
        raise Refused(str(error)) from error


class Controls:
    """Pauses and resumes actors; implements :class:`dashboard.ports.Pauser`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def pause(self, namespace: str, actor: str) -> str:
        """Pause the actor; its messages wait in its queue. Returns the result for the user."""
        with _refusing():
            return f"{actor}: {controls.pause(self._client, namespace, actor)}"

    def resume(self, namespace: str, actor: str) -> str:
        """Resume the actor. Returns the result for the user."""
        with _refusing():
            return f"{actor}: {controls.resume(self._client, namespace, actor)}"


class BrokerLetters:
    """Dead letters in brokers' queues, read with the actor's credentials; implements :class:`dashboard.ports.Letters`.

    Args:
        client: with the caller's rights.
        open: opens a session about an actor: in a short-lived pod, or from this machine.
        operator_namespace: the namespace of the operator's Deployment, whose image the pod runs.
    """

    def __init__(self, client: Client, open: Open = open_session, operator_namespace: str = "asya-system") -> None:
        self._client, self._open, self._operator_namespace = client, open, operator_namespace
        self._changed = threading.Condition()
        self._sessions: list[Session] = []
        self._is_closed = False

    def list(self, namespace: str, actor: str) -> Sequence[Letter]:
        """The messages that failed at this actor, at most MAX_LETTERS."""
        with self._session(namespace, actor) as (session, target):
            request = target.request(action="dead", filter=Filter(actor=target.actor_name), count=MAX_LETTERS)
            return [
                _letter(event["body"], str(event["queue"]), is_dead=bool(event["is_dead"]))
                for event in _events(session, request)
                if event["kind"] == "message"
            ]

    def lengths(self, namespace: str, actor: str) -> dict[str, int | None]:
        """The lengths of the actor's queue and of those at the end of routes; None for a queue that does not exist."""
        with self._session(namespace, actor) as (session, target):
            events = [*_events(session, target.request(action="lengths"))]
        return {event["queue"]: event["length"] for event in events if event["kind"] == "length"}

    def replay(self, namespace: str, actor: str, ids: Sequence[str] | None) -> str:
        """Replay the dead letters with these ids, or all that failed at this actor, to the actor that failed.

        Returns:
            The result for the user.
        """
        replayed, skipped = 0, []
        with self._session(namespace, actor) as (session, target):
            letters = Filter(actor=target.actor_name, message_ids=[*(ids or ())])
            for event in _events(session, target.request(action="replay", filter=letters, count=MAX_REPLAYED)):
                replayed += event["kind"] == "replayed"
                if event["kind"] == "skipped":
                    skipped.append(str(event["why"]))
        rest = f"; {len(skipped)} not replayed: {skipped[0]}" if skipped else ""
        return f"{replayed} replayed{rest}"

    def close(self, patience: float = CLOSE_SECONDS) -> None:
        """End all sessions, wait up to ``patience`` seconds until they have deleted their pods, and open no more."""
        with self._changed:
            self._is_closed = True
            open_sessions = [*self._sessions]
        for session in open_sessions:
            session.abandon()
        with self._changed:
            self._changed.wait_for(lambda: not self._sessions, patience)

    @contextmanager
    def _session(self, namespace: str, actor: str) -> Iterator[tuple[Session, Target]]:
        with _refusing():
            target = find_target(self._client, namespace, actor, self._operator_namespace)
            session = self._open(self._client, target)
            with self._changed:
                if self._is_closed:
                    raise Refused("the dashboard is closing")
                self._sessions.append(session)
            try:
                yield session, target
            finally:
                with self._changed:
                    self._sessions.remove(session)
                    self._changed.notify_all()


def _events(session: Session, request: Request) -> Iterator[dict[str, Any]]:
    """The events of a request.

    Raises:
        Refused: if one of the events is an error.
    """
    with closing(cast(Generator[dict[str, Any]], session.run(request))) as events:
        for event in events:
            if event["kind"] == "error":
                raise Refused(str(event["message"]))
            yield event


def _letter(body: object, queue: str, *, is_dead: bool) -> Letter:
    text = str(body)
    message = Message(text.encode(), is_dead)
    return Letter(message.message_id, queue, message.summary(), text)
