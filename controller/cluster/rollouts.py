"""The limit on simultaneous rollouts: every write that replaces pods needs a place here.

A changed default or a new version of the operator changes every actor of a cluster. Without the limit, a bad image
would stop all actors at once. A workload holds a place from the write until its new pods are available, or until a
timeout. The limit covers:

* applies, re-injections and releases,
* Jobs that are replaced,
* ScaledJobs whose running Jobs KEDA deletes when they change.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from controller.rules.rolling import has_pods, is_rolled_out, is_running, replaces_pods
from kube.objects import Key, Object


class NoPlace(Exception):
    """Every place is taken. The actor is requeued when a place becomes free."""


@dataclass(frozen=True)
class _Place:
    generation: int
    """The workload's generation after the write; 0 before the write."""
    until: float
    """The timeout, by the monotonic clock."""
    unwatched: bool = False
    """Whether no watch reports the workload, because its label was taken off."""


class Rollouts:
    """Places for workloads, by uid. Safe to use from several threads."""

    def __init__(
        self,
        places: int,
        seconds: float,
        wake: Callable[[Key], None],
        jobs: Callable[[Object], Iterable[Object]] = lambda scaled_job: (),
    ) -> None:
        """A limit of ``places`` rollouts at a time.

        Args:
            places: how many workloads may roll out at a time.
            seconds: how long a workload holds a place at most.
            wake: called with each waiting actor when a place becomes free.
            jobs: returns the Jobs of a ScaledJob.
        """
        self._places, self._seconds, self._wake, self._jobs = places, seconds, wake, jobs
        self._lock = threading.Lock()
        self._taken: dict[str, _Place] = {}
        self._waiting: dict[Key, None] = {}
        """Actors that wait for a place, the longest waiting first."""
        self._replaced: dict[Key, str] = {}
        """By actor: uid of the deleted Job that a new Job replaces. It keeps the place for the new Job."""

    @property
    def in_flight(self) -> int:
        """The number of taken places."""
        return len(self._taken)

    def take(self, uid: str, actor: Key) -> bool:
        """Take a place for a workload. If all are taken, returns False, and ``actor`` is woken when one is free."""
        now = time.monotonic()
        with self._lock:
            for expired_uid in [u for u, place in self._taken.items() if place.until <= now]:
                del self._taken[expired_uid]
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
        """Write a workload. If that replaces pods, the workload holds a place until its new pods are available.

        Args:
            live: the workload now; None if it does not exist.
            actor: the actor to wake when a place becomes free.
            write: writes the workload and returns it.
            rolls: whether the write would replace pods. Called only if no place is free.
            latest: returns the workload from the watch cache after the write; None if it is deleted. Pass None
                instead if the write removes the workload from the watch; then call :meth:`observe` yourself.

        Returns:
            The workload after the write.

        Raises:
            NoPlace: if the write would replace pods and no place is free.
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
            written = write()
        except Exception:
            self._restore(uid, before)
            raise
        if not replaces_pods(live, written):
            self._restore(uid, before)
            return written
        self.started(written, unwatched=latest is None)
        if latest is None:
            return written
        # The watch may have reported the end of the rollout, or a deletion, before started() registered the place.
        cached = latest()
        self.observe(cached or written, deleted=cached is None)
        return written

    def replace(self, job: Object, actor: Key, delete: Callable[[], None]) -> None:
        """Delete a Job that is replaced. If it runs, it needs a place, which the new Job takes over.

        Raises:
            NoPlace: if the Job runs and no place is free.
        """
        uid = job["metadata"]["uid"]
        if not is_running(job):
            delete()
            return
        before = self._taken.get(uid)
        if not self.take(uid, actor):
            raise NoPlace
        try:
            delete()
        except Exception:
            self._restore(uid, before)
            raise
        self._replaced[actor] = uid

    def succeeded(self, actor: Key, job: Object) -> None:
        """Give the place of the deleted Job to the new ``job`` of ``actor``, until that runs."""
        with self._lock:
            uid = self._replaced.pop(actor, "")
            if self._taken.pop(uid, None) is None:
                return
            until = time.monotonic() + self._seconds
            self._taken[job["metadata"]["uid"]] = _Place(job["metadata"].get("generation") or 1, until)

    def forget(self, actor: Key) -> None:
        """Free the place that a deleted actor kept for a new Job."""
        uid = self._replaced.pop(actor, "")
        if uid:
            self.give_back(uid)

    def _restore(self, uid: str, before: _Place | None) -> None:
        """Restore the workload's place from before a write that replaced no pods."""
        if before is None:
            self.give_back(uid)
            return
        with self._lock:
            self._taken[uid] = before

    def started(self, workload: Object, *, unwatched: bool = False) -> None:
        """Note that ``workload`` was written; its place becomes free when this generation has rolled out."""
        metadata = workload["metadata"]
        with self._lock:
            if metadata["uid"] in self._taken:
                until = time.monotonic() + self._seconds
                self._taken[metadata["uid"]] = _Place(metadata.get("generation", 0), until, unwatched)
        self.observe(workload)

    def holds(self, uid: str) -> bool:
        """Whether the workload of that uid holds a place."""
        return uid in self._taken

    def observe(self, workload: Object, deleted: bool = False) -> None:
        """Free the place of a workload that has rolled out or is deleted; ``workload`` is its current state."""
        metadata = workload["metadata"]
        place = self._taken.get(metadata["uid"])
        if place is None or place.generation == 0 or (deleted and place.unwatched):
            return
        if deleted or (metadata.get("generation", 0) >= place.generation and self.has_rolled_out(workload)):
            self.give_back(metadata["uid"])

    def give_back(self, uid: str) -> None:
        """Free a workload's place, and wake actors that wait for one."""
        with self._lock:
            self._taken.pop(uid, None)
            # Wakes one more actor than places are free, because a waiting actor may have nothing left to write.
            free = max(0, self._places - len(self._taken)) + 1
            woken = list(self._waiting)[:free]
            for actor in woken:
                del self._waiting[actor]
        for actor in woken:
            self._wake(actor)

    def has_rolled_out(self, workload: Object) -> bool:
        """Whether all pods of a workload have its current template and are available (:func:`is_rolled_out`)."""
        jobs = self._jobs(workload) if workload["kind"] == "ScaledJob" else ()
        return is_rolled_out(workload, jobs)

    def resume(self, workloads: Iterable[Object]) -> None:
        """Take places for the rollouts that another process started; called when this process gets the lease."""
        until = time.monotonic() + self._seconds
        with self._lock:
            for workload in workloads:
                # A Job that does not run yet is usually new, and replaces no pods.
                if workload["kind"] != "Job" and not self.has_rolled_out(workload):
                    metadata = workload["metadata"]
                    self._taken[metadata["uid"]] = _Place(metadata.get("generation", 0), until)
