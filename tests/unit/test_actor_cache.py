"""The webhook's cache under forced interleavings: no deleted actor returns, and no plan has an old script."""

import copy
from collections.abc import Callable
from typing import Any, cast

import pytest

from crds.parse import InvalidActor
from injection.settings import SidecarDefaults
from kube.client import Client
from kube.objects import Object
from tests.harness.space import actor
from webhook.actors import ActorCache
from webhook.admission import PlanRequest

WANTED = PlanRequest("x", "a")


def obj(generation: int = 1, uid: str = "u") -> Object:
    made = copy.deepcopy(actor("a"))
    made["metadata"] |= {"namespace": "x", "uid": uid, "generation": generation, "resourceVersion": str(generation)}
    return made


def script(text: str, **labels: str) -> Object:
    made = {"app.kubernetes.io/managed-by": "asya-operator", **labels}
    return {"metadata": {"name": "asya-runtime", "labels": made, "annotations": {"asya.io/script": text}}}


class Reads:
    """A client whose only read waits until another event has happened."""

    def __init__(self, result: Object | None) -> None:
        self.result, self.count = result, 0
        self.meanwhile: Callable[[], None] = lambda: None

    def get(self, *_what: Any) -> Object | None:
        self.count += 1
        self.meanwhile()
        return self.result


def cache(reads: Reads) -> ActorCache:
    return ActorCache(cast(Client, reads), SidecarDefaults(), "asya-system")


def test_an_actor_that_is_deleted_during_its_read_is_not_cached() -> None:
    reads = Reads(obj())
    actors = cache(reads)
    reads.meanwhile = lambda: actors._changed(obj(), True)
    assert actors.plan(WANTED) is None
    reads.result, reads.meanwhile = None, lambda: None
    assert actors.plan(WANTED) is None, "the response to an earlier read restored the deleted actor"
    assert reads.count == 2


def test_an_earlier_read_does_not_replace_a_successor() -> None:
    reads = Reads(obj(uid="u"))
    actors = cache(reads)

    def replaced() -> None:
        actors._changed(obj(uid="u"), True)
        actors._changed(obj(uid="v"), False)

    reads.meanwhile = replaced
    assert actors.plan(WANTED) is not None
    assert actors._entries[("x", "a")].uid == "v"
    actors._changed(obj(uid="u"), True)
    assert actors._entries[("x", "a")].uid == "v", "the deletion of another actor removed this one"


def test_a_script_that_changes_during_a_read_is_in_the_plan() -> None:
    reads = Reads(obj(generation=2))
    actors = cache(reads)
    actors._script_changed(script("one"), False)
    reads.meanwhile = lambda: actors._script_changed(script("two"), False)
    first = actors.plan(WANTED)
    other = cache(Reads(obj(generation=2)))
    other._script_changed(script("two"), False)
    expected = other.plan(WANTED)
    assert first is not None
    assert expected is not None
    assert first.digest == expected.digest


def test_a_changed_script_reaches_actors_that_no_watch_has_delivered() -> None:
    reads = Reads(obj())
    actors = cache(reads)
    before = actors.plan(WANTED)
    actors._script_changed(script("two"), False)
    after = actors.plan(WANTED)
    assert before is not None
    assert after is not None
    assert before.digest != after.digest
    assert reads.count == 1


def test_a_foreign_config_map_is_not_the_operators_script() -> None:
    actors = cache(Reads(obj()))
    before = actors.plan(WANTED)
    actors._script_changed(script("forged", **{"app.kubernetes.io/managed-by": "somebody"}), False)
    after = actors.plan(WANTED)
    assert before is not None
    assert after is not None
    assert before.digest == after.digest


def test_an_invalid_actor_is_reported_each_time() -> None:
    wrong = obj()
    del wrong["spec"]["transport"]
    actors = cache(Reads(wrong))
    for _ in range(2):
        with pytest.raises(InvalidActor):
            actors.plan(WANTED)
