"""The actions on a broker's queues. Each action yields events, which are plain JSON objects with a ``kind``.

| kind | other fields |
|---|---|
| ``length`` | ``queue``, ``length`` (null: the queue does not exist) |
| ``sent`` | ``id``, ``queue`` |
| ``answer`` | ``queue``, ``body`` |
| ``message`` | ``queue``, ``body``, ``deliveries``, ``origin``, ``is_dead`` |
| ``replayed``, ``dropped`` | ``id``, ``from``; for replayed ones the new ``queue`` |
| ``skipped`` | ``id``, ``from``, ``why`` |
| ``moved`` | ``id``, ``queue``: the message is now at the end of its queue, not in its old place |
| ``missing`` | ``queue``, which does not exist |
| ``progress`` | ``done``, ``of`` |
| ``error`` | ``problem``, ``message``; the last event |

An action removes a message only after the broker has confirmed the new one. If the process ends between the two steps,
the message is in both places. So at most one message is duplicated, and none is lost.
"""

import time
from collections.abc import Callable, Iterator
from typing import Any

from messages.broker import Broker, BrokerError, Held, Watch
from messages.envelope import CannotReplay, Message, replayed
from messages.requests import Request

Event = dict[str, Any]
Stop = Callable[[], bool]
PROGRESS_SECONDS = 1.0


def run(broker: Broker, request: Request, stop: Stop = lambda: False) -> Iterator[Event]:
    """Run the request's action and yield its events.

    Args:
        broker: the actor's broker.
        request: the action and its parameters.
        stop: returns True to end the action early, after the message in hand.

    Raises:
        BrokerError: if the broker cannot be reached, or refuses.
    """
    action = {
        "lengths": _lengths,
        "send": _send,
        "peek": _peek,
        "dead": _dead,
        "replay": _replay,
        "drop": _drop,
    }[request.action]
    try:
        yield from action(broker, request, stop)
    finally:
        broker.give_back()


def _lengths(broker: Broker, request: Request, stop: Stop) -> Iterator[Event]:
    until = time.monotonic() + request.seconds
    while True:
        for queue in request.queues:
            yield {"kind": "length", "queue": queue, "length": broker.length(queue)}
        if not request.every or not _pause(request.every, until, stop):
            return


