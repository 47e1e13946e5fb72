"""Refused writes, which are not repeated until something changes.

A template that the API server or admission refuses as invalid stays invalid. Another try would cost a write and bring
the same answer.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from controller.rules.status import SETTLED_SECONDS, Verdict
from injection.access import map_of
from kube.objects import Object

MAX_CACHED = 10_000


@dataclass(frozen=True)
class _Refusal:
    write: tuple[Any, ...]
    verdict: Verdict
    until: float


class Refused:
    """Verdicts on refused writes, by the uid of an object. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._refusals: dict[str, _Refusal] = {}

    def find(self, uid: str, write: tuple[Any, ...]) -> Verdict | None:
        """The verdict on the same write, whose ``retry`` says when to try it again; None if it was not refused."""
        now = self._clock()
        with self._lock:
            refusal = self._refusals.get(uid)
            if refusal is None:
                return None
            if refusal.write != write or now >= refusal.until:
                del self._refusals[uid]
                return None
        return replace(refusal.verdict, retry=refusal.until - now)

    def remember(self, uid: str, write: tuple[Any, ...], verdict: Verdict) -> None:
        """Store the verdict on a refused write, unless the same write may succeed later (after a change of policy)."""
        if verdict.retry != SETTLED_SECONDS:
            return
        with self._lock:
            if len(self._refusals) >= MAX_CACHED:
                self._refusals.clear()  # most of them are about deleted objects
            self._refusals[uid] = _Refusal(write, verdict, self._clock() + SETTLED_SECONDS)


def state_of(obj: Object | None) -> tuple[Any, ...]:
    """Changes when the object's uid, spec, labels or annotations change; a change of its status does not count."""
    if obj is None:
        return ()
    metadata = obj["metadata"]
    described = sorted(map_of(obj, "labels").items()), sorted(map_of(obj, "annotations").items())
    return metadata.get("uid"), metadata.get("generation"), described
