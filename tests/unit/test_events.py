"""Events that are said again soon are counted, not repeated."""

from typing import Any, cast

import pytest

from kube import events
from kube.client import ApiError, Client, Object

ABOUT = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "x", "uid": "u"}}


class Api:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.stored: dict[str, Object] = {}
        self.down = False

    def create(self, _resource: Any, obj: Object) -> Object:
        if self.down:
            raise ApiError(0, "Unreachable", "down")
        self.stored[obj["metadata"]["name"]] = obj
        return obj

    def merge_patch(self, _resource: Any, _namespace: str, name: str, patch: Object) -> Object:
        if name not in self.stored:
            raise ApiError(404, "NotFound", "no such Event")
        self.stored[name] = {**self.stored[name], **patch}
        return self.stored[name]


@pytest.fixture
def api() -> Api:
    return Api()


def test_the_same_event_is_counted(api: Api) -> None:
    recorder = events.Recorder(cast(Client, api), "me")
    for _ in range(3):
        recorder.record(ABOUT, "Broken", "it is broken", warning=True)
    recorder.record(ABOUT, "Broken", "otherwise")
    assert sorted((e["message"], e["count"]) for e in api.stored.values()) == [("it is broken", 3), ("otherwise", 1)]


def test_one_that_has_expired_is_sent_anew(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = events.Recorder(cast(Client, api), "me")
    recorder.record(ABOUT, "Broken", "it is broken")
    api.stored.clear()  # as the API server does after an hour
    recorder.record(ABOUT, "Broken", "it is broken")
    assert [e["count"] for e in api.stored.values()] == [1]
    monkeypatch.setattr(events, "AGAIN_SECONDS", 0.0)
    recorder.record(ABOUT, "Late", "once")
    recorder.record(ABOUT, "Late", "once")
    assert len(api.stored) == 3


def test_memory_is_bounded_and_a_lost_event_is_no_failure(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "REMEMBERED", 10)
    recorder = events.Recorder(cast(Client, api), "me")
    for number in range(30):
        recorder.record(ABOUT, "Many", str(number))
    assert len(recorder._recent) == 10
    api.down = True
    recorder.record(ABOUT, "Lost", "nobody hears it")
