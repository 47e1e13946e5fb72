"""One ConfigMap in each namespace has KEDA's parameters for all its actors. No other object is read."""

from types import SimpleNamespace
from typing import Any, cast

from controller.cluster.access import Cluster
from controller.cluster.parameters import Parameters, is_intact, parameters_map

Object = dict[str, Any]


class Fake:
    """A cluster with the ConfigMap, if given, and the TriggerAuthentications with these names."""

    def __init__(self, *authentications: str) -> None:
        self.stored: Object | None = None
        self.writes: list[str] = []
        known = SimpleNamespace(get=lambda namespace, name: {} if name in authentications else None)
        cached = SimpleNamespace(get=lambda namespace, name: self.stored)
        self.keda: Any = SimpleNamespace(parameters=cached, trigger_authentications=known)

    def get(self, informer: Any, namespace: str, name: str) -> Object | None:
        return self.stored

    def ensure(self, informer: Any, live: Object | None, desired: Object) -> None:
        self.writes.append("applied")
        self.stored = desired

    def delete(self, informer: Any, obj: Object) -> None:
        self.writes.append("deleted")
        self.stored = None


def data(fake: Fake) -> Object:
    return (fake.stored or {}).get("data") or {}


def test_entries_are_added_and_removed_by_actor() -> None:
    fake = Fake()
    parameters = Parameters(cast(Cluster, fake))
    parameters.put("n", "a", {"a.username": "u"})
    parameters.put("n", "a.b", {"a.b.username": "v", "a.b.tls": "enable"})
    assert data(fake) == {"a.username": "u", "a.b.username": "v", "a.b.tls": "enable"}
    parameters.put("n", "a.b", {"a.b.tls": "enable"})
    parameters.put("n", "a", {})
    assert data(fake) == {"a.b.tls": "enable"}
    parameters.put("n", "a.b", {})
    assert fake.stored is None
    fake.writes.clear()
    parameters.put("n", "a", {})
    assert fake.writes == []


def test_a_foreign_config_map_is_not_changed_and_is_reported() -> None:
    fake = Fake()
    fake.stored = {"metadata": {"namespace": "n", "name": "asya-keda"}, "data": {"a.username": "theirs"}}
    parameters = Parameters(cast(Cluster, fake))
    verdict = parameters.put("n", "a", {"a.username": "u"})
    assert verdict is not None
    assert "'asya-keda'" in verdict.message
    assert parameters.put("n", "a", {}) is None
    assert fake.writes == []


def test_entries_of_an_orphaned_authentication_stay() -> None:
    fake = Fake("orphan")
    parameters = Parameters(cast(Cluster, fake))
    for name in ("orphan", "gone"):
        parameters.put("n", name, {f"{name}.username": "u"})
        parameters.drop_orphaned("n", name)
    assert data(fake) == {"orphan.username": "u"}


def test_a_manual_change_is_noticed() -> None:
    made = parameters_map("n", {"a.username": "u", "b.username": "v"})
    assert is_intact(made)
    assert not is_intact({**made, "data": {"a.username": "u"}})
    assert not is_intact({**made, "metadata": {**made["metadata"], "annotations": None}})


def test_a_cluster_without_keda() -> None:
    fake = Fake()
    fake.keda = None
    parameters = Parameters(cast(Cluster, fake))
    assert parameters.put("n", "a", {"a.username": "u"}) is None
    parameters.drop_orphaned("n", "a")
    assert fake.writes == []
