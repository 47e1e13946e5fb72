"""The rows of the table, kept up to date by one watch per kind, with a version for each change.

Each change of a row raises the version. A page asks for all changes since its own version, also after a lost
connection. It gets all rows if its version is too old, or is from an earlier run of the dashboard.
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
MAX_DELETED: Final = 5000
"""Maximum of stored deleted actors, for pages with an older version."""


@dataclass(frozen=True)
class Changes:
    """The changes since a version."""

    version: int
    """The current version."""
    rows: list[Object]
    gone: list[str] = field(default_factory=list)
    """Deleted actors, as ``namespace/name``."""
    whole: bool = False
    """Whether ``rows`` are all rows, not only the changed ones."""
    notices: list[Object] | None = None
    """The notices at the top of the page; None if they have not changed."""


class Board:
    """Rows by actor, their versions, and the notices. Safe to use from several threads."""

    def __init__(self) -> None:
        self.run = secrets.token_hex(4)
        """An id of this run. Versions of another run are not valid."""
        self.history = History()
        self._changed = threading.Condition()
        self._version = self._ticks = 0
        self._oldest = 0
        """The oldest version for which all deletions since are stored."""
        self._actors: dict[Key, Object] = {}
        self._rows: dict[Key, tuple[int, Object]] = {}
        self._gone: OrderedDict[Key, int] = OrderedDict()
        self._lengths: dict[Key, int] = {}
        self._notices: dict[str, str] = {}
        self._notices_version = 0
        """The version of the last change of the notices."""

    # -- called by the watches ------------------------------------------------------------------

    def take_actor(self, actor: Object, deleted: bool) -> None:
        """An AsyncActor was created, changed or deleted."""
        with self._changed:
            key = key_of(actor)
            if deleted:
                self._actors.pop(key, None)
                if self._rows.pop(key, None) is not None:
                    self._note_deleted(key)
                return
            self._actors[key] = actor
            self._refresh(key)

    def take_autoscaler(self, autoscaler: Object, deleted: bool) -> None:
        """A HorizontalPodAutoscaler was created, changed or deleted."""
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
        """Show ``text`` at the top of the page; an empty text removes the notice of that name."""
        with self._changed:
            if self._notices.get(name, "") == text:
                return
            if text:
                self._notices[name] = text
            else:
                del self._notices[name]
            self._version += 1
            self._notices_version = self._version
            self._changed.notify_all()

    def tick(self) -> None:
        """Sample the lengths of all queues."""
        with self._changed:
            self.history.sample({key: current["length"] for key, (_, current) in self._rows.items()})
            self._ticks += 1
            self._changed.notify_all()

    # -- called for pages -------------------------------------------------------------------------

    def changes(self, since: int | None) -> Changes:
        """The changes since version ``since``; all rows if that is None or too old."""
        with self._changed:
            whole = since is None or since < self._oldest or since > self._version
            after = -1 if whole or since is None else since
            rows = [current for version, current in self._rows.values() if version > after]
            gone = [] if whole else ["/".join(key) for key, version in self._gone.items() if version > after]
            has_new_notices = whole or self._notices_version > after
            notices = [{"id": name, "text": text} for name, text in self._notices.items()] if has_new_notices else None
            return Changes(self._version, rows, gone, whole, notices)

    def lengths(self) -> dict[str, list[int | None]]:
        """The samples of all queues' lengths, by ``namespace/name`` of the actor."""
        with self._changed:
            return self.history.of_all(self._rows)

    def wait(self, version: int, ticks: int, timeout: float) -> int:
        """Wait for a version above ``version`` or more samples than ``ticks``, at most ``timeout`` seconds.

        Returns:
            The number of samples so far.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while self._version <= version and self._ticks <= ticks:
                remaining = deadline - time.monotonic()
                if remaining <= 0 or not self._changed.wait(remaining):
                    break
            return self._ticks

    @property
    def ticks(self) -> int:
        """The number of samples so far."""
        return self._ticks

    def actor(self, namespace: str, name: str) -> Object | None:
        """The AsyncActor; None if it does not exist. Do not change it: it is shared."""
        return self._actors.get((namespace, name))

    def row(self, namespace: str, name: str) -> Object | None:
        """The row of an actor; None if the actor does not exist."""
        entry = self._rows.get((namespace, name))
        return entry[1] if entry is not None else None

    def queues(self) -> dict[str, list[Key]]:
        """The actors that consume each queue."""
        with self._changed:
            consumers: dict[str, list[Key]] = {}
            for key, (_, current) in self._rows.items():
                if current["queue"]:
                    consumers.setdefault(current["queue"], []).append(key)
            return consumers

    # -- called with the lock held ----------------------------------------------------------------

    def _refresh(self, key: Key) -> None:
        actor = self._actors.get(key)
        if actor is None:
            return
        current = row(actor, self._lengths.get(key))
        before = self._rows.get(key)
        if before is not None and before[1] == current:
            return
        self._gone.pop(key, None)
        self._version += 1
        self._rows[key] = (self._version, current)
        self._changed.notify_all()

    def _note_deleted(self, key: Key) -> None:
        self._version += 1
        self._gone[key] = self._version
        self._gone.move_to_end(key)
        if len(self._gone) > MAX_DELETED:
            self._oldest = self._gone.popitem(last=False)[1]
        self._changed.notify_all()


def informers(client: Client, board: Board, namespace: str, *, with_autoscalers: bool) -> list[Informer]:
    """The watches that update ``board``, one per kind.

    Args:
        client: with the caller's rights.
        board: the board.
        namespace: empty for all.
        with_autoscalers: whether to watch HorizontalPodAutoscalers, which have the queues' lengths.
    """
    watches = [Informer(client, ASYNC_ACTORS, board.take_actor, namespace=namespace, reduce=_without_template)]
    if with_autoscalers:
        watches.append(Informer(client, AUTOSCALERS, board.take_autoscaler, namespace=namespace))
    return watches


def _without_template(actor: Object) -> Object:
    """``actor`` without its pod template and annotations, which may hold anything and are never shown."""
    kept = slim(actor)
    workload = (kept.get("spec") or {}).get("workload")
    if isinstance(workload, dict):
        kept["spec"] = {**kept["spec"], "workload": {k: v for k, v in workload.items() if k in ("type", "name")}}
    kept["metadata"].pop("annotations", None)
    return kept
