"""Several releases together: an upgrade reads an older record, and a rollback does not change a newer one."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from crds.names import ANNOTATION_INJECTED
from injection import record as records
from injection.inject import inject, uninject
from injection.kinds import KINDS
from injection.plan import CONTRACT
from injection.record import read_record, unknown_version
from tests.unit.test_golden import plan_of
from webhook.admission import PlanRequest, decide

Object = dict[str, Any]
FOLDER = Path(__file__).parent.parent / "records"
CASES = sorted(p for p in FOLDER.glob("*/*.injected.yaml"))
RESOURCES = {kind.name: (key, kind) for key, kind in KINDS.items()}


def objects(path: Path) -> list[Object]:
    return [obj for obj in yaml.safe_load_all(path.read_text()) if obj and obj.get("kind") in RESOURCES]


def pairs() -> list[Any]:
    cases = []
    for path in CASES:
        source = path.with_name(path.name.replace(".injected", ""))
        for before, after in zip(objects(source), objects(path), strict=True):
            cases.append(pytest.param(before, after, id=f"{path.parent.name}-{path.name.partition('.')[0]}"))
    return cases


def request(resource: tuple[str, str], obj: Object, old: Object | None = None) -> Object:
    return {
        "operation": "UPDATE" if old is not None else "CREATE",
        "namespace": "default",
        "resource": {"group": resource[0], "resource": resource[1]},
        "object": obj,
        **({"oldObject": old} if old is not None else {}),
    }


def test_each_released_form_is_recorded() -> None:
    kept = {int(path.parent.name) for path in CASES}
    assert kept == set(records.READABLE) - {CONTRACT}


@pytest.mark.parametrize(("before", "after"), pairs())
def test_an_earlier_injection_is_removed_exactly(before: Object, after: Object) -> None:
    kind = RESOURCES[before["kind"]][1]
    template = kind.template(after)
    assert template is not None
    assert read_record(template) is not None
    assert uninject(template) == kind.template(before)


@pytest.mark.parametrize(("before", "after"), pairs())
def test_an_upgrade_turns_an_earlier_injection_into_the_present_one(before: Object, after: Object) -> None:
    (_, kind) = RESOURCES[before["kind"]]
    plan = plan_of(after["metadata"]["labels"]["asya.io/actor"])
    assert plan is not None
    old, plain = kind.template(after) or {}, kind.template(before) or {}
    assert inject(old, plan, job=kind.job, scaled=kind.scaled) == inject(plain, plan, job=kind.job, scaled=kind.scaled)


@pytest.mark.parametrize(("before", "after"), pairs())
def test_a_release_that_cannot_read_the_record_changes_nothing(
    before: Object, after: Object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old to new to old: the rollback changes nothing and reports it, labelled or not. The next upgrade continues."""
    resource, kind = RESOURCES[before["kind"]]
    plan = plan_of(after["metadata"]["labels"]["asya.io/actor"])
    assert plan is not None
    new = copy.deepcopy(after)
    template = kind.template(new) or {}
    made = inject(template, plan, job=kind.job, scaled=kind.scaled)
    template.clear()
    template.update(made)
    monkeypatch.setattr(records, "READABLE", (1,))
    edited = copy.deepcopy(new)
    edited["metadata"].setdefault("labels", {})["more"] = "1"
    unlabelled = copy.deepcopy(new)
    del unlabelled["metadata"]["labels"]["asya.io/actor"]
    for obj in (edited, unlabelled):
        decision = decide(request(resource, obj), lambda wanted: plan)
        assert (decision.outcome, decision.patch) == ("unchanged", [])
        if kind.path:
            assert f"record version {CONTRACT}" in decision.warnings[0]
            assert unknown_version(kind.template(obj) or {}) == CONTRACT
    monkeypatch.undo()
    assert uninject(template) == kind.template(before)


def test_a_record_of_a_future_release_is_not_changed() -> None:
    obj = objects(FOLDER / "1" / "deployment.injected.yaml")[0]
    annotations = obj["spec"]["template"]["metadata"]["annotations"]
    annotations[ANNOTATION_INJECTED] = annotations[ANNOTATION_INJECTED].replace('"version":1', '"version":99')
    lookup = lambda wanted: plan_of(wanted.actor)  # noqa: E731
    decision = decide(request(("apps", "deployments"), obj, obj), lookup)
    assert (decision.outcome, decision.patch) == ("unchanged", [])
    assert "record version 99" in decision.warnings[0]
    assert "upgrade the operator" in decision.warnings[0]


def test_a_missing_actor_is_still_read_if_the_record_is_known() -> None:
    lookups: list[PlanRequest] = []

    def lookup(wanted: PlanRequest) -> Any:
        lookups.append(wanted)
        return plan_of(wanted.actor)

    obj = objects(FOLDER / "1" / "deployment.injected.yaml")[0]
    assert decide(request(("apps", "deployments"), obj, obj), lookup).outcome == "injected"
    assert lookups
