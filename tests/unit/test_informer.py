"""The watch cache's own functions: writes that are visible at once, indexes, and no deleted objects."""

from typing import Any, cast

from kube.client import Client
from kube.informer import Informer
from kube.objects import Object
from kube.resources import CONFIG_MAPS


def obj(name: str = "a", version: int = 1, uid: str = "u", **metadata: Any) -> Object:
    return {"metadata": {"namespace": "ns", "name": name, "uid": uid, "resourceVersion": str(version), **metadata}}


class Cache(Informer):
    """An informer whose events a test sends."""

    def __init__(self, **options: Any) -> None:
        super().__init__(cast(Client, None), CONFIG_MAPS, **options)

    def add(self, one: Object) -> None:
        self.apply({"type": "ADDED", "object": one})

    def remove(self, one: Object) -> None:
        self.apply({"type": "DELETED", "object": one})


def test_a_write_is_visible_until_the_watch_has_caught_up() -> None:
    cache = Cache()
    cache.add(obj(version=1))
    cache.observe(obj(version=3))
    cache.add(obj(version=2))
    assert (cache.get("ns", "a") or {})["metadata"]["resourceVersion"] == "3"
    cache.add(obj(version=4))
    assert (cache.get("ns", "a") or {})["metadata"]["resourceVersion"] == "4"


def test_an_earlier_write_does_not_restore_a_deleted_object() -> None:
    cache = Cache()
    cache.add(obj(version=1))
    cache.remove(obj(version=3))
    cache.observe(obj(version=2))
    assert cache.get("ns", "a") is None
    cache.observe(obj(version=9, uid="another"))
    assert cache.get("ns", "a"), "its successor must be visible"


def test_an_object_that_left_a_selection_and_returned_is_visible() -> None:
    cache = Cache()
    cache.add(obj(version=1))
    cache.remove(obj(version=2))
    cache.add(obj(version=3))
    cache.observe(obj(version=5))
    assert (cache.get("ns", "a") or {})["metadata"]["resourceVersion"] == "5"


def test_objects_are_indexed_by_owner_and_label() -> None:
    cache = Cache(index_label="x")
    owner = [{"uid": "o", "controller": True}]
    cache.add(obj("a", labels={"x": "1"}, ownerReferences=owner))
    cache.add(obj("b", uid="v", labels={"x": "1"}))
    assert [o["metadata"]["name"] for o in cache.labelled("ns", "1")] == ["a", "b"]
    assert [o["metadata"]["name"] for o in cache.owned_by("ns", "o")] == ["a"]
    cache.add(obj("a", labels={"x": "2"}))
    assert [o["metadata"]["name"] for o in cache.labelled("ns", "1")] == ["b"]
    assert cache.owned_by("ns", "o") == []
    cache.remove(obj("b", uid="v", labels={"x": "1"}))
    assert cache.labelled("ns", "1") == []
    assert cache.labelled("other", "2") == []


def test_managed_fields_are_not_kept() -> None:
    cache = Cache()
    cache.observe(obj(managedFields=[{"manager": "x"}]))
    assert "managedFields" not in (cache.get("ns", "a") or {})["metadata"]
