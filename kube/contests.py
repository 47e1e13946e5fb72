"""Two controllers that each undo what the other did would go on for ever at full speed; this one steps back.

An owned object that drifts is put right at once, the first few times. If it goes on drifting, another
writer insists: then each restoration waits twice as long as the one before, and once it stays as it is
for a while all is forgotten.

A restoration that the API server refuses has not taken place, so it is no sign of another writer. It would be refused
again, so for a while what it was refused for is the answer to whatever happens to the object meanwhile.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from kube.failures import ApiError
from kube.objects import Object, version_of

FREE = 5
"""Restorations in a row that are not delayed."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 15.0
CALM_SECONDS = 10.0
"""An object that holds still for so long is contested no more."""
REFUSED_PAUSE = 1.0
"""After the API server refused to have an object made what is wanted."""
REMEMBERED = 5000


class Backoff(Exception):
    """Another writer insists; the object may be restored in so many ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"contested; to be restored in {seconds:.1f} s")
        self.seconds = seconds


@dataclass
class _Contest:
    wanted: str
    count: int = 0
    pause: float = 0.0
    last: float = 0.0
    version: int = 0
    """Of the object as it was after that."""
    refusal: ApiError | None = None
    """Why that did not take place."""


class Contests:
    """Counts the restorations of each object, by its uid. Safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._contests: dict[str, _Contest] = {}

    def restore(self, uid: str, wanted: str, live: Object | None, write: Callable[[], Object]) -> Object:
        """Have ``write`` make the object, which is ``live`` now, what is wanted; the object as it is then.

        Args:
            uid: names the object.
            wanted: stands for what is wanted, a digest say.
            live: the object as it is known; None if it does not exist, so that no other writer changes it.
            write: makes it what is wanted.

        Raises:
            Backoff: if that has to wait.
            ApiError: if it fails, or was refused a moment ago.
        """
        if live is None:
            return write()
        pause = self._ask(uid, wanted, version_of(live))
        if pause:
            raise Backoff(pause)
        try:
            written = write()
        except ApiError as error:
            self._failed(uid, error)
            raise
        self._done(uid, version_of(written))
        return written

    def contested(self, uid: str) -> float:
        """Seconds until the object is contested no more, if it holds still; 0 if it is not contested."""
        now = self._clock()
        with self._lock:
            contest = self._current(uid, now)
            if contest is None or contest.count < FREE:
                return 0.0
            # Holding still counts from the last restoration on; the pace of the next one is remembered for longer.
            return max(0.0, contest.last + CALM_SECONDS - now)

    def _ask(self, uid: str, wanted: str, version: int) -> float:
        """Seconds until the object may be made ``wanted`` (a digest); 0 if it may now, which counts as done.

        ``version`` is that of the object as it is known. One from before the last restoration is an old view
        of it, and nobody's change.

        Raises:
            ApiError: why that was refused a moment ago.
        """
        now = self._clock()
        with self._lock:
            contest = self._current(uid, now)
            if contest is None or contest.wanted != wanted:
                contest = self._contests[uid] = _Contest(wanted)
            elif version <= contest.version:
                return 0.0
            elif now < contest.last + contest.pause:
                if contest.refusal is not None:
                    raise contest.refusal.with_traceback(None)
                return contest.last + contest.pause - now
            contest.count, contest.last, contest.refusal = contest.count + 1, now, None
            contest.pause = _pause(contest.count)
            return 0.0

    def _done(self, uid: str, version: int) -> None:
        """The object was made what was wanted, and has that version since."""
        with self._lock:
            contest = self._contests.get(uid)
            if contest is not None:
                contest.version = max(contest.version, version)

    def _failed(self, uid: str, error: ApiError) -> None:
        """The object was not made what was wanted."""
        with self._lock:
            contest = self._contests.get(uid)
            if contest is not None:
                contest.count = max(0, contest.count - 1)  # an old view was not counted
                if error.is_refusal:
                    contest.refusal, contest.pause = error, max(contest.pause, REFUSED_PAUSE)

    def _current(self, uid: str, now: float) -> _Contest | None:
        if len(self._contests) > REMEMBERED:
            self._contests = {u: c for u, c in self._contests.items() if not _over(c, now)}
        contest = self._contests.get(uid)
        if contest is not None and _over(contest, now):
            del self._contests[uid]
            return None
        return contest


def _pause(count: int) -> float:
    """Between the restoration number ``count`` and the next one."""
    if count < FREE:
        return 0.0
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(count - FREE, 20)) * random.uniform(0.8, 1.0)


def _over(contest: _Contest, now: float) -> bool:
    return now >= contest.last + contest.pause + CALM_SECONDS
