"""One ConfigMap in each namespace has KEDA's parameters for all its actors. No other object is read."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller.cluster.access import Cluster
from controller.cluster.parameters import Parameters, is_intact, parameters_map
from controller.cluster.references import References
from controller.rules.scalers import parameter_key

Object = dict[str, Any]
U, V, TLS = {"username_u": "u"}, {"username_v": "v"}, {"tls_enable": "enable"}


class Fake:
    """A cluster with the ConfigMap, if given, and one TriggerAuthentication for each of these keys."""

    def __init__(self, *keys: str) -> None:
        self.stored: Object | None = None
        self.writes: list[str] = []
        self.references = References()
        for key in keys:
            self.references.observe(authentication(key), False)
        cached = SimpleNamespace(get=lambda namespace, name: self.stored)
        self.keda: Any = SimpleNamespace(parameters=cached, references=self.references)

    def get(self, informer: Any, namespace: str, name: str) -> Object | None:
        return self.stored

    def ensure(self, informer: Any, live: Object | None, desired: Object) -> None:
        if live is None or live["data"] != desired["data"]:
            self.writes.append("applied")
        self.stored = desired

    def delete(self, informer: Any, obj: Object) -> None:
        self.writes.append("deleted")
        self.stored = None


def authentication(key: str, namespace: str = "n", config_map: str = "asya-keda", name: str = "") -> Object:
    """A TriggerAuthentication that refers to a key. Its name is by default that of the key."""
    reference = {"parameter": "username", "name": config_map, "key": key}
    return {"metadata": {"namespace": namespace, "name": name or key}, "spec": {"configMapTargetRef": [reference]}}


def data(fake: Fake) -> Object:
    return (fake.stored or {}).get("data") or {}


def test_actors_share_entries_and_the_last_one_removes_them() -> None:
    fake = Fake()
    parameters = Parameters(cast(Cluster, fake))
    parameters.put("n", "a", U)
    parameters.put("n", "b", U)
    assert fake.writes == ["applied"]
    parameters.put("n", "c", V | TLS)
    assert data(fake) == U | V | TLS
    parameters.put("n", "a", {})
    parameters.put("n", "c", TLS)
    assert data(fake) == U | TLS
    parameters.put("n", "b", {})
    assert data(fake) == TLS
    parameters.put("n", "c", {})
    assert fake.stored is None
    fake.writes.clear()
    parameters.put("n", "a", {})
    assert fake.writes == []


def test_an_actor_that_changes_its_entry_leaves_the_others_theirs() -> None:
    fake = Fake()
    parameters = Parameters(cast(Cluster, fake))
    for name in ("a", "b"):
        parameters.put("n", name, U)
    parameters.put("n", "a", V)
    assert data(fake) == U | V


def test_a_foreign_config_map_is_not_changed_and_is_reported() -> None:
    fake = Fake()
    fake.stored = {"metadata": {"namespace": "n", "name": "asya-keda"}, "data": {"username_u": "theirs"}}
    parameters = Parameters(cast(Cluster, fake))
    verdict = parameters.put("n", "a", U)
    assert verdict is not None
    assert "'asya-keda'" in verdict.message
    assert parameters.put("n", "a", {}) is None
    assert fake.writes == []


def test_entries_of_an_orphaned_authentication_stay() -> None:
    fake = Fake("username_u")
    fake.references.observe(authentication("username_v", namespace="m"), False)
    fake.references.observe(authentication("username_v", config_map="theirs"), False)
    parameters = Parameters(cast(Cluster, fake))
    for name, entries in (("orphan", U), ("gone", V)):
        parameters.put("n", name, entries)
        parameters.put("n", name, {})
    assert data(fake) == U
    fake.references.observe(authentication("username_u"), True)
    parameters.put("n", "orphan", {})
    assert fake.stored is None


def test_a_restarted_operator_keeps_the_entries_of_actors_that_it_has_not_reconciled() -> None:
    fake = Fake("username_u", "tls_enable")
    fake.stored = parameters_map("n", U | V | TLS)
    Parameters(cast(Cluster, fake)).put("n", "a", {})
    assert data(fake) == U | TLS


def test_the_entries_of_an_older_release_stay_until_no_authentication_refers_to_them() -> None:
    fake = Fake("a.username", "b.username")
    fake.stored = parameters_map("n", {"a.username": "u", "b.username": "u"})
    parameters = Parameters(cast(Cluster, fake))
    parameters.put("n", "a", U)
    assert data(fake) == {"a.username": "u", "b.username": "u"} | U
    fake.references.observe(authentication("username_u", name="a.username"), False)
    parameters.put("n", "a", U)
    assert data(fake) == {"b.username": "u"} | U


def test_references_are_counted() -> None:
    references = References()
    one, two = authentication("k", name="one"), authentication("k", name="two")
    for obj in (one, two, one):
        references.observe(obj, False)
    references.observe(one, True)
    assert references.has("n", "k")
    references.observe(authentication("other", name="two"), False)
    assert (references.has("n", "k"), references.has("n", "other")) == (False, True)
    references.observe(two, True)
    references.observe(two, True)
    assert not references.has("n", "other")
    assert not references.has("elsewhere", "k")


def test_a_changed_value_is_corrected() -> None:
    fake = Fake("username_u")
    parameters = Parameters(cast(Cluster, fake))
    parameters.put("n", "a", U)
    fake.stored = parameters_map("n", {"username_u": "changed"})
    parameters.put("n", "b", V)
    assert data(fake) == U | V


def test_a_manual_change_is_noticed() -> None:
    made = parameters_map("n", U | V)
    assert is_intact(made)
    assert not is_intact({**made, "data": U})
    assert not is_intact({**made, "metadata": {**made["metadata"], "annotations": None}})


def test_a_cluster_without_keda() -> None:
    fake = Fake()
    keda, fake.keda = fake.keda, None
    parameters = Parameters(cast(Cluster, fake))
    assert parameters.put("n", "a", U) is None
    assert parameters.put("n", "gone", V) is None
    parameters.put("n", "gone", {})
    assert fake.writes == []
    fake.keda = keda
    parameters.put("n", "a", U)
    assert data(fake) == U


@pytest.mark.parametrize("value", ["a@b:c/d#%", "é", "x" * 250, "a b", "u\n", ""])
def test_a_value_that_no_key_can_hold_has_a_key_of_its_own(value: str) -> None:
    key = parameter_key("username", value)
    assert len(key) <= 253
    assert key.replace("_", "").isalnum()
    assert key != parameter_key("username", value + "x")
