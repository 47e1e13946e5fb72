"""A refused write is not repeated until the write itself, or the object that it changes, differs."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller.cluster.labelled import Labelled
from controller.cluster.refused import Refused, state_of
from controller.cluster.rollouts import Rollouts
from controller.rules.status import false
from kube.failures import ApiError
from kube.objects import Object
from kube.resources import DEPLOYMENTS
from tests.unit.test_labelled import DONE, PLAN, TEMPLATE, deployment

DENIED = 'admission webhook "inject.asya.io" denied the request: spec.template.spec.containers: two of them'
TERMINAL, PASSING = false("InvalidWorkload", "wrong", 300.0), false("WorkloadForbidden", "no", 10.0)


def test_a_refusal_is_remembered_until_the_write_changes_or_time_passes() -> None:
    now = [0.0]
    refused = Refused(lambda: now[0])
    refused.remember("u", ("a",), TERMINAL)
    now[0] = 100.0
    result = refused.find("u", ("a",))
    assert result is not None
    assert (result.reason, result.retry) == ("InvalidWorkload", 200.0)
    assert refused.find("v", ("a",)) is None
    now[0] = 300.0
    assert refused.find("u", ("a",)) is None
    refused.remember("u", ("a",), TERMINAL)
    assert refused.find("u", ("b",)) is None
    assert refused.find("u", ("a",)) is None, "the change must clear the refusal"


def test_a_refusal_that_may_pass_by_itself_is_tried_again() -> None:
    refused = Refused()
    refused.remember("u", ("a",), PASSING)
    assert refused.find("u", ("a",)) is None


@pytest.mark.parametrize(
    "change", [{"generation": 2}, {"labels": {"b": ""}}, {"annotations": {"a": "b"}}, {"uid": "v"}]
)
def test_a_change_of_the_object_clears_the_refusal(change: Object) -> None:
    before: Object = {"metadata": {"uid": "u", "generation": 1}, "status": {}}
    after = {"metadata": {**before["metadata"], **change}, "status": {}}
    assert state_of(before) != state_of(after)
    assert state_of(before) == state_of({**before, "status": {"replicas": 1}})


def test_a_denied_labelled_workload_is_sent_to_admission_once() -> None:
    obj, calls = deployment(TEMPLATE, 1, DONE), []

    def merge_patch(*what: Any, **_how: Any) -> Object:
        calls.append(what)
        raise ApiError(422, "Invalid", DENIED)

    informer = SimpleNamespace(resource=DEPLOYMENTS, labelled=lambda *key: [obj], get=lambda *key: obj)
    cluster = SimpleNamespace(injectable=[informer], client=SimpleNamespace(merge_patch=merge_patch))
    labelled = Labelled(cast(Any, cluster), Rollouts(1, 300, lambda key: None))
    for _ in range(5):
        renewal = labelled.renew(("x", "a"), "uid", PLAN)
        assert [verdict.reason for _, verdict in renewal.refused] == ["InjectionDenied"]
        assert renewal.retry is not None
        assert renewal.retry > 290
    assert len(calls) == 1
    obj["metadata"]["annotations"] = {"mended": "yes"}
    labelled.renew(("x", "a"), "uid", PLAN)
    assert len(calls) == 2
