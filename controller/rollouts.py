"""How many workloads may roll over at a time because the operator re-injects them.

A changed default reaches every actor of a cluster; were they all to roll over at once, a bad image
would stop them all at once. So a workload holds one of a few places from the moment it is re-injected
until its new pods are available, or for so long that waiting for it would help nobody.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from kube.informer import Key

Object = dict[str, Any]


@dataclass(frozen=True)
class _Place:
    generation: int
    until: float


class Rollouts:
    """Places for workloads, by uid. ``wake`` is called with each actor that waits when one comes free."""

    def __init__(self, places: int, seconds: float, wake: Callable[[Key], None]) -> None:
        """``places`` roll over at a time, each counted for at most ``seconds``."""
        self._places, self._seconds, self._wake = places, seconds, wake
        self._lock = threading.Lock()
        self._taken: dict[str, _Place] = {}
        self._waiting: set[Key] = set()

    @property
    def in_flight(self) -> int:
        """How many places are taken."""
        return len(self._taken)

    def take(self, uid: str, actor: Key) -> bool:
        """Take a place for a workload; if there is none, ``actor`` is woken when there is."""
        now = time.monotonic()
        with self._lock:
            for other in [u for u, place in self._taken.items() if place.until <= now]:
                del self._taken[other]
            if uid not in self._taken and len(self._taken) >= self._places:
                self._waiting.add(actor)
                return False
            self._taken[uid] = _Place(0, now + self._seconds)
            return True

    def started(self, workload: Object) -> None:
        """The workload was re-injected and is as given; its place comes free when that has rolled out."""
        metadata = workload["metadata"]
        with self._lock:
            if metadata["uid"] in self._taken:
                until = time.monotonic() + self._seconds
                self._taken[metadata["uid"]] = _Place(metadata.get("generation", 0), until)
        self.seen(workload)

    def seen(self, workload: Object, deleted: bool = False) -> None:
        """The workload is as given now: give its place back if it has rolled out."""
        metadata = workload["metadata"]
        place = self._taken.get(metadata["uid"])
        if place is None or place.generation == 0:
            return
        if deleted or (metadata.get("generation", 0) >= place.generation and rolled_out(workload)):
            self.give_back(metadata["uid"])

    def give_back(self, uid: str) -> None:
        """The workload needs its place no more."""
        with self._lock:
            self._taken.pop(uid, None)
            waiting, self._waiting = self._waiting, set()
        for actor in waiting:
            self._wake(actor)

    def resume(self, workloads: Iterable[Object]) -> None:
        """Take places for what is rolling over already, as it was left by a process before this one."""
        until = time.monotonic() + self._seconds
        with self._lock:
            for workload in workloads:
                if not rolled_out(workload):
                    metadata = workload["metadata"]
                    self._taken[metadata["uid"]] = _Place(metadata.get("generation", 0), until)


def rolled_out(workload: Object) -> bool:
    """Whether all of a workload's pods are of its present template and available.

    The rules are those of ``kubectl rollout status``. What makes no pods by itself has always rolled out.
    """
    kind, spec, status = workload["kind"], workload.get("spec") or {}, workload.get("status") or {}
    if kind not in ("Deployment", "StatefulSet", "DaemonSet"):
        return True
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return False
    if kind == "DaemonSet":
        if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
            return True
        wanted = status.get("desiredNumberScheduled", 0)
        return bool(min(status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)) >= wanted)
    wanted = spec.get("replicas", 1)
    available = status.get("availableReplicas", 0)
    if kind == "StatefulSet":
        if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
            return True
        if status.get("updateRevision") == status.get("currentRevision"):
            return bool(available >= wanted)
        return bool(min(status.get("updatedReplicas", 0), available) >= wanted)
    if spec.get("paused"):
        return True
    updated = status.get("updatedReplicas", 0)
    return bool(updated >= wanted and status.get("replicas", 0) <= updated and available >= updated)
