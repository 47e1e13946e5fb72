"""The relation between an object and an actor: the whole table, here and in the manual."""

from typing import Any, get_args

import pytest

import injection.ownership as module
from injection.ownership import RELEASED, RENEWED, Ownership, ownership
from tests.harness.clusters import ROOT

Object = dict[str, Any]
MADE = {"app.kubernetes.io/managed-by": "asya-operator"}
APPLIED = {"asya.io/applied": "0123"}


def owner(uid: str, name: str = "a", kind: str = "AsyncActor", group: str = "asya.io/v1alpha1") -> list[Object]:
    return [{"apiVersion": group, "kind": kind, "name": name, "uid": uid, "controller": True}]


def obj(label: str | None = "a", owners: list[Object] | None = None, made: bool = False, **metadata: Any) -> Object:
    labels = {**({"asya.io/actor": label} if label else {}), **(MADE if made else {})}
    matches = {"name": "w", "labels": labels, "annotations": APPLIED if made else {}, "ownerReferences": owners or []}
    return {"kind": "Deployment", "metadata": {**matches, **metadata}}


@pytest.mark.parametrize(
    ("result", "relation"),
    [
        (obj(owners=owner("u")), "owned"),
        (obj(label=None, owners=owner("u")), "owned"),
        (obj(owners=owner("before")), "predecessor"),
        (obj(owners=owner("v", name="b")), "foreign"),
        (obj(), "labelled"),
        (obj(owners=owner("x", kind="Rollout", group="argoproj.io/v1alpha1")), "labelled"),
        (obj(owners=owner("u", group="example.com/v1")), "labelled"),
        (obj(made=True), "orphaned"),
        (obj(made=True, annotations={}), "labelled"),
        (obj(made=True, owners=owner("x", kind="Rollout", group="argoproj.io/v1alpha1")), "labelled"),
        (obj(label=None), "foreign"),
        (obj(label="b"), "foreign"),
        (obj(label="b", made=True), "foreign"),
        ({"kind": "Deployment", "metadata": {"name": "w", "labels": None, "ownerReferences": None}}, "foreign"),
    ],
)
def test_each_line_of_the_table(result: Object, relation: Ownership) -> None:
    assert ownership(result, "a", "u") == relation


def test_a_workload_that_an_actor_names_is_borrowed() -> None:
    assert ownership(obj(), "a", "u", ("Deployment", "w")) == "borrowed"
    assert ownership(obj(), "a", "u", ("StatefulSet", "w")) == "labelled"
    assert ownership(obj(label=None), "a", "u", ("Deployment", "w")) == "foreign"


def test_a_deleted_actor_owns_nothing() -> None:
    assert ownership(obj(owners=owner("")), "a", "") == "predecessor"
    assert ownership(obj(owners=owner("u")), "a", "") not in RELEASED


def test_objects_for_garbage_collection_are_never_released() -> None:
    assert set(RELEASED).isdisjoint({"owned", "predecessor", "orphaned", "foreign"})
    assert set(RENEWED).isdisjoint({"predecessor", "foreign"})


def test_the_manual_has_a_line_for_each_relation() -> None:
    page = (ROOT / "docs" / "ownership.md").read_text()
    for word in get_args(Ownership):
        assert f"\n| {word} |" in page, word
        assert f"| {word} |" in str(module.__doc__), word
