"""The webhook's cache under forced interleavings: no actor rises from the dead, and no plan is of an old script."""

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
from webhook.admission import Wanted

WANTED = Wanted("x", "a")


def obj(generation: int = 1, uid: str = "u") -> Object:
    made = copy.deepcopy(actor("a"))
    made["metadata"] |= {"namespace": "x", "uid": uid, "generation": generation, "resourceVersion": str(generation)}
    return made


def script(text: str, **labels: str) -> Object:
    made = {"app.kubernetes.io/managed-by": "asya-operator", **labels}
    return {"metadata": {"name": "asya-runtime", "labels": made, "annotations": {"asya.io/script": text}}}


class Reads:
    """A client whose one read is held until something else has happened."""

    def __init__(self, result: Object | None) -> None:
        self.result, self.count = result, 0
        self.meanwhile: Callable[[], None] = lambda: None

    def get(self, *_what: Any) -> Object | None:
        self.count += 1
        self.meanwhile()
        return self.result


def cache(reads: Reads) -> ActorCache:
    return ActorCache(cast(Client, reads), SidecarDefaults(), "asya-system")


def test_an_actor_that_is_deleted_while_it_is_read_is_not_remembered() -> None:
    reads = Reads(obj())
    actors = cache(reads)
    reads.meanwhile = lambda: actors._changed(obj(), True)
    assert actors.plan(WANTED) is None
    reads.result, reads.meanwhile = None, lambda: None
    assert actors.plan(WANTED) is None, "it rose from the answer to an earlier read"
    assert reads.count == 2


def test_a_successor_is_not_replaced_by_what_was_read_before_it() -> None:
    reads = Reads(obj(uid="u"))
    actors = cache(reads)

    def replaced() -> None:
        actors._changed(obj(uid="u"), True)
        actors._changed(obj(uid="v"), False)

    reads.meanwhile = replaced
    assert actors.plan(WANTED) is not None
    assert actors._entries[("x", "a")].uid == "v"
    actors._changed(obj(uid="u"), True)
    assert actors._entries[("x", "a")].uid == "v", "the deletion of another takes nothing away"


def test_a_script_that_changes_while_an_actor_is_read_is_in_its_plan() -> None:
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


def test_a_changed_script_reaches_actors_that_no_watch_has_brought_yet() -> None:
    reads = Reads(obj())
    actors = cache(reads)
    before = actors.plan(WANTED)
    actors._script_changed(script("two"), False)
    after = actors.plan(WANTED)
    assert before is not None
    assert after is not None
    assert before.digest != after.digest
    assert reads.count == 1


def test_a_foreign_config_map_is_no_script_of_ours() -> None:
    actors = cache(Reads(obj()))
    before = actors.plan(WANTED)
    actors._script_changed(script("forged", **{"app.kubernetes.io/managed-by": "somebody"}), False)
    after = actors.plan(WANTED)
    assert before is not None
    assert after is not None
    assert before.digest == after.digest


def test_an_invalid_actor_is_told_of_each_time() -> None:
    wrong = obj()
    del wrong["spec"]["transport"]
    actors = cache(Reads(wrong))
    for _ in range(2):
        with pytest.raises(InvalidActor):
            actors.plan(WANTED)
