"""What could not run is refused, and a label that does nothing is told."""

from typing import Any

import pytest

from crds.parse import parse_actor
from files.reading import split
from injection.inject import Denied
from injection.plan import make_plan
from injection.refusals import refuse
from injection.settings import SidecarDefaults
from tests.golden import offline
from tests.harness.space import actor

PLAN = make_plan(parse_actor({**actor("a"), "metadata": {"name": "a", "namespace": "default"}}), SidecarDefaults())
EXPRESSION = {"key": "kubernetes.io/os", "operator": "In", "values": ["windows"]}
OTHER = {"key": "disk", "operator": "In", "values": ["ssd"]}


def affinity(*terms: list[Any]) -> Any:
    required = {"nodeSelectorTerms": [{"matchExpressions": term} for term in terms]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"securityContext": {"windowsOptions": {"runAsUserName": "x"}}}, "spec.securityContext.windowsOptions"),
        (
            {"containers": [{"name": "a", "securityContext": {"windowsOptions": {"hostProcess": True}}}]},
            r"spec.containers\[0\].securityContext.windowsOptions",
        ),
        (affinity([OTHER, EXPRESSION]), "spec.affinity.nodeAffinity"),
        ({"resources": {"limits": {"memory": "100Mi"}}}, "spec.resources.limits.memory: 100Mi .*256Mi; raise it"),
    ],
)
def test_what_could_not_run_is_refused(spec: Any, field: str) -> None:
    with pytest.raises(Denied, match=f"^{field}"):
        refuse({"spec": spec}, PLAN)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"containers": None, "affinity": None, "resources": {"limits": None}},
        affinity([EXPRESSION], [OTHER]),
        {"resources": {"limits": {"memory": "256Mi"}}},
        {"resources": {"limits": {"memory": "1G", "cpu": 1}}},
        {"resources": {"limits": {"memory": "unreadable"}}},
    ],
)
def test_what_can_run_is_not(spec: Any) -> None:
    refuse({"spec": spec}, PLAN)


@pytest.mark.parametrize(
    ("kind", "label", "told"),
    [
        ("apps/v1/ReplicaSet", "text", "label its pod template instead"),
        ("argoproj.io/v1alpha1/Rollout", "text", "label its pod template instead"),
        ("apps/v1/Deployment", "''", "is empty, so nothing is injected"),
    ],
)
def test_a_label_in_vain_is_told(kind: str, label: str, told: str) -> None:
    version, _, name = kind.rpartition("/")
    text = (
        f"apiVersion: {version}\nkind: {name}\nmetadata: {{name: web, labels: {{asya.io/actor: {label}}}}}\n"
        "spec: {template: {spec: {containers: [{name: runtime}]}}}\n"
    )
    (document,) = split(text, "f")
    known = offline()
    assert known.inject(document) is document
    assert len([w for w in known.warnings if told in w]) == 1, known.warnings
