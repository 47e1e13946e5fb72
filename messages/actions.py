"""What is done with a broker: each action makes events, plain JSON objects whose ``kind`` says what they are.

| kind | other fields |
|---|---|
| ``length`` | ``queue``, ``length`` (null: there is no such queue) |
| ``sent`` | ``id``, ``queue`` |
| ``answer`` | ``queue``, ``body`` |
| ``message`` | ``queue``, ``body``, ``deliveries``, ``origin``, ``is_dead`` |
| ``replayed``, ``dropped`` | ``id``, ``from``; ``queue`` where it went |
| ``skipped`` | ``id``, ``from``, ``why`` |
| ``moved`` | ``id``, ``queue``: put at the end of its queue instead of back in its place |
| ``missing`` | ``queue``: there is no such queue |
| ``progress`` | ``done``, ``of`` |
| ``error`` | ``problem``, ``message``; the last event |

A message is never removed before the broker has confirmed its successor. A process that ends between the two leaves the
message in both places, so one message at most is doubled and none is lost.
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
    """Do what is asked, and tell of it; ends early, and whole, once ``stop`` says so.

    Raises:
        BrokerError: if the broker cannot be used as asked.
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
    """Wait; False if there is no more to wait for."""
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
    """The first answer to each message, as it arrives at the end of the route."""
    until, left = time.monotonic() + request.seconds, set(request.wait_for)
    while left and time.monotonic() < until and not stop():
        for queue, body in watch.arrivals(min(1.0, max(0.1, until - time.monotonic()))):
            message = Message(body)
            answered = {message.message_id, message.parent_id} & left
            if answered:
                left -= answered
                yield {"kind": "answer", "queue": queue, "body": _text(body), "is_dead": queue in request.dead}
            if not left:
                return


def _peek(broker: Broker, request: Request, stop: Stop) -> Iterator[Event]:
    yield from _look(broker, request.queue, request.count, stop, lambda held: True, is_dead=False)


def _dead(broker: Broker, request: Request, stop: Stop) -> Iterator[Event]:
    left = request.count
    for queue, is_dead, length in _sources(broker, request):
        if length is None:
            yield {"kind": "missing", "queue": queue}
            continue

        def is_meant(held: Held, is_dead: bool = is_dead) -> bool:
            return _is_meant(held, is_dead, request)

        for event in _look(broker, queue, length, stop, is_meant, is_dead=is_dead):
            left -= event["kind"] == "message"
            yield event
            if left <= 0:
                return


def _look(
    broker: Broker, queue: str, most: int, stop: Stop, is_meant: Callable[[Held], bool], *, is_dead: bool
) -> Iterator[Event]:
    """Tell of messages that are meant, and give all back."""
    report = _Progress(most)
    for held in broker.hold(queue, most):
        if is_meant(held):
            yield _of(held, is_dead)
        if broker.is_worn(held):
            yield from _moved(broker, held)
            break
        yield from report.next()
        if stop():
            break
    broker.give_back()


def _of(held: Held, is_dead: bool) -> Event:
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
        name = Message(held.body).message_id
        try:
            queue, body = _destination(held, is_dead, request)
        except CannotReplay as error:
            return {"kind": "skipped", "id": name, "from": held.queue, "why": str(error)}
        try:
            broker.publish(queue, body)
        except BrokerError as error:
            if error.problem != "QueueMissing":
                raise
            return {"kind": "skipped", "id": name, "from": held.queue, "why": error.message}
        broker.remove(held)
        return {"kind": "replayed", "id": name, "from": held.queue, "queue": queue}

    yield from _each(broker, request, stop, replay)


def _destination(held: Held, is_dead: bool, request: Request) -> tuple[str, bytes]:
    """Where a dead letter goes, and as what: one that the broker itself moved here is as it was."""
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


def _each(broker: Broker, request: Request, stop: Stop, do: Callable[[Held, bool], Event]) -> Iterator[Event]:
    """Do something with each dead letter that is meant. What comes meanwhile is not looked at, so it ends."""
    left = request.count
    for queue, is_dead, length in _sources(broker, request):
        if length is None:
            yield {"kind": "missing", "queue": queue}
            continue
        report = _Progress(length)
        for held in broker.hold(queue, length):
            event: Event = {"kind": "kept"}
            if left > 0 and _is_meant(held, is_dead, request):
                event = do(held, is_dead)
                left -= event["kind"] != "skipped"
                yield event
            if event["kind"] in ("kept", "skipped") and broker.is_worn(held):
                yield from _moved(broker, held)
            yield from report.next()
            if stop() or left <= 0:
                break
        broker.give_back()
        if stop() or left <= 0:
            return


def _sources(broker: Broker, request: Request) -> Iterator[tuple[str, bool, int | None]]:
    """Queues with dead letters, whether they hold nothing else, and their lengths; None for one that is not there."""
    by_broker = list(broker.dead_letter_queues(request.queue))
    named = [*request.dead, *request.ends, *by_broker, *request.extra]
    for queue in dict.fromkeys(named):
        yield queue, queue not in request.ends or queue in request.dead, broker.length(queue)


def _is_meant(held: Held, is_dead: bool, request: Request) -> bool:
    message, wanted = Message(held.body, is_dead), request.filter
    actor = wanted.actor
    if actor and held.queue not in request.ends:
        # In a queue of the broker's own, the queue that it came from tells whose it is.
        actor = "" if held.origin in ("", request.queue) else actor
    if not message.matches(actor, wanted.error, wanted.message_id):
        return False
    if wanted.message_ids and message.message_id not in wanted.message_ids:
        return False
    return is_dead or request.results_too or bool(message.error)


def _moved(broker: Broker, held: Held) -> Iterator[Event]:
    broker.move_to_end(held)
    yield {"kind": "moved", "id": Message(held.body).message_id, "queue": held.queue, "deliveries": held.deliveries}


class _Progress:
    """Tells how far a long action is, once a second."""

    def __init__(self, total: int) -> None:
        self._total, self._done, self._next = total, 0, time.monotonic() + PROGRESS_SECONDS

    def next(self) -> Iterator[Event]:
        """One more is done."""
        self._done += 1
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + PROGRESS_SECONDS
            yield {"kind": "progress", "done": self._done, "of": self._total}


def _text(body: bytes) -> str:
    return body.decode(errors="backslashreplace")
