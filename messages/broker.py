"""What all brokers have in common: messages that are held and given back, and how a broker says no."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Problem = Literal["QueueMissing", "AccessDenied", "Unreachable", "Refused", "BadSetting"]


class BrokerError(Exception):
    """The broker cannot be used as asked; ``problem`` is the kind, the text one sentence with what to do."""

    def __init__(self, problem: Problem, message: str) -> None:
        super().__init__(message)
        self.problem, self.message = problem, message


@dataclass(frozen=True)
class Held:
    """A message that the broker keeps for us until it is removed or given back."""

    queue: str
    receipt: Any
    body: bytes
    deliveries: int | None = None
    """How often it was delivered before, where a queue counts that."""
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """The queue from which the broker itself dead-lettered it; empty if an actor sent it here."""
        deaths = self.properties.get("x-death")
        return str(deaths[0].get("queue", "")) if isinstance(deaths, list) and deaths else ""


class Watch(Protocol):
    """Waits for messages that arrive at the ends of routes, and takes none away from others."""

    def arrivals(self, seconds: float) -> Iterator[tuple[str, bytes]]:
        """Queue and body of each message that arrives; ends after so many seconds."""

    def close(self) -> None:
        """Stop."""


class Broker(Protocol):
    """One broker, as one actor reaches it. Not safe to share between threads."""

    def length(self, queue: str) -> int | None:
        """Messages that wait in a queue; None if there is no such queue."""

    def dead_letter_queues(self, queue: str) -> Sequence[str]:
        """Queues to which the broker itself moves what it cannot deliver, as far as it tells."""

    def publish(self, queue: str, body: bytes, key: str = "") -> None:
        """Put a message into a queue, and return once the broker has it.

        Raises:
            BrokerError: if it has not.
        """

    def hold(self, queue: str, most: int) -> Iterator[Held]:
        """Up to ``most`` messages of a queue, one by one; none comes twice."""

    def is_worn(self, held: Held) -> bool:
        """Whether a held message may have come back so often that its queue would remove it the next time."""

    def remove(self, held: Held) -> None:
        """Take a held message out of its queue."""

    def move_to_end(self, held: Held) -> None:
        """Put a held message at the end of its queue, as a new one."""

    def give_back(self) -> None:
        """Give all messages back that are held, in their places where the broker allows it."""

    def watch(self, queues: Mapping[str, str], exchange: str) -> Watch:
        """Watch queues, each with the routing key by which sidecars send to it."""

    def close(self) -> None:
        """Give back what is held, and leave."""
