"""The interface of brokers: messages are held and given back, and a refusal is a :class:`BrokerError`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Problem = Literal["QueueMissing", "AccessDenied", "Unreachable", "Refused", "BadSetting"]


class BrokerError(Exception):
    """The broker cannot be reached, or refuses. ``problem`` is the kind; the message says what to do."""

    def __init__(self, problem: Problem, message: str) -> None:
        super().__init__(message)
        self.problem, self.message = problem, message


@dataclass(frozen=True)
class Held:
    """A message that no other consumer gets until it is removed or given back."""

    queue: str
    receipt: Any
    """The broker's handle of this delivery."""
    body: bytes
    deliveries: int | None = None
    """How often the message was delivered before; None if the queue does not count."""
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """The queue from which the broker itself dead-lettered the message; empty if a sidecar sent it."""
        deaths = self.properties.get("x-death")
        return str(deaths[0].get("queue", "")) if isinstance(deaths, list) and deaths else ""


class Watch(Protocol):
    """Reports messages that arrive at the ends of routes. Other consumers still get them."""

    def arrivals(self, seconds: float) -> Iterator[tuple[str, bytes]]:
        """Queue and body of each message that arrives within ``seconds``."""

    def close(self) -> None:
        """Stop the watch."""


class Broker(Protocol):
    """A connection to one broker with an actor's credentials. Not safe to share between threads.

    All methods raise BrokerError if the broker cannot be reached, or refuses.
    """

    def length(self, queue: str) -> int | None:
        """The number of messages that wait in a queue; None if the queue does not exist."""

    def dead_letter_queues(self, queue: str) -> Sequence[str]:
        """The queues to which the broker itself dead-letters messages of ``queue``, as far as its API shows them."""

    def publish(self, queue: str, body: bytes, key: str = "") -> None:
        """Put a message into a queue. Returns when the broker has confirmed it."""

    def hold(self, queue: str, most: int) -> Iterator[Held]:
        """Up to ``most`` messages of a queue, each once."""

    def is_worn(self, held: Held) -> bool:
        """Whether the queue may remove the message if it is given back once more, because of a delivery limit."""

    def remove(self, held: Held) -> None:
        """Remove a held message from its queue."""

    def move_to_end(self, held: Held) -> None:
        """Put a held message at the end of its queue as a new message."""

    def give_back(self) -> None:
        """Give all held messages back, to their old places if the broker allows it."""

    def watch(self, queues: Mapping[str, str], exchange: str) -> Watch:
        """Watch ``queues``; each name has the routing key by which sidecars send to the queue."""

    def close(self) -> None:
        """Give held messages back and close the connection."""
