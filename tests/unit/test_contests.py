"""How the operator slows down when another writer insists."""

import pytest

from kube.contests import CALM_SECONDS, FIRST_PAUSE, FREE, LONGEST_PAUSE, REFUSED_PAUSE, Backoff, Contests
from kube.failures import ApiError
from kube.objects import Object
from tests.harness.clock import Clock


def ask(contests: Contests, uid: str = "u", wanted: str = "d", version: int = 2**60, made: int = 0) -> float:
    """Restore an object of this version, which then has the version ``made``. Return the seconds until the next one."""
    try:
        contests.restore(uid, wanted, _of(version), lambda: _of(made))
    except Backoff as later:
        return later.seconds
    return 0.0


def fail(contests: Contests, error: ApiError, version: int = 2**60) -> bool:
    """Let the API server answer with ``error``. Return whether it was called."""
    was_called = False

    def write() -> Object:
        nonlocal was_called
        was_called = True
        raise error

    with pytest.raises(ApiError, match=error.message):
        contests.restore("u", "d", _of(version), write)
    return was_called


def _of(version: int) -> Object:
    return {"metadata": {"resourceVersion": str(version)}}


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_rare_drift_is_undone_at_once(clock: Clock) -> None:
    contests = Contests(clock)
    for _ in range(50):
        assert ask(contests) == 0
        assert not contests.contested("u")
        clock.now += CALM_SECONDS + 1


def test_ten_changes_a_second_for_thirty_seconds_cause_few_restorations(clock: Clock) -> None:
    contests = Contests(clock)
    done = 0
    for _ in range(300):
        done += ask(contests) == 0
        clock.now += 0.1
    assert FREE < done <= FREE + 6
    assert contests.contested("u")
    clock.now += LONGEST_PAUSE + CALM_SECONDS
    assert not contests.contested("u")
    assert ask(contests) == 0


def test_the_pause_has_a_limit(clock: Clock) -> None:
    contests = Contests(clock)
    pauses = []
    for _ in range(100):
        pauses.append(ask(contests))
        clock.now += pauses[-1] or 0.1
    assert LONGEST_PAUSE / 2 < max(pauses) <= LONGEST_PAUSE


def test_another_desired_state_is_written_at_once(clock: Clock) -> None:
    contests = Contests(clock)
    while not ask(contests):
        clock.now += 0.1
    assert ask(contests, wanted="another") == 0
    assert not contests.contested("u")


def test_one_object_does_not_delay_another(clock: Clock) -> None:
    contests = Contests(clock)
    while not ask(contests):
        clock.now += 0.1
    assert ask(contests, "v") == 0


def test_an_old_version_of_an_object_is_not_drift(clock: Clock) -> None:
    contests = Contests(clock)
    for _ in range(50):
        assert ask(contests, version=7, made=8) == 0
        clock.now += 0.5
    assert not contests.contested("u")


def test_a_refused_write_is_not_a_contest_and_not_tried_at_every_change(clock: Clock) -> None:
    contests, refusal = Contests(clock), ApiError(422, "Invalid", "the field is immutable")
    tried = 0
    for version in range(1, 301):
        tried += fail(contests, refusal, version)
        clock.now += 0.1
    assert 25 <= tried <= 31
    assert not contests.contested("u")


def test_an_accepted_write_clears_the_refusal(clock: Clock) -> None:
    contests = Contests(clock)
    fail(contests, ApiError(403, "Forbidden", "exceeded quota"))
    clock.now += REFUSED_PAUSE
    for version in range(1, FREE):
        assert ask(contests, version=version, made=version) == 0


@pytest.mark.parametrize("code", [0, 409, 429, 503])
def test_a_server_error_is_neither_a_refusal_nor_a_contest(clock: Clock, code: int) -> None:
    contests = Contests(clock)
    for _ in range(2 * FREE):
        assert fail(contests, ApiError(code, "", "not now"))
    assert not contests.contested("u")


def test_a_contest_continues_when_a_restoration_is_refused(clock: Clock) -> None:
    contests = Contests(clock)
    while not ask(contests):
        clock.now += 0.1
    clock.now += FIRST_PAUSE
    refusal = ApiError(403, "Forbidden", "exceeded quota")
    assert fail(contests, refusal)
    clock.now += REFUSED_PAUSE
    assert not fail(contests, refusal), "the pause of the contest must be longer"
