"""Refusals that only a change can lift: what was refused is not written again before there is one.

A template that the API server or admission calls wrong stays wrong. To try it again and again would tell nobody
anything new, and would be a write each time.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from controller.rules.status import SETTLED_SECONDS, Verdict
from injection.access import map_of
from kube.objects import Object

REMEMBERED = 10_000


@dataclass(frozen=True)
class _Refusal:
    of: tuple[Any, ...]
    verdict: Verdict
    until: float


class Refused:
    """Verdicts on writes that were refused, by the uid of what they are about. Safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._refusals: dict[str, _Refusal] = {}

    def find(self, uid: str, of: tuple[Any, ...]) -> Verdict | None:
        """The verdict on the same write, where it was refused a while ago; it tells when to try it again."""
        now = self._clock()
        with self._lock:
            refusal = self._refusals.get(uid)
            if refusal is None:
                return None
            if refusal.of != of or now >= refusal.until:
                del self._refusals[uid]
                return None
        return replace(refusal.verdict, retry=refusal.until - now)

    def remember(self, uid: str, of: tuple[Any, ...], verdict: Verdict) -> None:
        """The write was refused. One that may be let through without a change of it, by a policy say, is forgotten."""
        if verdict.retry != SETTLED_SECONDS:
            return
        with self._lock:
            if len(self._refusals) >= REMEMBERED:
                self._refusals.clear()  # of objects that are gone, most likely
            self._refusals[uid] = _Refusal(of, verdict, self._clock() + SETTLED_SECONDS)


def state_of(obj: Object | None) -> tuple[Any, ...]:
    """Changes when what was written to an object does, which its status is not."""
    if obj is None:
        return ()
    metadata = obj["metadata"]
    described = sorted(map_of(obj, "labels").items()), sorted(map_of(obj, "annotations").items())
    return metadata.get("uid"), metadata.get("generation"), described
