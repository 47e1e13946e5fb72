"""Objects that cannot run are refused, and a useless label gives a warning."""

from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crds.parse import parse_actor
from files.reading import split
from injection.inject import Denied, inject, uninject
from injection.plan import Plan, make_plan
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
def test_an_object_that_cannot_run_is_refused(spec: Any, field: str) -> None:
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
def test_an_object_that_can_run_is_accepted(spec: Any) -> None:
    refuse({"spec": spec}, PLAN)


def mounting(path: str, *more: Any) -> Any:
    mounts = [{"name": "data", "mountPath": path}]
    return {"spec": {"containers": [{"name": "runtime", "image": "i", "volumeMounts": mounts}, *more]}}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/opt", "is a parent of /opt/asya/asya_runtime.py"),
        ("//opt/./asya/", "is a parent of /opt/asya/asya_runtime.py"),
        ("/var/run", "is a parent of /var/run/asya, where"),
        ("/var", "is a parent of /var/run/asya"),
        ("/", "is a parent of /var/run/asya"),
        ("/x/..", "is a parent of /var/run/asya"),
        ("/run", r"is a parent of /var/run/asya \(on most images /var/run is a link to /run\), where"),
        ("/run/asya", r"is the same path as /var/run/asya \(on most images /var/run is a link to /run\), where"),
        ("/run/asya/runtime-ready", r"hides /var/run/asya/runtime-ready \(on most images"),
        ("/var/run/asya/asya-runtime.sock", "hides /var/run/asya/asya-runtime.sock"),
        ("/var/run/asya/./asya-holder.sock", "hides /var/run/asya/asya-holder.sock"),
        ("/var/run/asya/runtime-ready/x", "hides /var/run/asya/runtime-ready"),
        ("/opt/asya/asya_runtime.py/x", "hides /opt/asya/asya_runtime.py"),
    ],
)
def test_a_mount_over_a_parent_of_the_operators_mounts_or_on_the_socket_is_refused(path: str, message: str) -> None:
    with pytest.raises(Denied, match=rf"^spec.containers\[0\].volumeMounts\[0\].mountPath: .*{message}.*elsewhere"):
        refuse_mounts(mounting(path), PLAN)


@pytest.mark.parametrize("path", ["/opt/asya2", "/opt/asya/models", "/var/run/as", "/run/asya/cache", "/v", "/runs"])
def test_a_mount_beside_the_operators_is_accepted(path: str) -> None:
    refuse_mounts(mounting(path), PLAN)


SEGMENTS = st.lists(st.sampled_from(["var", "run", "asya", "opt", "asya_runtime.py", "x"]), max_size=4)
"""Parts of paths. Many combinations lead to the operator's paths."""
SOCKETS = ["/var/run/asya/a.sock", "/run/asya/a.sock", "/var/run/a.sock", "/srv/x/a.sock"]


def resolved(path: str) -> PurePosixPath:
    """A normalised path after the link ``/var/run`` -> ``/run``, computed from its parts, unlike in the code."""
    parts = PurePosixPath(path).parts
    return PurePosixPath("/", *parts[2:]) if parts[1:3] == ("var", "run") else PurePosixPath(path)


def spelled(parts: list[str], noise: list[str]) -> str:
    """Another spelling of the same path."""
    return "/" + "/".join(f"{part}{more}" for part, more in zip(parts, noise, strict=False))


@given(SEGMENTS, st.lists(st.sampled_from(["", "/", "/.", "/y/.."]), min_size=4, max_size=4), st.sampled_from(SOCKETS))
def test_a_mount_is_refused_exactly_if_it_covers_the_operators_path(
    parts: list[str], noise: list[str], socket: str
) -> None:
    plan = plan_with_socket(socket)
    named = "/" + "/".join(parts)
    path, literal = resolved(named), PurePosixPath(named)
    ours = [PurePosixPath(m["mountPath"]) for m in plan.mounts]
    there = [resolved(str(our)) for our in ours]
    above = any(path in our.parents for our in there) or any(literal in our.parents for our in ours)
    instead = any(path == our for our in there) and literal not in ours
    script = PurePosixPath("/opt/asya/asya_runtime.py") in path.parents
    try:
        refuse_mounts(mounting(spelled(parts, noise)), plan)
    except Denied:
        assert above or instead or script, named
    else:
        assert not above, named
        assert not instead, named
        assert not script, named


