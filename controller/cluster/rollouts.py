"""The gate that every write goes through whose result rolls pods over, and how many may do so at a time.

A changed default, or a new version of the operator, reaches every actor of a cluster; were they all to roll
over at once, a bad image would stop them all at once. So a workload holds one of a few places from the moment
it is written until its new pods are available, or for so long that waiting for it would help nobody. That
holds for the controller's own applies, for re-injections and for taking the sidecar out alike, for a Job that is
made anew, and for a ScaledJob whose running Jobs KEDA deletes when it changes.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from controller.rules.rolling import has_pods, replaces_pods, rolled_out, runs
from kube.objects import Key, Object


class NoPlace(Exception):
    """Every place is taken; the actor that asked is woken when one comes free."""


@dataclass(frozen=True)
class _Place:
    generation: int
    until: float
    unwatched: bool = False
    """Whether no watch tells of the workload any more, as its label is off."""


class Rollouts:
    """Places for workloads, by uid. ``wake`` is called with each actor that waits when one comes free."""

    def __init__(
        self,
        places: int,
        seconds: float,
        wake: Callable[[Key], None],
        jobs: Callable[[Object], Iterable[Object]] = lambda scaled_job: (),
    ) -> None:
        """``places`` roll over at a time, each counted for at most ``seconds``; ``jobs`` are those of a ScaledJob."""
        self._places, self._seconds, self._wake, self._jobs = places, seconds, wake, jobs
        self._lock = threading.Lock()
        self._taken: dict[str, _Place] = {}
        self._waiting: dict[Key, None] = {}
        """Actors, the one that has waited longest first."""
        self._replaced: dict[Key, str] = {}
        """By actor: uid of the Job that was deleted to be made anew, which holds the place of its successor."""

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
                self._waiting.setdefault(actor)
                return False
            self._taken[uid] = _Place(0, now + self._seconds)
            return True

    def write(
        self,
        live: Object | None,
        actor: Key,
        write: Callable[[], Object],
        *,
        rolls: Callable[[], bool] = lambda: True,
        latest: Callable[[], Object | None] | None,
    ) -> Object:
        """Write a workload, if need be in a place of its own; the workload as it is then.

        Args:
            live: the workload as it is; None if there is none yet.
            actor: who is woken once there is a place.
            write: writes it.
            rolls: whether that would roll pods over; asked only where there is no place for it.
            latest: the workload as the watch knows it after the write, None if it is gone; no such function where
                the write takes it out of the watch's sight, so that whoever waits has to look (:meth:`observe`).

        Raises:
            NoPlace: if it has to wait.
        """
        if live is None or not has_pods(live):
            return write()
        uid = live["metadata"]["uid"]
        before = self._taken.get(uid)
        if not self.take(uid, actor):
            if rolls():
                raise NoPlace
            return write()
        try:
            result = write()
        except Exception:
            self._put_back(uid, before)
            raise
        if not replaces_pods(live, result):
            self._put_back(uid, before)
            return result
        self.started(result, unwatched=latest is None)
        if latest is None:
            return result
        # It may have rolled out, or have gone, before this answer was read; what the watch told then was for nobody.
        live_now = latest()
        self.observe(live_now or result, deleted=live_now is None)
        return result

    def replace(self, job: Object, actor: Key, delete: Callable[[], None]) -> None:
        """Delete a Job that is made anew; one that runs in a place, which is kept for its successor.

        Raises:
            NoPlace: if it has to wait.
        """
        uid = job["metadata"]["uid"]
        if not runs(job):
            delete()
            return
        before = self._taken.get(uid)
        if not self.take(uid, actor):
            raise NoPlace
        try:
            delete()
        except Exception:
            self._put_back(uid, before)
            raise
        self._replaced[actor] = uid

    def succeeded(self, actor: Key, job: Object) -> None:
        """The Job of ``actor`` was made; it takes over the place of the one before, until it runs."""
        with self._lock:
            uid = self._replaced.pop(actor, "")
            if self._taken.pop(uid, None) is None:
                return
            until = time.monotonic() + self._seconds
            self._taken[job["metadata"]["uid"]] = _Place(job["metadata"].get("generation") or 1, until)

    def forget(self, actor: Key) -> None:
        """The actor is gone: no Job of its takes over the place of one that was deleted to be made anew."""
        uid = self._replaced.pop(actor, "")
        if uid:
            self.give_back(uid)

    def _put_back(self, uid: str, before: _Place | None) -> None:
        """The write rolled nothing over: the workload has the place again that it had before, if it had one."""
        if before is None:
            self.give_back(uid)
            return
        with self._lock:
            self._taken[uid] = before

    def started(self, workload: Object, *, unwatched: bool = False) -> None:
        """The workload was re-injected and is as given; its place comes free when that has rolled out."""
        metadata = workload["metadata"]
        with self._lock:
            if metadata["uid"] in self._taken:
                until = time.monotonic() + self._seconds
                self._taken[metadata["uid"]] = _Place(metadata.get("generation", 0), until, unwatched)
        self.observe(workload)

    def holds(self, uid: str) -> bool:
        """Whether the workload of that uid has a place."""
        return uid in self._taken

    def observe(self, workload: Object, deleted: bool = False) -> None:
        """The workload is as given now: give its place back if it has rolled out."""
        metadata = workload["metadata"]
        place = self._taken.get(metadata["uid"])
        if place is None or place.generation == 0 or (deleted and place.unwatched):
            return
        if deleted or (metadata.get("generation", 0) >= place.generation and self.has_rolled_out(workload)):
            self.give_back(metadata["uid"])

    def give_back(self, uid: str) -> None:
        """The workload needs its place no more."""
        with self._lock:
            self._taken.pop(uid, None)
            # One more than there is room for, as not everyone who waits still has something to write.
            free = max(0, self._places - len(self._taken)) + 1
            woken = list(self._waiting)[:free]
            for actor in woken:
                del self._waiting[actor]
        for actor in woken:
            self._wake(actor)

    def has_rolled_out(self, workload: Object) -> bool:
        """Whether all of a workload's pods are of its present template and available (:func:`rolled_out`)."""
        jobs = self._jobs(workload) if workload["kind"] == "ScaledJob" else ()
        return rolled_out(workload, jobs)

    def resume(self, workloads: Iterable[Object]) -> None:
        """Take places for what is rolling over already, as it was left by a process before this one."""
        until = time.monotonic() + self._seconds
        with self._lock:
            for workload in workloads:
                # A Job that does not run yet is most likely a new one.
                if workload["kind"] != "Job" and not self.has_rolled_out(workload):
                    metadata = workload["metadata"]
                    self._taken[metadata["uid"]] = _Place(metadata.get("generation", 0), until)
