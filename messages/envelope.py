"""The format of messages for each generation of the sidecar, and how to read dead letters. Pure functions.

A failed message carries its original payload. A replay sends that payload to the actor that failed. The formats are in
``docs/sidecars.md``.
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
"""Names of the two actors at the end of each route: for results, and for errors."""

LONGEST_PREVIEW: Final = 200
"""Characters."""


def envelope(
    generation: Generation,
    route: Sequence[str],
    payload: Any,
    message_id: str,
    headers: Mapping[str, Any] | None = None,
) -> Object:
    """A new message with ``payload`` for the first actor of ``route``."""
    first, *following = route
    message: Object = {"id": message_id}
    if generation == "http":
        message["route"] = {"prev": [], "curr": first, "next": following}
    else:
        message["route"] = {"actors": [first, *following], "current": 0}
    if headers:
        message["headers"] = dict(headers)
    return {**message, "payload": payload}


@dataclass(frozen=True)
class Message:
    """A message in a queue. Its body may be anything."""

    body: bytes
    is_dead: bool = False
    """Whether its queue holds failed messages only."""

    @cached_property
    def fields(self) -> Object:
        """The envelope; empty if the body is not a JSON object."""
        try:
            parsed = json.loads(self.body)
        except ValueError:
            return {}
        return parsed if isinstance(parsed, dict) else {}

    @property
    def is_envelope(self) -> bool:
        """Whether the body is a JSON object with an id. A sidecar accepts no other message."""
        return bool(self.message_id)

    @property
    def message_id(self) -> str:
        """The message's id; empty if it has none."""
        return _text(self.fields.get("id"))

    @property
    def parent_id(self) -> str:
        """The id of the message from which an actor made this one; empty if there is none."""
        return _text(self.fields.get("parent_id"))

    @property
    def payload(self) -> Any:
        """The payload."""
        return self.fields.get("payload")

    @property
    def route(self) -> tuple[list[str], str, list[str]]:
        """The earlier actors, the current actor (empty at the end of the route), and the following actors."""
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
        """The current actor; at the end of the route, the last one."""
        before, current, _ = self.route
        return current or (before[-1] if before else "")

    @property
    def status(self) -> Object:
        """The status that a sidecar of the http generation writes; empty without one."""
        status = self.fields.get("status")
        return status if isinstance(status, dict) else {}

    @property
    def error(self) -> str:
        """The error, as a code or a sentence; empty if the message did not fail."""
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
        """The error's type, message and traceback, as far as the message has them."""
        payload = self.payload
        details = payload.get("details") if self.error and isinstance(payload, dict) else None
        details = details or self.status.get("error")
        return details if isinstance(details, dict) else {}

    @property
    def original_payload(self) -> Any:
        """The payload before the failure; of a message that did not fail, its payload."""
        payload = self.payload
        if self.error and isinstance(payload, dict) and payload.get("error") and payload.keys() <= _WRAPPER:
            return payload.get("original_payload")
        return payload

    def summary(self) -> str:
        """One line: the error, or the beginning of the payload."""
        if self.error:
            cause = ": ".join(filter(None, (_text(self.details.get("type")), _text(self.details.get("message")))))
            return _line(f"{self.error} ({cause})" if cause else self.error)
        return preview(self.payload) if self.is_envelope else _line(self.body.decode(errors="replace"))

    def matches(self, actor: str = "", error: str = "", message_id: str = "") -> bool:
        """Whether all given criteria match.

        Args:
            actor: the current actor, or the actor in the status.
            error: a part of the error's code, type or message, in any case.
            message_id: the whole id.
        """
        if actor and actor not in (self.actor, _text(self.status.get("actor"))):
            return False
        if message_id and message_id != self.message_id:
            return False
        texts = (self.error, _text(self.details.get("type")), _text(self.details.get("message")))
        return not error or any(error.lower() in text.lower() for text in texts)


_WRAPPER: Final = frozenset(("error", "details", "original_payload"))


class CannotReplay(ValueError):
    """The message has no current actor. The text says why."""


def replayed(message: Message) -> tuple[str, bytes]:
    """The actor that failed on ``message``, and the message with its original payload.

    The status is removed, because it counts the earlier attempts and may have a deadline that has passed.

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
    """The beginning of a value's JSON in one line."""
    return _line(json.dumps(value, ensure_ascii=False))


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_PREVIEW else f"{line[: LONGEST_PREVIEW - 1]}…"


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
