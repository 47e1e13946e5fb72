"""The local copy of a resource: the effect of lists and watches, and of their failures."""

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from urllib3.exceptions import ProtocolError

from kube import reflector
from kube.client import Client
from kube.failures import ApiError
from kube.objects import Object
from kube.reflector import Reflector
from kube.resources import CONFIG_MAPS
from tests.harness.clusters import wait_for


def obj(name: str, version: int, uid: str = "") -> Object:
    return {"metadata": {"namespace": "n", "name": name, "uid": uid or name, "resourceVersion": str(version)}}


def event(kind: str, about: Object) -> bytes:
    return json.dumps({"type": kind, "object": about}).encode() + b"\n"


class Watch:
    """An open watch. It yields its chunks, then stays silent until it is shut down, or raises an error."""

    def __init__(self, *chunks: bytes, error: Exception | None = None, ends: bool = False) -> None:
        self._chunks, self._error, self._ends = chunks, error, ends
        self.shut = threading.Event()

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield from self._chunks
        if self._error is not None:
            raise self._error
        if not self._ends:
            self.shut.wait(20)

    def close(self) -> None: ...

    def release_conn(self) -> None: ...

    def shutdown(self) -> None:
        self.shut.set()


class Api:
    """Answers lists and watches with prepared responses. The last list is repeated."""

    list_all: Any = Client.list_all

    def __init__(self, lists: list[list[Object]], watches: list[Watch | ApiError]) -> None:
        self._lists, self._watches = lists, watches
        self.requests: list[str] = []

    def request(self, method: str, path: str, *, query: Any, stream: bool = False, **_: Any) -> Any:
        if stream:
            self.requests.append(f"watch {query['resourceVersion']}")
            result = self._watches.pop(0) if self._watches else Watch()
            if isinstance(result, ApiError):
                raise result
            return result
        self.requests.append("list")
        items = self._lists.pop(0) if len(self._lists) > 1 else self._lists[0]
        return {"items": items, "metadata": {"resourceVersion": "10"}}


Run = Callable[..., tuple[Reflector, Api, list[str]]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setattr(reflector, "MAX_BACKOFF", 0.02)
    started: list[Reflector] = []

    def start(lists: list[list[Object]], watches: list[Watch | ApiError]) -> tuple[Reflector, Api, list[str]]:
        api, observed = Api(lists, watches), list[str]()

        def on_event(about: Object, deleted: bool) -> None:
            metadata = about["metadata"]
            observed.append(f"{'-' if deleted else '+'}{metadata['uid']}@{metadata['resourceVersion']}")
            if metadata["name"] == "trouble":
                raise ValueError("a handler's own mistake")

        made = Reflector(cast(Client, api), CONFIG_MAPS, on_event, namespace="n", query={}, keep=dict)
        made.start()
        started.append(made)
        return made, api, observed

    yield start
    for made in started:
        made.stop()
        assert made.thread is not None
        made.thread.join(5)
        assert not made.thread.is_alive(), "it must end at once, whatever it waits for"


def test_a_list_and_a_watch(run: Run) -> None:
    chunks = event("ADDED", obj("b", 11)) + event("MODIFIED", obj("a", 12)) + event("DELETED", obj("b", 13))
    made, api, observed = run([[obj("a", 9)]], [Watch(chunks[:70], chunks[70:], ends=True)])
    wait_for("the next watch", lambda: len(api.requests) > 2)
    assert observed == ["+a@9", "+b@11", "+a@12", "-b@13"]
    assert api.requests == ["list", "watch 10", "watch 13"]
    assert made.objects == {("n", "a"): {"apiVersion": "v1", "kind": "ConfigMap", **obj("a", 12)}}


def test_a_bookmark_sets_the_version(run: Run) -> None:
    _, api, observed = run([[]], [Watch(event("BOOKMARK", {"metadata": {"resourceVersion": "77"}}), ends=True)])
    wait_for("the next watch", lambda: api.requests[-1] == "watch 77")
    assert observed == []


EXPIRED = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}


@pytest.mark.parametrize(
    "watch", [ApiError(410, "Expired", "too old"), Watch(event("ERROR", EXPIRED))], ids=["refused", "event"]
)
def test_an_expired_version_causes_a_new_list(run: Run, watch: Watch | ApiError) -> None:
    before, after = [obj("a", 1), obj("b", 2), obj("c", 3)], [obj("a", 1), obj("b", 5), obj("c", 6, uid="new")]
    made, api, observed = run([before, after], [watch])
    wait_for("the second list", lambda: api.requests[2:] == ["list", "watch 10"])
    assert observed[3:] == ["-c@3", "+b@5", "+new@6"], (
        "unchanged objects cause no event, and a successor is a new object"
    )
    assert len(made.objects) == 3


def test_an_object_that_disappeared_between_two_lists_is_reported(run: Run) -> None:
    _, api, observed = run([[obj("a", 1), obj("b", 2)], [obj("b", 2)]], [ApiError(404, "NotFound", "no such resource")])
    wait_for("the second list", lambda: api.requests[2:] == ["list", "watch 10"])
    assert observed[2:] == ["-a@1"]


@pytest.mark.parametrize(
    "watch",
    [
        Watch(event("ADDED", obj("b", 11)), error=ProtocolError("cut off")),
        Watch(event("ADDED", obj("b", 11)) + b'{"type": "ADD\n'),
        Watch(event("ADDED", obj("b", 11)) + b"[]\n"),
        Watch(event("ADDED", obj("b", 11)) + event("ERROR", {"code": 500, "message": "sorry"})),
    ],
    ids=["cut off", "half an event", "no event", "an error"],
)
def test_a_broken_watch_continues_at_its_version(run: Run, watch: Watch) -> None:
    _, api, observed = run([[]], [watch])
    wait_for("the next watch", lambda: api.requests == ["list", "watch 10", "watch 11"])
    assert observed == ["+b@11"]


def test_a_failing_handler_does_not_end_the_watch(run: Run) -> None:
    _, _, observed = run(
        [[obj("trouble", 1)]], [Watch(event("MODIFIED", obj("trouble", 11)), event("ADDED", obj("b", 12)))]
    )
    wait_for("what comes after", lambda: observed == ["+trouble@1", "+trouble@11", "+b@12"])


def test_a_failing_server_gets_fewer_requests(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "MAX_BACKOFF", 15.0)
    made, api, _ = run([[]], [ApiError(503, "", "no")] * 50)
    assert made.synced.wait(5)
    assert not threading.Event().wait(1.5)
    assert 3 <= len(api.requests) <= 6


def test_a_replaced_thread_changes_nothing(run: Run) -> None:
    slow = Watch(event("ADDED", obj("b", 11)), ends=True)
    waiting, let = threading.Event(), threading.Event()
    stream = slow.stream

    def late(**options: Any) -> Iterator[bytes]:
        waiting.set()
        let.wait(10)
        yield from stream(**options)

    slow.stream = late  # type: ignore[method-assign]
    made, api, observed = run([[obj("a", 1)]], [slow])
    assert waiting.wait(5)
    first = made.thread
    made.restart()
    wait_for("its successor", lambda: api.requests == ["list", "watch 10", "list", "watch 10"])
    let.set()
    assert first is not None
    first.join(5)
    assert not first.is_alive()
    assert observed == ["+a@1"]
