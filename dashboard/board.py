"""What the table shows, kept up to date by one watch for each kind, and what of it has changed since a version.

Each change of a row raises the version. A page asks for what is newer than what it has, so it is sent differences, also
after its connection was lost; one that has been away for too long, or asks another run of the dashboard, gets all rows.
"""

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from dashboard.history import History
from dashboard.rows import measured_length, row, scaled_object_of
from kube.client import Client
from kube.informer import Informer
from kube.objects import Key, Object, key_of, slim
from kube.resources import ASYNC_ACTORS, Resource

AUTOSCALERS: Final = Resource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
BURIED: Final = 5000
"""Deleted actors that are remembered, for pages that have not heard of it."""


@dataclass(frozen=True)
class Changes:
    """What is newer than some version."""

    version: int
    rows: list[Object]
    gone: list[str] = field(default_factory=list)
    """Actors that went, as ``namespace/name``."""
    whole: bool = False
    """Whether these are all rows, and not the changed ones."""
    notices: list[Object] | None = None
    """What the page is to say at its top, if that has changed."""


class Board:
    """Rows by actor, their versions, and the notices. Safe to use from several threads."""

    def __init__(self) -> None:
        self.run = secrets.token_hex(4)
        """Names this run: versions of another one mean nothing here."""
        self.history = History()
        self._changed = threading.Condition()
        self._version = self._forgotten = self._ticks = 0
        self._actors: dict[Key, Object] = {}
        self._rows: dict[Key, tuple[int, Object]] = {}
        self._gone: OrderedDict[Key, int] = OrderedDict()
        self._lengths: dict[Key, int] = {}
        self._notices: dict[str, str] = {}
        self._noticed = 0

    # -- what the watches bring -----------------------------------------------------------------

    def take_actor(self, actor: Object, deleted: bool) -> None:
        """An AsyncActor appeared, changed or went."""
        with self._changed:
            key = key_of(actor)
            if deleted:
                self._actors.pop(key, None)
                if self._rows.pop(key, None) is not None:
                    self._bury(key)
                return
            self._actors[key] = actor
            self._refresh(key)

    def take_autoscaler(self, autoscaler: Object, deleted: bool) -> None:
        """A HorizontalPodAutoscaler appeared, changed or went."""
        owner = scaled_object_of(autoscaler)
        if not owner:
            return
        with self._changed:
            key = (key_of(autoscaler)[0], owner)
            length = None if deleted else measured_length(autoscaler)
            if length is None:
                self._lengths.pop(key, None)
            else:
                self._lengths[key] = length
            self._refresh(key)

    def notice(self, name: str, text: str) -> None:
        """Say ``text`` at the top of the page; an empty one takes back what was said by that name."""
        with self._changed:
            if self._notices.get(name, "") == text:
                return
            if text:
                self._notices[name] = text
            else:
                del self._notices[name]
            self._version += 1
            self._noticed = self._version
            self._changed.notify_all()

    def tick(self) -> None:
        """Sample the lengths of all queues."""
        with self._changed:
            self.history.sample({key: made["length"] for key, (_, made) in self._rows.items()})
            self._ticks += 1
            self._changed.notify_all()

    # -- what pages ask for -----------------------------------------------------------------------

    def changes(self, since: int | None) -> Changes:
        """What is newer than version ``since``; everything, if that is None or too long ago."""
        with self._changed:
            whole = since is None or since < self._forgotten or since > self._version
            after = -1 if whole or since is None else since
            rows = [made for version, made in self._rows.values() if version > after]
            gone = [] if whole else ["/".join(key) for key, version in self._gone.items() if version > after]
            noticed = whole or self._noticed > after
            notices = [{"id": name, "text": text} for name, text in self._notices.items()] if noticed else None
            return Changes(self._version, rows, gone, whole, notices)

    def lengths(self) -> dict[str, list[int | None]]:
        """The samples of all queues, by ``namespace/name``."""
        with self._changed:
            return self.history.of_all(self._rows)

    def wait(self, version: int, ticks: int, timeout: float) -> int:
        """Wait until something is newer than that version, or a sample was taken since so many; how many there are."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while self._version <= version and self._ticks <= ticks:
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            return self._ticks

    @property
    def ticks(self) -> int:
        """How many samples were taken."""
        return self._ticks

    def actor(self, namespace: str, name: str) -> Object | None:
        """The AsyncActor; None if there is none. Shared: never change it."""
        return self._actors.get((namespace, name))

    def row(self, namespace: str, name: str) -> Object | None:
        """The row of an actor; None if there is none."""
        result = self._rows.get((namespace, name))
        return result[1] if result is not None else None

    def queues(self) -> dict[str, list[Key]]:
        """The actors that consume each queue."""
        with self._changed:
            result: dict[str, list[Key]] = {}
            for key, (_, made) in self._rows.items():
                if made["queue"]:
                    result.setdefault(made["queue"], []).append(key)
            return result

    # -- with the lock ----------------------------------------------------------------------------

    def _refresh(self, key: Key) -> None:
        actor = self._actors.get(key)
        if actor is None:
            return
        made = row(actor, self._lengths.get(key))
        before = self._rows.get(key)
        if before is not None and before[1] == made:
            return
        self._gone.pop(key, None)
        self._version += 1
        self._rows[key] = (self._version, made)
        self._changed.notify_all()

    def _bury(self, key: Key) -> None:
        self._version += 1
        self._gone[key] = self._version
        self._gone.move_to_end(key)
        if len(self._gone) > BURIED:
            self._forgotten = self._gone.popitem(last=False)[1]
        self._changed.notify_all()


def informers(client: Client, board: Board, namespace: str, *, with_autoscalers: bool) -> list[Informer]:
    """The watches that keep ``board``: one for each kind, in a namespace or, if that is empty, in all."""
    result = [Informer(client, ASYNC_ACTORS, board.take_actor, namespace=namespace, reduce=_without_template)]
    if with_autoscalers:
        result.append(Informer(client, AUTOSCALERS, board.take_autoscaler, namespace=namespace))
    return result


def _without_template(actor: Object) -> Object:
    """``actor`` without its pod template, which may hold anything and is never shown."""
    kept = slim(actor)
    workload = (kept.get("spec") or {}).get("workload")
    if isinstance(workload, dict):
        kept["spec"] = {**kept["spec"], "workload": {k: v for k, v in workload.items() if k in ("type", "name")}}
    kept["metadata"].pop("annotations", None)
    return kept
