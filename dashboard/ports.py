"""The interfaces through which the dashboard uses the plugin's commands. The plugin passes the implementations in."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kube.objects import Object


class Refused(Exception):
    """The action cannot be done. The message says why and what to do."""


@dataclass(frozen=True)
class Explained:
    """The output of ``kubectl asya explain`` for one actor: lines of text, by part."""

    objects: list[str] = field(default_factory=list)
    injection: list[str] = field(default_factory=list)
    queue: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    workloads: list[Object] = field(default_factory=list)
    """The workloads themselves. Their templates show which values are secret."""


@dataclass(frozen=True)
class Letter:
    """A dead letter: a message that failed."""

    id: str
    queue: str
    error: str
    text: str
    """The message's body."""


class Explainer(Protocol):
    """Explains actors."""

    def __call__(self, namespace: str, name: str) -> Explained | None:
        """The explanation; None if the actor does not exist.

        Raises:
            ApiError: if an object cannot be read.
        """


class Letters(Protocol):
    """Reads brokers' queues and the dead letters in them."""

    def list(self, namespace: str, actor: str) -> Sequence[Letter]:
        """The dead letters of an actor.

        Raises:
            Refused: if they cannot be read.
        """

    def lengths(self, namespace: str, actor: str) -> dict[str, int | None]:
        """The lengths of the actor's queue and of those at the end of routes; None for a queue that does not exist.

        Raises:
            Refused: if they cannot be read.
        """

    def replay(self, namespace: str, actor: str, ids: Sequence[str] | None) -> str:
        """Replay the dead letters with these ids, or all of the actor's; returns the result for the user.

        Raises:
            Refused: if they cannot be replayed.
        """

    def close(self) -> None:
        """Delete the objects that were created in the cluster, and create no more."""


class Pauser(Protocol):
    """Pauses and resumes actors."""

    def pause(self, namespace: str, actor: str) -> str:
        """Pause an actor; returns the result for the user.

        Raises:
            Refused: if the actor cannot be paused.
        """

    def resume(self, namespace: str, actor: str) -> str:
        """Resume an actor; returns the result for the user.

        Raises:
            Refused: if the actor cannot be resumed.
        """


@dataclass(frozen=True)
class Ports:
    """All interfaces. The page does not offer an action whose interface is None."""

    explain: Explainer
    letters: Letters | None = None
    pauser: Pauser | None = None