def _pause(seconds: float, until: float, stop: Stop) -> bool:
    """Sleep for ``seconds``; returns False if ``stop`` or the deadline ``until`` comes first."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if stop() or time.monotonic() >= until:
            return False
        time.sleep(min(0.2, seconds))
    return True


def _send(broker: Broker, request: Request, stop: Stop) -> Iterator[Event]:
    watch = broker.watch(request.ends, request.exchange) if request.wait_for else None
    try:
        for body in request.bodies:
            broker.publish(request.queue, body.encode())
            yield {"kind": "sent", "id": Message(body.encode()).message_id, "queue": request.queue}
        if watch is not None:
            yield from _answers(watch, request, stop)
    finally:
        if watch is not None:
            watch.close()


def _answers(watch: Watch, request: Request, stop: Stop) -> Iterator[Event]:
    """The first answer to each message of ``request.wait_for``, when it arrives at the end of the route."""
    until, unanswered = time.monotonic() + request.seconds, set(request.wait_for)
    while unanswered and time.monotonic() < until and not stop():
        for queue, body in watch.arrivals(min(1.0, max(0.1, until - time.monotonic()))):
            message = Message(body)
            answered = {message.message_id, message.parent_id} & unanswered
            if answered:
                unanswered -= answered
                yield {"kind": "answer", "queue": queue, "body": _text(body), "is_dead": queue in request.dead}
            if not unanswered:
                return


def _peek(broker: Broker, request: Request, stop: Stop) -> Iterator[Event]:
    yield from _show(broker, request.queue, request.count, stop, lambda held: True, is_dead=False)


def _dead(broker: Broker, request: Request, stop: Stop) -> Iterator[Event]:
    remaining = request.count
    for queue, is_dead, length in _sources(broker, request):
        if length is None:
            yield {"kind": "missing", "queue": queue}
            continue

        def is_selected(held: Held, is_dead: bool = is_dead) -> bool:
            return _is_selected(held, is_dead, request)

        for event in _show(broker, queue, length, stop, is_selected, is_dead=is_dead):
            remaining -= event["kind"] == "message"
            yield event
            if remaining <= 0:
                return


def _show(
    broker: Broker, queue: str, most: int, stop: Stop, is_selected: Callable[[Held], bool], *, is_dead: bool
) -> Iterator[Event]:
    """Yield an event for each selected message among the first ``most``, then give all messages back."""
    progress = _Progress(most)
    for held in broker.hold(queue, most):
        if is_selected(held):
            yield _message_event(held, is_dead)
        if broker.is_worn(held):
            yield from _move_to_end(broker, held)
            break
        yield from progress.next()
        if stop():
            break
    broker.give_back()


def _message_event(held: Held, is_dead: bool) -> Event:
    return {
        "kind": "message",
        "queue": held.queue,
        "body": _text(held.body),
        "deliveries": held.deliveries,
        "origin": held.origin,
        "is_dead": is_dead,
    }


def _replay(broker: Broker, request: Request, stop: Stop) -> Iterator[Event]:
    def replay(held: Held, is_dead: bool) -> Event:
        message_id = Message(held.body).message_id
        try:
            queue, body = _destination(held, is_dead, request)
        except CannotReplay as error:
            return {"kind": "skipped", "id": message_id, "from": held.queue, "why": str(error)}
        try:
            broker.publish(queue, body)
        except BrokerError as error:
            if error.problem != "QueueMissing":
                raise
            return {"kind": "skipped", "id": message_id, "from": held.queue, "why": error.message}
        broker.remove(held)
        return {"kind": "replayed", "id": message_id, "from": held.queue, "queue": queue}

    yield from _each(broker, request, stop, replay)


def _destination(held: Held, is_dead: bool, request: Request) -> tuple[str, bytes]:
    """The queue and the body of the message that replays a dead letter.

    A message that the broker itself dead-lettered goes back to its queue unchanged. A message that a sidecar sent to
    the end of the route gets its original payload and goes to the actor that failed. Any other message goes to the
    actor's own queue unchanged.

    Raises:
        CannotReplay: if no actor failed on the message.
    """
    if held.origin:
        return held.origin, held.body
    if held.queue not in request.ends:
        return request.queue, held.body
    actor, body = replayed(Message(held.body, is_dead))
    return request.prefix + actor, body


def _drop(broker: Broker, request: Request, stop: Stop) -> Iterator[Event]:
    def drop(held: Held, is_dead: bool) -> Event:
        broker.remove(held)
        return {"kind": "dropped", "id": Message(held.body).message_id, "from": held.queue}

    yield from _each(broker, request, stop, drop)


def _each(broker: Broker, request: Request, stop: Stop, act: Callable[[Held, bool], Event]) -> Iterator[Event]:
    """Call ``act`` for each selected dead letter. Messages that arrive during the action are not read, so it ends."""
    remaining = request.count
    for queue, is_dead, length in _sources(broker, request):
        if length is None:
            yield {"kind": "missing", "queue": queue}
            continue
        progress = _Progress(length)
        for held in broker.hold(queue, length):
            event: Event = {"kind": "kept"}
            if remaining > 0 and _is_selected(held, is_dead, request):
                event = act(held, is_dead)
                remaining -= event["kind"] != "skipped"
                yield event
            if event["kind"] in ("kept", "skipped") and broker.is_worn(held):
                yield from _move_to_end(broker, held)
            yield from progress.next()
            if stop() or remaining <= 0:
                break
        broker.give_back()
        if stop() or remaining <= 0:
            return


def _sources(broker: Broker, request: Request) -> Iterator[tuple[str, bool, int | None]]:
    """The queues with dead letters: name, whether it holds dead letters only, and length (None: it does not exist)."""
    by_broker = list(broker.dead_letter_queues(request.queue))
    names = [*request.dead, *request.ends, *by_broker, *request.extra]
    for queue in dict.fromkeys(names):
        yield queue, queue not in request.ends or queue in request.dead, broker.length(queue)


def _is_selected(held: Held, is_dead: bool, request: Request) -> bool:
    """Whether the request's filter selects a message."""
    message, filters = Message(held.body, is_dead), request.filter
    actor = filters.actor
    if actor and held.queue not in request.ends:
        # The broker itself dead-lettered it: the queue that it came from shows which actor it was for.
        actor = "" if held.origin in ("", request.queue) else actor
    if not message.matches(actor, filters.error, filters.message_id):
        return False
    if filters.message_ids and message.message_id not in filters.message_ids:
        return False
    return is_dead or request.results_too or bool(message.error)


def _move_to_end(broker: Broker, held: Held) -> Iterator[Event]:
    broker.move_to_end(held)
    yield {"kind": "moved", "id": Message(held.body).message_id, "queue": held.queue, "deliveries": held.deliveries}


class _Progress:
    """Yields a ``progress`` event once a second during a long action."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._next = total, 0, time.monotonic() + PROGRESS_SECONDS

    def next(self) -> Iterator[Event]:
        """Count one message more."""
        self._done += 1
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PROGRESS_SECONDS
            yield {"kind": "progress", "done": self._done, "of": self._total}


def _text(body: bytes) -> str:
    return body.decode(errors="backslashreplace")
