"""What the dashboard has others do: the commands of the plugin, which it offers as buttons."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kube.objects import Object


class Refused(Exception):
    """An action that cannot be done; the message says why, and what to do."""


@dataclass(frozen=True)
class Explained:
    """One actor as ``kubectl asya explain`` tells it: lines of text, by part."""

    objects: list[str] = field(default_factory=list)
    injection: list[str] = field(default_factory=list)
    queue: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    workloads: list[Object] = field(default_factory=list)
    """The workloads themselves, whose pods' templates say what is secret."""


@dataclass(frozen=True)
class Letter:
    """A message that came to its end without success."""

    id: str
    queue: str
    error: str
    text: str
    """The message itself."""


class Explainer(Protocol):
    """Explains actors."""

    def __call__(self, namespace: str, name: str) -> Explained | None:
        """What there is to tell; None if there is no such actor.

        Raises:
            ApiError: if it cannot be read.
        """


class Letters(Protocol):
    """Reaches the queues of brokers, and the dead letters in them."""

    def list(self, namespace: str, actor: str) -> Sequence[Letter]:
        """The dead letters of an actor.

        Raises:
            Refused: if they cannot be had.
        """

    def lengths(self, namespace: str, actor: str) -> dict[str, int | None]:
        """The lengths of the actor's queue and of those at the end of routes; None for one that is not there.

        Raises:
            Refused: if they cannot be had.
        """

    def replay(self, namespace: str, actor: str, ids: Sequence[str] | None) -> str:
        """Send those of these ids, or all of the actor's, to it anew; what was done, in a sentence.

        Raises:
            Refused: if that cannot be done.
        """

    def close(self) -> None:
        """Take away what was started, and start nothing more."""


class Pauser(Protocol):
    """Stops and starts the consumption of messages."""

    def pause(self, namespace: str, actor: str) -> str:
        """Pause an actor; what was done, in a sentence.

        Raises:
            Refused: if that cannot be done.
        """

    def resume(self, namespace: str, actor: str) -> str:
        """Have it go on; what was done, in a sentence.

        Raises:
            Refused: if that cannot be done.
        """


@dataclass(frozen=True)
class Ports:
    """All of them. What is None is not offered."""

    explain: Explainer
    letters: Letters | None = None
    pauser: Pauser | None = None
