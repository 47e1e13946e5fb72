"""Events about KEDA's objects are read from time to time, and not at each change of their status."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller.cluster import scaling
from controller.cluster.scaling import Scaling
from injection.settings import SidecarDefaults
from kube.objects import Object
from kube.resources import EVENTS


class Api:
    """Counts the lists of Events."""

    def __init__(self) -> None:
        self.lists = 0

    def list(self, resource: Any, *_where: Any, **_which: Any) -> list[Object]:
        assert resource is EVENTS
        self.lists += 1
        return [{"message": f"told {self.lists}", "lastTimestamp": "2026-01-01T00:00:00Z"}]


def scaled_object(count: int, reason: str = "ScaledObjectCheckFailed") -> Object:
    ready = {"type": "Ready", "status": "False", "reason": reason, "message": f"failed {count} times"}
    return {
        "kind": "ScaledObject",
        "metadata": {"namespace": "x", "name": "a", "uid": "u", "resourceVersion": str(count)},
        "status": {"conditions": [ready], "health": {"numberOfFailures": count}},
    }


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(scaling, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_thirty_changes_of_a_status_cause_one_list(clock: list[float]) -> None:
    api = Api()
    made = Scaling(cast(Any, SimpleNamespace(client=api, keda=None)), SidecarDefaults())
    for count in range(30):
        clock[0] += 0.5
        assert made._read_events(scaled_object(count)).messages == ["told 1"]
    assert api.lists == 1
    clock[0] += scaling.EVENTS_SECONDS
    assert made._read_events(scaled_object(31)).messages == ["told 2"]


def test_another_reason_is_read_soon(clock: list[float]) -> None:
    api = Api()
    made = Scaling(cast(Any, SimpleNamespace(client=api, keda=None)), SidecarDefaults())
    made._read_events(scaled_object(1))
    clock[0] += scaling.SOON_SECONDS
    assert made._read_events(scaled_object(2, "TriggerError")).messages == ["told 2"]
