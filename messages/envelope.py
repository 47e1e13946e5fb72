"""What a message looks like to each generation of the sidecar, and what a dead one tells. Pure functions.

A message that failed carries the payload that it had before, so that it can be replayed: as it was, to the actor
where it failed. Docs: ``docs/sidecars.md``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from injection.generations import Generation

Object = dict[str, Any]

ENDS: Final[Mapping[Generation, tuple[str, str]]] = {
    "frames": ("happy-end", "error-end"),
    "frames-namespaced": ("happy-end", "error-end"),
    "http": ("x-sink", "x-sump"),
}
"""Names of the two actors at the end of each route: for results, and for what went wrong."""

LONGEST_PREVIEW: Final = 200


def envelope(
    generation: Generation,
    route: Sequence[str],
    payload: Any,
    message_id: str,
    headers: Mapping[str, Any] | None = None,
) -> Object:
    """A new message with ``payload`` for the first actor of ``route``."""
    first, *following = route
    made: Object = {"id": message_id}
    if generation == "http":
        made["route"] = {"prev": [], "curr": first, "next": following}
    else:
        made["route"] = {"actors": [first, *following], "current": 0}
    if headers:
        made["headers"] = dict(headers)
    return {**made, "payload": payload}


@dataclass(frozen=True)
class Message:
    """A message as it stands in a queue. Its body may be anything."""

    body: bytes
    is_dead: bool = False
    """Whether it is in a queue that only gets what went wrong."""

    @cached_property
    def fields(self) -> Object:
        """The envelope; empty if the body is none."""
        try:
            parsed = json.loads(self.body)
        except ValueError:
            return {}
        return parsed if isinstance(parsed, dict) else {}

    @property
    def is_envelope(self) -> bool:
        """Whether the body is JSON with an id, without which a sidecar takes no message."""
        return bool(self.message_id)

    @property
    def message_id(self) -> str:
        """Its id; empty if it has none."""
        return _text(self.fields.get("id"))

    @property
    def parent_id(self) -> str:
        """The id of the message that it was made of; empty if it was sent so."""
        return _text(self.fields.get("parent_id"))

    @property
    def payload(self) -> Any:
        """The payload."""
        return self.fields.get("payload")

    @property
    def route(self) -> tuple[list[str], str, list[str]]:
        """The actors before, the actor that it is at (empty at the end of the route), and those that follow."""
        route = self.fields.get("route")
        if not isinstance(route, dict):
            return [], "", []
        if "actors" in route:
            actors, current = _names(route.get("actors")), route.get("current")
            at = current if isinstance(current, int) and 0 <= current <= len(actors) else len(actors)
            return actors[:at], actors[at] if at < len(actors) else "", actors[at + 1 :]
        return _names(route.get("prev")), _text(route.get("curr")), _names(route.get("next"))

    @property
    def actor(self) -> str:
        """The actor that it is at or, at the end of its route, the last one."""
        before, current, _ = self.route
        return current or (before[-1] if before else "")

    @property
    def status(self) -> Object:
        """What the sidecar noted (http generation)."""
        status = self.fields.get("status")
        return status if isinstance(status, dict) else {}

    @property
    def error(self) -> str:
        """The error, as code or sentence; empty if nothing went wrong."""
        payload = self.payload
        if isinstance(payload, dict) and payload.get("error"):
            has_parts = bool({"details", "original_payload"} & payload.keys())
            if has_parts or self.is_dead or self.status.get("phase") == "failed":
                return _text(payload["error"])
        if self.status.get("phase") == "failed":
            return _text(self.status.get("reason")) or "failed"
        return ""

    @property
    def details(self) -> Object:
        """Type, message and traceback of an error, as far as it has them."""
        payload = self.payload
        details = payload.get("details") if self.error and isinstance(payload, dict) else None
        details = details or self.status.get("error")
        return details if isinstance(details, dict) else {}

    @property
    def original_payload(self) -> Any:
        """The payload that the actor was given, where this one tells of an error; else the payload."""
        payload = self.payload
        if self.error and isinstance(payload, dict) and payload.get("error") and payload.keys() <= _WRAPPER:
            return payload.get("original_payload")
        return payload

    def summary(self) -> str:
        """What went wrong in a line, or the beginning of the payload."""
        if self.error:
            cause = ": ".join(filter(None, (_text(self.details.get("type")), _text(self.details.get("message")))))
            return _line(f"{self.error} ({cause})" if cause else self.error)
        return preview(self.payload) if self.is_envelope else _line(self.body.decode(errors="replace"))

    def matches(self, actor: str = "", error: str = "", message_id: str = "") -> bool:
        """Whether it is at ``actor``, its error has ``error`` in its code, type or message, and it has that id."""
        if actor and actor not in (self.actor, _text(self.status.get("actor"))):
            return False
        if message_id and message_id != self.message_id:
            return False
        texts = (self.error, _text(self.details.get("type")), _text(self.details.get("message")))
        return not error or any(error.lower() in text.lower() for text in texts)


_WRAPPER: Final = frozenset(("error", "details", "original_payload"))


class CannotReplay(ValueError):
    """A message that is at no actor; the sentence says why."""


def replayed(message: Message) -> tuple[str, bytes]:
    """The actor that failed on ``message``, and the message as that actor was given it.

    The status goes, since it tells of the attempts before and of a deadline that may have passed.

    Raises:
        CannotReplay: if the message is at the end of its route, or is no envelope.
    """
    if not message.is_envelope:
        raise CannotReplay("the message is no envelope: its body is not JSON with an id")
    _, actor, _ = message.route
    if not actor:
        raise CannotReplay("the message is at the end of its route: no actor is left that could be given it")
    if actor in {end for ends in ENDS.values() for end in ends}:
        raise CannotReplay(f"the message names no actor: its route was lost, and leads to {actor}")
    fields = {key: value for key, value in message.fields.items() if key != "status"}
    fields["payload"] = message.original_payload
    return actor, json.dumps(fields, ensure_ascii=False).encode()


def preview(value: Any) -> str:
    """The beginning of a value in one line."""
    return _line(json.dumps(value, ensure_ascii=False))


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_PREVIEW else f"{line[: LONGEST_PREVIEW - 1]}…"


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
