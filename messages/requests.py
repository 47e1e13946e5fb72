"""Requests to a broker. They convert to plain JSON, because a short-lived pod gets them in a Secret."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Action = Literal["lengths", "send", "peek", "dead", "replay", "drop"]
Object = dict[str, Any]


@dataclass(frozen=True)
class Filter:
    """Selects dead letters. An empty field selects all."""

    actor: str = ""
    error: str = ""
    message_id: str = ""
    message_ids: list[str] = field(default_factory=list)
    """Selects messages with any of these ids."""


@dataclass(frozen=True)
class Request:
    """One request. Each action ignores the fields that it does not need."""

    action: Action
    queue: str = ""
    """The actor's own queue."""
    ends: dict[str, str] = field(default_factory=dict)
    """Queues at the end of routes, each with its routing key: results first, then errors."""
    dead: list[str] = field(default_factory=list)
    """Queues that hold failed messages only."""
    extra: list[str] = field(default_factory=list)
    """Further dead-letter queues, which the user names."""
    prefix: str = ""
    """The prefix of actors' queues."""
    exchange: str = "asya"
    bodies: list[str] = field(default_factory=list)
    """Messages to send."""
    wait_for: list[str] = field(default_factory=list)
    """Ids of messages whose answers to wait for."""
    count: int = 100
    """The most messages to show, replay or drop."""
    seconds: float = 60.0
    """How long to wait for answers, or to report lengths."""
    every: float = 0.0
    """Seconds between two reports of lengths; 0: only one report."""
    queues: list[str] = field(default_factory=list)
    """Queues whose lengths to report."""
    filter: Filter = field(default_factory=Filter)
    results_too: bool = False
    """Whether to include messages at the end of a route that did not fail."""

    def to_json(self) -> Object:
        """The request as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Object) -> "Request":
        """The request from plain JSON values. Fields that a newer plugin added are ignored."""
        known = {key: value for key, value in data.items() if key in cls.__dataclass_fields__}
        return cls(**{**known, "filter": Filter(**(known.get("filter") or {}))})