def plan_with_socket(path: str) -> Plan:
    made: Any = actor("a")
    obj = {**made, "metadata": {"name": "a", "namespace": "default"}}
    obj["spec"] = {**made["spec"], "socket": {"path": path}}
    return make_plan(parse_actor(obj), SidecarDefaults())


@given(st.sampled_from(["/var/run/asya", "/run/asya"]), st.sampled_from(["/var/run/asya", "/run/asya"]))
def test_the_operators_own_volume_may_be_at_both_ends_of_the_link(ours: str, theirs: str) -> None:
    plan = plan_with_socket(f"{ours}/a.sock")
    template = mounting(theirs)
    template["spec"]["containers"][0]["volumeMounts"][0]["name"] = "asya-socket"
    template["spec"]["volumes"] = [{"name": "asya-socket", "emptyDir": {}}]
    refuse_mounts(template, plan)
    made = inject(template, plan)
    paths = [m["mountPath"] for c in made["spec"]["containers"] for m in c["volumeMounts"] if c["name"] == "runtime"]
    assert {ours, theirs} <= set(paths)
    assert uninject(made) == template


def test_mounts_of_other_containers_do_not_matter() -> None:
    more = {"name": "web", "image": "i", "volumeMounts": [{"name": "data", "mountPath": "/var/run"}]}
    refuse_mounts(mounting("/data", more), PLAN)


def review(new: Any, old: Any = None, *, kind: str = "deployments") -> Decision:
    def workload(template: Any) -> Any:
        return {"metadata": {"name": "web", "labels": {"asya.io/actor": "a"}}, "spec": {"template": template}}

    request = {"operation": "UPDATE" if old else "CREATE", "namespace": "default", "object": workload(new)}
    request |= {"oldObject": workload(old)} if old else {}
    return decide({**request, "resource": {"group": "apps", "resource": kind}}, lambda wanted: PLAN)


def test_a_workload_that_runs_with_such_a_mount_is_accepted_until_its_template_changes() -> None:
    running = inject(mounting("/var/run"), PLAN)
    assert review(running, running).outcome == "unchanged"
    assert review(mounting("/var/run")).outcome == "denied"
    assert review(mounting("/var"), running).message.startswith("spec.template.spec.containers[0].volumeMounts[0]")


@pytest.mark.parametrize("kind", ["pods", "deployments"])
def test_admission_warns_of_an_empty_label(kind: str) -> None:
    metadata = {"name": "web", "labels": {"asya.io/actor": ""}}
    spec: Any = mounting("/data")["spec"] if kind == "pods" else {"template": mounting("/data")}
    resource = {"group": "" if kind == "pods" else "apps", "resource": kind}
    request = {"operation": "CREATE", "resource": resource, "object": {"metadata": metadata, "spec": spec}}
    decision = decide(request, lambda wanted: PLAN)
    assert decision.outcome == "unchanged"
    assert [w for w in decision.warnings if "metadata.labels[asya.io/actor]: is empty" in w] == decision.warnings != []


@pytest.mark.parametrize(
    ("kind", "label", "message"),
    [
        ("apps/v1/ReplicaSet", "text", "label its pod template instead"),
        ("argoproj.io/v1alpha1/Rollout", "text", "label its pod template instead"),
        ("apps/v1/Deployment", "''", "is empty, so nothing is injected"),
    ],
)
def test_a_useless_label_gives_a_warning(kind: str, label: str, message: str) -> None:
    version, _, name = kind.rpartition("/")
    text = (
        f"apiVersion: {version}\nkind: {name}\nmetadata: {{name: web, labels: {{asya.io/actor: {label}}}}}\n"
        "spec: {template: {spec: {containers: [{name: runtime}]}}}\n"
    )
    (document,) = split(text, "f")
    known = offline()
    assert known.inject(document) is document
    assert len([w for w in known.warnings if message in w]) == 1, known.warnings
