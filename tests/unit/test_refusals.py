"""What could not run is refused, and a label that does nothing is told."""

from typing import Any

import pytest

from crds.parse import parse_actor
from files.reading import split
from injection.inject import Denied, inject
from injection.plan import make_plan
from injection.refusals import refuse, refuse_mounts
from injection.settings import SidecarDefaults
from tests.golden import offline
from tests.harness.space import actor
from webhook.admission import Decision, decide

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


def mounting(path: str, *more: Any) -> Any:
    mounts = [{"name": "data", "mountPath": path}]
    return {"spec": {"containers": [{"name": "runtime", "image": "i", "volumeMounts": mounts}, *more]}}


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/opt", "holds /opt/asya/asya_runtime.py"),
        ("//opt/./asya/", "holds /opt/asya/asya_runtime.py"),
        ("/var/run", "holds /var/run/asya, where"),
        ("/var", "holds /var/run/asya"),
        ("/", "holds /var/run/asya"),
        ("/x/..", "holds /var/run/asya"),
        ("/var/run/asya/asya-runtime.sock", "hides /var/run/asya/asya-runtime.sock"),
        ("/var/run/asya/./asya-holder.sock", "hides /var/run/asya/asya-holder.sock"),
        ("/var/run/asya/runtime-ready/x", "hides /var/run/asya/runtime-ready"),
        ("/opt/asya/asya_runtime.py/x", "hides /opt/asya/asya_runtime.py"),
    ],
)
def test_a_mount_over_a_parent_of_ours_or_on_the_socket_is_refused(path: str, told: str) -> None:
    with pytest.raises(Denied, match=rf"^spec.containers\[0\].volumeMounts\[0\].mountPath: .*{told}.*elsewhere"):
        refuse_mounts(mounting(path), PLAN)


@pytest.mark.parametrize("path", ["/opt/asya2", "/opt/asya/models", "/var/run/as", "/var/run/asya/cache", "/v", "/run"])
def test_a_mount_beside_ours_is_not(path: str) -> None:
    refuse_mounts(mounting(path), PLAN)


def test_what_another_container_mounts_is_its_own() -> None:
    more = {"name": "web", "image": "i", "volumeMounts": [{"name": "data", "mountPath": "/var/run"}]}
    refuse_mounts(mounting("/data", more), PLAN)


def review(new: Any, old: Any = None, *, kind: str = "deployments") -> Decision:
    def workload(template: Any) -> Any:
        return {"metadata": {"name": "web", "labels": {"asya.io/actor": "a"}}, "spec": {"template": template}}

    request = {"operation": "UPDATE" if old else "CREATE", "namespace": "default", "object": workload(new)}
    request |= {"oldObject": workload(old)} if old else {}
    return decide({**request, "resource": {"group": "apps", "resource": kind}}, lambda wanted: PLAN)


def test_a_workload_that_runs_with_such_a_mount_goes_on_until_its_template_changes() -> None:
    running = inject(mounting("/var/run"), PLAN)
    assert review(running, running).outcome == "unchanged"
    assert review(mounting("/var/run")).outcome == "denied"
    assert review(mounting("/var"), running).message.startswith("spec.template.spec.containers[0].volumeMounts[0]")


@pytest.mark.parametrize("kind", ["pods", "deployments"])
def test_admission_tells_of_an_empty_label(kind: str) -> None:
    metadata = {"name": "web", "labels": {"asya.io/actor": ""}}
    spec: Any = mounting("/data")["spec"] if kind == "pods" else {"template": mounting("/data")}
    resource = {"group": "" if kind == "pods" else "apps", "resource": kind}
    request = {"operation": "CREATE", "resource": resource, "object": {"metadata": metadata, "spec": spec}}
    decision = decide(request, lambda wanted: PLAN)
    assert decision.outcome == "unchanged"
    assert [w for w in decision.warnings if "metadata.labels[asya.io/actor]: is empty" in w] == decision.warnings != []


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
