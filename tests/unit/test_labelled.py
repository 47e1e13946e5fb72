"""A place for a rollout becomes free, whether the response to the re-injection or the watch is first."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller.cluster.labelled import Labelled
from controller.cluster.rollouts import Rollouts
from crds.parse import parse_actor
from injection.inject import inject
from injection.plan import make_plan
from injection.settings import SidecarDefaults
from kube.objects import Object
from kube.resources import DEPLOYMENTS
from tests.harness.space import actor

OBJ = actor("a")
OBJ["metadata"]["namespace"] = "x"
PLAN = make_plan(parse_actor(OBJ), SidecarDefaults())
TEMPLATE = {"metadata": {"labels": {}}, "spec": {"containers": [{"name": "runtime", "image": "app:1"}]}}
DONE = {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}


def deployment(template: Object, generation: int, status: Object) -> Object:
    metadata = {"name": "d", "namespace": "x", "uid": "u", "generation": generation, "labels": {"asya.io/actor": "a"}}
    return {"kind": "Deployment", "metadata": metadata, "spec": {"template": template}, "status": status}


@pytest.mark.parametrize("gone", [False, True])
def test_a_rollout_that_completes_before_the_response_holds_no_place(gone: bool) -> None:
    rollouts = Rollouts(1, 300, lambda key: None)
    before = deployment(TEMPLATE, 1, {**DONE, "observedGeneration": 1})
    answer = deployment(inject(TEMPLATE, PLAN), 2, {**DONE, "observedGeneration": 1})
    after = deployment(inject(TEMPLATE, PLAN), 2, DONE)

    class Watched:
        resource, latest = DEPLOYMENTS, before

        def labelled(self, *_key: str) -> list[Object]:
            return [before]

        def get(self, *_key: str) -> Object | None:
            return None if gone else self.latest

        def observe(self, _obj: Object) -> None:
            pass

    informer = Watched()

    def merge_patch(*_what: Any, **_how: Any) -> Object:
        informer.latest = after
        rollouts.observe(after, deleted=gone)  # by the watch, on its thread
        return answer

    cluster = SimpleNamespace(injectable=[informer], client=SimpleNamespace(merge_patch=merge_patch))
    renewal = Labelled(cast(Any, cluster), rollouts).renew(("x", "a"), "uid", PLAN)
    assert renewal.outdated == 0
    assert rollouts.in_flight == 0
