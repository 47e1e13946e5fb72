"""The buttons of the page: what the plugin's commands do, and their words for what cannot be done."""

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
"""Dead letters that are listed. Replaying all is not limited to them."""
MAX_REPLAYED = 1_000_000
CLOSE_SECONDS = 5.0
"""For what was started to be taken away when the dashboard ends."""
Open = Callable[[Client, Target], Session]


@contextmanager
def _refusing() -> Iterator[None]:
    """What cannot be done is a refusal, in the plugin's own words."""
    try:
        yield
    except (NoTarget, SessionError, BrokerError, controls.CannotControl) as error:
        raise Refused(str(error)) from error


class Controls:
    """Pauses actors and has them go on."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def pause(self, namespace: str, actor: str) -> str:
        """Have the actor take no messages, which wait in its queue."""
        with _refusing():
            return f"{actor}: {controls.pause(self._client, namespace, actor)}"

    def resume(self, namespace: str, actor: str) -> str:
        """Have it go on."""
        with _refusing():
            return f"{actor}: {controls.resume(self._client, namespace, actor)}"


class BrokerLetters:
    """Dead letters in the queues of brokers, reached with the actor's own credentials.

    Args:
        client: with the caller's rights.
        open: opens a session about an actor: in a short-lived pod, or from this machine.
        operator_namespace: where the operator's Deployment is, whose image that pod has.
    """

    def __init__(self, client: Client, open: Open = open_session, operator_namespace: str = "asya-system") -> None:
        self._client, self._open, self._operator_namespace = client, open, operator_namespace
        self._changed = threading.Condition()
        self._sessions: list[Session] = []
        self._is_closed = False

    def list(self, namespace: str, actor: str) -> Sequence[Letter]:
        """The dead letters that failed at this actor, :data:`MAX_LETTERS` at most."""
        with self._session(namespace, actor) as (session, target):
            request = target.request(action="dead", filter=Filter(actor=target.actor_name), count=MAX_LETTERS)
            return [
                _letter(event["body"], str(event["queue"]), is_dead=bool(event["is_dead"]))
                for event in _events(session, request)
                if event["kind"] == "message"
            ]

    def lengths(self, namespace: str, actor: str) -> dict[str, int | None]:
        """The lengths of the actor's queue and of those at the end of routes; None for one that is not there."""
        with self._session(namespace, actor) as (session, target):
            events = [*_events(session, target.request(action="lengths"))]
        return {event["queue"]: event["length"] for event in events if event["kind"] == "length"}

    def replay(self, namespace: str, actor: str, ids: Sequence[str] | None) -> str:
        """Send those of these ids, or all that failed at this actor, to where they failed."""
        done, skipped = 0, []
        with self._session(namespace, actor) as (session, target):
            wanted = Filter(actor=target.actor_name, message_ids=[*(ids or ())])
            for event in _events(session, target.request(action="replay", filter=wanted, count=MAX_REPLAYED)):
                done += event["kind"] == "replayed"
                if event["kind"] == "skipped":
                    skipped.append(str(event["why"]))
        left = f"; {len(skipped)} left where they are: {skipped[0]}" if skipped else ""
        return f"{done} replayed{left}"

    def close(self, patience: float = CLOSE_SECONDS) -> None:
        """Take away what was started, wait until it is, and start nothing more."""
        with self._changed:
            self._is_closed = True
            running = [*self._sessions]
        for session in running:
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
                    raise Refused("the dashboard ends")
                self._sessions.append(session)
            try:
                yield session, target
            finally:
                with self._changed:
                    self._sessions.remove(session)
                    self._changed.notify_all()


def _events(session: Session, request: Request) -> Iterator[dict[str, Any]]:
    """The events of a request; an error among them is raised.

    Raises:
        Refused: if the broker refuses midway.
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
