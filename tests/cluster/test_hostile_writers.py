"""Changes by people and tools to an actor's objects: others' fields stay, the operator's fields are restored once."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from kube.objects import Object
from kube.resources import ASYNC_ACTORS
from release.binaries import binary
from tests.cluster.labelling import LABEL, rollout_count, sidecar_of, template_of, workload
from tests.cluster.watching import ready, settle
from tests.harness.clusters import Cluster, wait_for
from tests.harness.history import History
from tests.harness.space import Space, actor, containers

pytestmark = pytest.mark.only("kube-apiserver")
Kubectl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def kubectl(space: Space, cluster: Cluster) -> Kubectl:
    """Runs kubectl in the namespace of the test."""

    def run(*arguments: str, stdin: Any = None) -> subprocess.CompletedProcess[str]:
        command = [str(binary("kubectl")), "--kubeconfig", str(cluster.kubeconfig), "--namespace", space.name]
        text = yaml.safe_dump(stdin) if stdin is not None else ""
        completed = subprocess.run([*command, *arguments], input=text, capture_output=True, text=True, timeout=90)
        assert completed.returncode == 0, completed.stderr
        return completed

    return run


def plan_holds(space: Space, name: str, count: int) -> None:
    """Whether the Deployment has one sidecar and this number of rollouts, and its actor is ready."""
    settle(space)
    ready(space, "a")
    obj = {"kind": "Deployment", **space.wait("Deployment", name)}
    names = containers(obj)
    assert names.count("sidecar") == 1
    assert template_of(obj)["metadata"]["labels"][LABEL] == "a"
    assert rollout_count(space, name) == count
    assert space.condition("a", "WorkloadReady")["reason"] == "WorkloadCreated"


def test_kubectl_edits_of_an_owned_workload(space: Space, kubectl: Kubectl) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    kubectl("rollout", "restart", "deployment/a")
    restarted = template_of({"kind": "Deployment", **space.wait("Deployment", "a")})["metadata"]["annotations"]
    assert "kubectl.kubernetes.io/restartedAt" in restarted
    plan_holds(space, "a", 2)
    kubectl("annotate", "deployment/a", "team=b")
    kubectl("label", "deployment/a", "team=b")
    kubectl("set", "env", "deployment/a", "-c", "runtime", "EXTRA=1")  # the actor does not set it, so it stays
    plan_holds(space, "a", 3)
    edited = space.wait("Deployment", "a")
    assert edited["metadata"]["labels"]["team"] == edited["metadata"]["annotations"]["team"] == "b"
    assert "EXTRA" in str(edited["spec"])
    sets = rollout_count(space, "a")
    kubectl("label", "--overwrite", "deployment/a", f"{LABEL}=other")
    wait_for("its label", lambda: space.wait("Deployment", "a")["metadata"]["labels"][LABEL] == "a")
    kubectl("label", "deployment/a", f"{LABEL}-")
    wait_for("its label", lambda: space.wait("Deployment", "a")["metadata"]["labels"].get(LABEL) == "a")
    assert rollout_count(space, "a") == sets, "the change replaced pods"
    wait_for("its sidecar", lambda: sidecar_of({"kind": "Deployment", **space.wait("Deployment", "a")}))
    ready(space, "a")


@pytest.mark.parametrize("server_side", [False, True], ids=["client-side", "server-side"])
def test_a_labelled_workload_that_its_owner_applies_repeatedly(
    space: Space, kubectl: Kubectl, server_side: bool
) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    obj = workload("Deployment", "x", "a")
    how = ["--server-side", "--field-manager=argocd"] if server_side else []
    kubectl("apply", *how, "--filename=-", stdin=obj)
    made = space.wait("Deployment", "x")
    for _ in range(3):
        kubectl("apply", *how, "--filename=-", stdin=obj)
    assert space.wait("Deployment", "x")["metadata"]["generation"] == made["metadata"]["generation"]
    template_of(obj)["spec"]["containers"][0]["image"] = "app:2"
    kubectl("apply", *how, "--filename=-", stdin=obj)
    changed = {"kind": "Deployment", **space.wait("Deployment", "x")}
    assert containers(changed) == ["sidecar", "app"]
    assert "app:2" in str(changed["spec"])
    wait_for("both templates", lambda: rollout_count(space, "x") == 2)


@pytest.mark.parametrize("cascade", ["background", "foreground", "orphan"])
def test_an_actor_that_is_deleted_and_created_again_immediately(space: Space, kubectl: Kubectl, cascade: str) -> None:
    space.apply(workload("Deployment", "x", "a"))
    space.apply(actor("a"))
    first = ready(space, "a")
    deployments = History(space, "Deployment")
    kubectl("delete", "asya", "a", f"--cascade={cascade}", "--wait=false")

    def repeat() -> bool:
        made = space.apply(actor("a"))
        return bool(made["metadata"]["uid"] != first["metadata"]["uid"])

    wait_for("the successor", repeat)
    second = ready(space, "a")
    settle(space)
    released = space.wait("Deployment", "x")
    assert LABEL not in (released["metadata"].get("labels") or {}), (
        "the label existed only for the actor and must go with it"
    )
    assert containers(released) == ["app"]
    assert containers(space.wait("Deployment", "a")) == ["sidecar", "runtime"]
    owner = space.wait("Deployment", "a")["metadata"]["ownerReferences"][0]
    assert owner["uid"] == second["metadata"]["uid"]
    made = [{**d, "kind": "Deployment"} for d in deployments.stop() if d["metadata"]["name"] == "a"]
    bare = [d for d in made if not sidecar_of(d)]
    assert bare == [], "an actor's own workload must never run without its sidecar"


def test_a_rename(space: Space, kubectl: Kubectl) -> None:
    """To rename an actor, a user deletes it and creates another, whose workload may keep the old name."""
    old = actor("a")
    space.apply(old)
    first = ready(space, "a")
    new = actor("b", workload={**old["spec"]["workload"], "name": "a"})
    space.apply(new)
    space.wait_condition("b", "WorkloadReady", "False", "WorkloadNotOwned")
    kubectl("delete", "asya", "a")
    ready(space, "b")
    obj = space.wait("Deployment", "a")
    assert obj["metadata"]["ownerReferences"][0]["name"] == "b"
    assert obj["metadata"]["labels"][LABEL] == "b"
    assert first["metadata"]["uid"] not in json.dumps(obj)


def test_a_deleted_owned_workload_is_created_again(space: Space, kubectl: Kubectl) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    for cascade in ("background", "foreground", "orphan"):
        before = space.wait("Deployment", "a")["metadata"]["uid"]
        kubectl("delete", "deployment", "a", f"--cascade={cascade}", "--wait=false")

        def is_back(before: str = before) -> bool:
            obj: Object = space.get("Deployment", "a") or {}
            return bool(obj["metadata"]["uid"] != before) and sidecar_of({"kind": "Deployment", **obj}) is not None

        wait_for("it back", is_back)
        ready(space, "a")
    assert space.client.get(ASYNC_ACTORS, space.name, "a") is not None
