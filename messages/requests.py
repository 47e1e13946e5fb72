"""What is asked of a broker, as plain JSON: it goes to a short-lived pod as it stands."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Action = Literal["lengths", "send", "peek", "dead", "replay", "drop"]
Object = dict[str, Any]


@dataclass(frozen=True)
class Filter:
    """Which dead letters are meant; an empty field means any."""

    actor: str = ""
    error: str = ""
    message_id: str = ""
    message_ids: list[str] = field(default_factory=list)
    """Any of these."""


@dataclass(frozen=True)
class Request:
    """One piece of work. Fields that an action does not need are ignored."""

    action: Action
    queue: str = ""
    """The actor's own queue."""
    ends: dict[str, str] = field(default_factory=dict)
    """Queues at the end of routes, each with its routing key: results first, then what went wrong."""
    dead: list[str] = field(default_factory=list)
    """Queues that only get what went wrong."""
    extra: list[str] = field(default_factory=list)
    """Further dead-letter queues, which the user names."""
    prefix: str = ""
    """Of the queues of actors."""
    exchange: str = "asya"
    bodies: list[str] = field(default_factory=list)
    """Messages to send."""
    wait_for: list[str] = field(default_factory=list)
    """Ids of messages whose answers are waited for."""
    count: int = 100
    """Most messages to look at, or to take."""
    seconds: float = 60.0
    """How long to wait for answers, or to watch lengths."""
    every: float = 0.0
    """Seconds between two reports of lengths; only one report if zero."""
    queues: list[str] = field(default_factory=list)
    """Queues whose lengths are asked for."""
    filter: Filter = field(default_factory=Filter)
    results_too: bool = False
    """Whether dead letters include what ended well."""

    def to_json(self) -> Object:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Object) -> "Request":
        """From JSON; fields of a newer plugin are ignored."""
        known = {key: value for key, value in data.items() if key in cls.__dataclass_fields__}
        return cls(**{**known, "filter": Filter(**(known.get("filter") or {}))})
