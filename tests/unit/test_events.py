"""Events that occur again soon are counted, not repeated."""

import threading
from typing import Any, cast

import pytest

from kube import events
from kube.client import Client
from kube.failures import ApiError
from kube.objects import Object

ABOUT = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "namespace": "x", "uid": "u"}}


class Api:
    """Keeps the Events that it receives."""

    def __init__(self) -> None:
        self.stored: dict[str, Object] = {}
        self.down = False

    def create(self, _resource: Any, obj: Object) -> Object:
        if self.down:
            raise ApiError(0, "Unreachable", "down")
        if obj["metadata"]["name"] in self.stored:
            raise ApiError(409, "AlreadyExists", "there is one")
        self.stored[obj["metadata"]["name"]] = obj
        return obj

    def get(self, _resource: Any, _namespace: str, name: str) -> Object | None:
        return self.stored.get(name)

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


def test_an_expired_event_is_sent_again(api: Api) -> None:
    recorder = events.Recorder(cast(Client, api), "me")
    recorder.record(ABOUT, "Broken", "it is broken")
    api.stored.clear()  # the API server deletes Events after an hour
    recorder.record(ABOUT, "Broken", "it is broken")
    assert [e["count"] for e in api.stored.values()] == [1]


def test_the_count_continues_after_a_restart(api: Api) -> None:
    for number in range(3):
        recorder = events.Recorder(cast(Client, api), f"process-{number}")
        recorder.record(ABOUT, "Broken", "it is broken")
        recorder.record(ABOUT, "Broken", "it is broken")
    assert [e["count"] for e in api.stored.values()] == [6]


def test_a_crash_loop_is_one_event(api: Api) -> None:
    recorder = events.Recorder(cast(Client, api), "me")
    for restarts, pod in enumerate(("a-7d9f8b6c5d-x2x9z", "a-7d9f8b6c5d-bq4kd", "a-54c8d96f4b-zz9ws")):
        recorder.record(ABOUT, "RuntimeError", f"the pod {pod} restarted {restarts} times", warning=True)
    recorder.record(ABOUT, "RuntimeError", "the pod b-0 restarted 3 times", warning=True)
    counted = sorted((e["count"], e["message"]) for e in api.stored.values())
    assert counted == [(1, "the pod b-0 restarted 3 times"), (3, "the pod a-54c8d96f4b-zz9ws restarted 2 times")]


def test_memory_is_bounded_and_a_lost_event_causes_no_error(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "REMEMBERED", 10)
    recorder = events.Recorder(cast(Client, api), "me")
    for number in range(30):
        recorder.record(ABOUT, f"Many{number}", "x")
    assert len(recorder._counts) == 10
    api.down = True
    recorder.record(ABOUT, "Lost", "nobody hears it")


def in_background(api: Any) -> events.BackgroundRecorder:
    return events.BackgroundRecorder(events.Recorder(cast(Client, api), "me"))


class Slow(Api):
    """Answers only when it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = threading.Event()

    def create(self, _resource: Any, obj: Object) -> Object:
        self.released.wait(10)
        return super().create(_resource, obj)


def sent_late(*recorded: tuple[str, bool]) -> list[Object]:
    """The Events that are sent if the server answers only after all of these, each a reason and whether it warns."""
    api = Slow()
    recorder = in_background(api)
    for reason, warning in recorded:
        recorder.record(ABOUT, reason, "x", warning=warning)
    assert not api.stored
    api.released.set()
    recorder.flush(10)
    return list(api.stored.values())


def test_no_caller_waits_for_a_slow_server_and_memory_is_bounded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(events, "WAITING", 3)
    sent = sent_late(*((f"Many{number}", False) for number in range(20)))
    assert len(sent) + capsys.readouterr().err.count("event_lost") == 20
    assert len(sent) in (3, 4), "three wait, and one may be on its way"


def test_warnings_overtake_other_events_which_keep_their_order() -> None:
    sent = [event["reason"] for event in sent_late(*((letter, letter == "d") for letter in "abcd"))]
    assert sorted(sent) == list("abcd")
    assert [letter for letter in sent if letter != "d"] == list("abc")
    assert sent.index("d") <= 1, "one Event may have been on its way"


def test_a_warning_takes_the_place_of_another_event(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(events, "WAITING", 3)
    normal, warnings = ([(f"{name}{n}", name == "Warning") for n in range(10)] for name in ("Normal", "Warning"))
    reasons = [event["reason"] for event in sent_late(*normal, *warnings[:2])]
    assert {"Warning0", "Warning1", "Normal0"} <= set(reasons)
    assert len(reasons) + capsys.readouterr().err.count("event_lost") == 12


def test_an_unexpected_error_loses_one_event_only(capsys: pytest.CaptureFixture[str]) -> None:
    class Odd(Api):
        def create(self, _resource: Any, obj: Object) -> Object:
            if obj["reason"] == "Odd":
                raise KeyError("count")
            return super().create(_resource, obj)

    api = Odd()
    recorder = in_background(api)
    for reason in ("Odd", "Next"):
        recorder.record(ABOUT, reason, "x")
    recorder.flush(10)
    assert [e["reason"] for e in api.stored.values()] == ["Next"]
    assert capsys.readouterr().err.count("event_lost") == 1
