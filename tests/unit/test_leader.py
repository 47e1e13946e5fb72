"""Leader election: at most one candidate leads, whatever the API server answers."""

import copy
from typing import Any, cast

import pytest

from kube.client import Client
from kube.failures import ApiError
from kube.leader import Election
from kube.lease import LeaseTimes
from kube.objects import Object
from tests.harness.clock import Clock
from tests.harness.clusters import wait_for


class Api:
    """One Lease, with the API server's checks."""

    def __init__(self) -> None:
        self.lease: Object | None = None
        self.away = False
        self.version = 0

    def request(self, method: str, path: str, *, body: Any = None, **_: Any) -> Any:
        if self.away:
            raise ApiError(0, "Unreachable", "no answer")
        if method == "GET":
            if self.lease is None:
                raise ApiError(404, "NotFound", "no Lease")
            return copy.deepcopy(self.lease)
        if method == "POST" and self.lease is not None:
            raise ApiError(409, "AlreadyExists", "there is one")
        if method == "PUT" and body["metadata"].get("resourceVersion") != str(self.version):
            raise ApiError(409, "Conflict", "the object has been modified")
        self.version += 1
        self.lease = copy.deepcopy(body)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(self.lease)

    @property
    def holder(self) -> str:
        return str((self.lease or {})["spec"]["holderIdentity"])


class Candidate(Election):
    """An election that counts its starts and stops."""

    def __init__(self, api: Api, identity: str, clock: Clock) -> None:
        self.started = self.stopped = 0
        super().__init__(cast(Client, api), "n", "l", identity, self._count_start, self._count_stop, clock=clock)

    def _count_start(self) -> None:
        self.started += 1

    def _count_stop(self) -> None:
        self.stopped += 1


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_first_leads_and_the_second_waits_until_the_lease_expires(clock: Clock) -> None:
    api = Api()
    first, second = Candidate(api, "first", clock), Candidate(api, "second", clock)
    for _ in range(10):
        first.step()
        second.step()
        clock.now += 2
        assert first.is_leading
        assert not second.is_leading
    second.step()
    for _ in range(6):  # the first candidate is paused
        clock.now += 2
        second.step()
        assert not second.is_leading
    assert not first.is_leading, "it must stop by the clock alone, before the second can lead"
    clock.now += 2
    second.step()
    assert second.is_leading
    assert api.holder == "second"
    assert (api.lease or {})["spec"]["leaseTransitions"] == 1
    first.step()
    assert not first.is_leading
    assert (first.started, first.stopped) == (1, 1)


def test_an_unavailable_api_server_ends_no_election(clock: Clock) -> None:
    api = Api()
    only = Candidate(api, "only", clock)
    only.step()
    api.away = True
    for _ in range(4):
        clock.now += 2
        only.step()
        assert only.is_leading
    clock.now += 2.1
    only.step()
    assert not only.is_leading
    api.away = False
    only.step()
    assert only.is_leading
    wait_for("both starts", lambda: (only.started, only.stopped) == (2, 1))


def test_a_leader_whose_lease_was_taken_stops_at_once(clock: Clock) -> None:
    api = Api()
    only = Candidate(api, "only", clock)
    only.step()
    assert api.lease
    api.lease["spec"] |= {"holderIdentity": "asya-operator-release", "renewTime": "now"}
    only.step()
    assert not only.is_leading
    assert only.stopped == 1


def test_a_stopping_leader_releases_the_lease(clock: Clock) -> None:
    api = Api()
    first, second = Candidate(api, "first", clock), Candidate(api, "second", clock)
    first.step()
    second.step()
    first.release()
    assert not first.is_leading
    second.step()
    assert second.is_leading
    first.step()
    assert api.holder == "second"
    assert first.stopped == 0, "only a leader that loses the Lease may count as stopped"


def test_two_candidates_that_create_it_at_once(clock: Clock) -> None:
    api = Api()
    first, second = Candidate(api, "first", clock), Candidate(api, "second", clock)
    late = second._client.request

    def slow(method: str, path: str, **options: Any) -> Any:
        if method == "POST":
            first.step()
        return late(method, path, **options)

    second._client = cast(Any, type("Slow", (), {"request": staticmethod(slow)}))
    second.step()
    assert first.is_leading
    assert not second.is_leading


def test_a_lease_of_the_former_release_is_taken_over(clock: Clock) -> None:
    """Whatever its content is."""
    api = Api()
    api.lease = {"metadata": {"name": "l", "resourceVersion": "0"}, "spec": {"holderIdentity": "gone"}}
    only = Candidate(api, "only", clock)
    only.step()
    assert not only.is_leading
    clock.now += LeaseTimes().lease
    only.step()
    assert only.is_leading
