"""Backs off from contested objects. Otherwise two controllers that revert each other would write forever at full speed.

The operator corrects the first drifts of an owned object at once. If the drift comes back, the object is contested:
the pause before each correction doubles. When the object stays unchanged for a while, the counter resets.

A correction that the API server refuses does not count, because it says nothing about another writer. The API server
would refuse it again, so for a short time the contest raises the same error without a request.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from kube.failures import ApiError
from kube.objects import Object, version_of

FREE = 5
"""Number of corrections in a row without a pause."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 15.0
CALM_SECONDS = 10.0
"""After this time without a change, an object is no longer contested."""
REFUSED_PAUSE = 1.0
"""Pause after the API server refused a correction."""
REMEMBERED = 5000
"""Number of contests to remember before the old ones are dropped."""


class Backoff(Exception):
    """The object is contested. The operator may correct it in ``seconds``."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"contested by another writer; the next correction is in {seconds:.1f} s")
        self.seconds = seconds


@dataclass
class _Contest:
    desired: str
    count: int = 0
    pause: float = 0.0
    last: float = 0.0
    version: int = 0
    """The object's resource version after the last correction."""
    refusal: ApiError | None = None
    """The error of the last correction, if the API server refused it."""


class Contests:
    """Counts the corrections of each object, by uid. All methods are thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._contests: dict[str, _Contest] = {}

    def restore(self, uid: str, desired: str, live: Object | None, write: Callable[[], Object]) -> Object:
        """Call ``write`` to correct the object, unless it must wait. Return the resulting object.

        Args:
            uid: the object's uid.
            desired: a string that identifies the desired state, such as a digest.
            live: the object in the cache. None if it does not exist; then there is no contest.
            write: writes the desired state and returns the resulting object.

        Raises:
            Backoff: the object is contested, and its pause has not ended.
            ApiError: the write fails, or the API server refused it a moment ago.
        """
        if live is None:
            return write()
        pause = self._reserve(uid, desired, version_of(live))
        if pause:
            raise Backoff(pause)
        try:
            written = write()
        except ApiError as error:
            self._record_failure(uid, error)
            raise
        self._record_success(uid, version_of(written))
        return written

    def contested(self, uid: str) -> float:
        """Return the seconds until the object counts as settled if nobody changes it. 0 if it is not contested."""
        now = self._clock()
        with self._lock:
            contest = self._current(uid, now)
            if contest is None or contest.count < FREE:
                return 0.0
            # The calm time starts at the last correction. The contest itself, with its pause, lasts longer.
            return max(0.0, contest.last + CALM_SECONDS - now)

    def _reserve(self, uid: str, desired: str, version: int) -> float:
        """Return the seconds until the object may be corrected. If it returns 0, it has counted a correction.

        ``version`` is the resource version of the cached object. If it is from before the last correction, the cache
        is stale and nobody has changed the object, so the call counts nothing.

        Raises:
            ApiError: the API server refused the correction a moment ago.
        """
        now = self._clock()
        with self._lock:
            contest = self._current(uid, now)
            if contest is None or contest.desired != desired:
                contest = self._contests[uid] = _Contest(desired)
            elif version <= contest.version:
                return 0.0
            elif now < contest.last + contest.pause:
                if contest.refusal is not None:
                    raise contest.refusal.with_traceback(None)
                return contest.last + contest.pause - now
            contest.count, contest.last, contest.refusal = contest.count + 1, now, None
            contest.pause = _pause(contest.count)
            return 0.0

    def _record_success(self, uid: str, version: int) -> None:
        """Record a successful correction, after which the object has this resource version."""
        with self._lock:
            contest = self._contests.get(uid)
            if contest is not None:
                contest.version = max(contest.version, version)

    def _record_failure(self, uid: str, error: ApiError) -> None:
        """Record a failed correction."""
        with self._lock:
            contest = self._contests.get(uid)
            if contest is not None:
                contest.count = max(0, contest.count - 1)  # may be 0 already: a stale cache was not counted
                if error.is_refusal:
                    contest.refusal, contest.pause = error, max(contest.pause, REFUSED_PAUSE)

    def _current(self, uid: str, now: float) -> _Contest | None:
        if len(self._contests) > REMEMBERED:
            self._contests = {u: c for u, c in self._contests.items() if not _is_over(c, now)}
        contest = self._contests.get(uid)
        if contest is not None and _is_over(contest, now):
            del self._contests[uid]
            return None
        return contest


def _pause(count: int) -> float:
    """Return the seconds between correction number ``count`` and the next one."""
    if count < FREE:
        return 0.0
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(count - FREE, 20)) * random.uniform(0.8, 1.0)


def _is_over(contest: _Contest, now: float) -> bool:
    return now >= contest.last + contest.pause + CALM_SECONDS
