"""A hanging watch is restarted, and one that cannot recover is reported."""

import json
import threading
import time
from typing import Any, cast

import pytest

from kube import watchdog
from kube.client import Client
from kube.informer import Informer
from kube.resources import CONFIG_MAPS
from kube.watchdog import Watchdog
from telemetry import threads
from tests.harness.clusters import wait_for


class Api:
    """An API of ConfigMaps. Its watches end at once, and its requests may hang beyond every time limit."""

    list_all: Any = Client.list_all  # the real method, with this class's request

    def __init__(self) -> None:
        self.names = ["a", "b"]
        self.hanging = threading.Event()
        self.unblocked = threading.Event()
        self.requests = 0

    def request(self, method: str, path: str, *, query: Any, stream: bool = False, **_: Any) -> Any:
        self.requests += 1
        if self.hanging.is_set():
            self.unblocked.wait(60)
        if stream:
            return Silent()
        items = [
            {"metadata": {"namespace": "n", "name": n, "uid": n, "resourceVersion": "1"}, "data": {}}
            for n in self.names
        ]
        return {"items": items, "metadata": {"resourceVersion": "5"}}


class Eventful(Api):
    """Each of its watches yields one event, and ends."""

    def __init__(self) -> None:
        super().__init__()
        self.versions: list[str] = []

    def request(self, method: str, path: str, *, query: Any, stream: bool = False, **_: Any) -> Any:
        if not stream:
            return super().request(method, path, query=query)
        self.versions.append(query["resourceVersion"])
        kind = ("MODIFIED", "BOOKMARK", "DELETED")[len(self.versions) % 3]
        metadata = {"namespace": "n", "name": "a", "uid": "a", "resourceVersion": str(100 + len(self.versions))}
        return Silent(json.dumps({"type": kind, "object": {"metadata": metadata}}).encode() + b"\n")


class Silent:
    """A watch that ends after the given event, or without one."""

    status = 200
    connection = None

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks

    def stream(self, **_: Any) -> Any:
        time.sleep(0.05)
        return iter(self._chunks)

    def close(self) -> None: ...

    def shutdown(self) -> None: ...

    def release_conn(self) -> None: ...


def make(api: Api, gone: list[str]) -> Informer:
    return Informer(
        cast(Client, api), CONFIG_MAPS, lambda obj, deleted: gone.append(obj["metadata"]["name"]) if deleted else None
    )


def test_a_watch_continues_where_the_last_one_ended() -> None:
    api = Eventful()
    informer = make(api, [])
    informer.start()
    wait_for("some watches", lambda: len(api.versions) > 3)
    informer.stop()
    assert api.versions[:4] == ["5", "101", "102", "103"], "no event occurs twice, and no old one returns"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "STALLED_SECONDS", 1.0)
    monkeypatch.setattr(watchdog, "SILENCE_SECONDS", 1.0)


@pytest.mark.usefixtures("impatient")
def test_a_hanging_watch_restarts_and_finds_what_it_missed() -> None:
    api, gone = Api(), list[str]()
    informer = make(api, gone)
    informer.start()
    assert informer.wait(5)
    first = informer.thread
    api.hanging.set()
    before = api.requests
    wait_for("a request that hangs", lambda: api.requests > before)
    time.sleep(1.2)
    dog = Watchdog(lambda: [informer])
    assert "configmaps" in dog.silent_watches()
    api.names = ["b"]
    api.hanging.clear()
    dog.check()
    wait_for("what was missed", lambda: gone == ["a"])
    assert [o["metadata"]["name"] for o in informer.all()] == ["b"]
    assert not dog.dead_watches()
    second = informer.thread
    api.unblocked.set()  # the first thread continues, and notices that it was replaced
    time.sleep(0.5)
    wait_for("the first thread to end", lambda: first and not first.is_alive())
    dog.check()
    assert not dog.silent_watches()
    informer.stop()
    wait_for("the second to end", lambda: second and not second.is_alive())


@pytest.mark.usefixtures("impatient")
def test_a_watch_that_hangs_repeatedly_cannot_recover() -> None:
    api = Api()
    informer = make(api, [])
    api.hanging.set()
    informer.start()
    messages: list[str] = []
    dog = Watchdog(lambda: [informer], messages.append)
    for _ in range(watchdog.DEAD_RESTARTS + 1):
        assert not dog.dead_watches()
        time.sleep(1.1)
        dog.check()
    assert "configmaps" in dog.dead_watches()
    assert messages == [dog.dead_watches()]
    api.unblocked.set()
    informer.stop()


@pytest.mark.usefixtures("impatient")
def test_a_watchdog_that_stops_checking_is_reported() -> None:
    dog = Watchdog(lambda: [])
    time.sleep(1.1)
    assert "has not run" in dog.dead_watches()


def test_a_failing_thread_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_failed", [])
    assert not threads.failed_threads()
    threads.start("good", lambda: None).join()
    assert not threads.failed_threads()
    threads.start("bad", lambda: 1 / 0).join()
    assert "bad" in threads.failed_threads()
