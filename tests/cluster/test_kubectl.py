"""kubectl's own verbs on the sandbox: kubectl sends built-in kinds as protobuf, and reads JSON.

``KUBECTLS`` names more binaries, separated by colons. The test is the same for kubectl 1.32 to 1.37.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kube.compare import contains
from kube.objects import Object
from release.binaries import binary
from tests.harness.clusters import Cluster
from tests.harness.space import Space

pytestmark = pytest.mark.only("sandbox")

CREATED = (
    "namespace {name}-more",
    "serviceaccount robot",
    "deployment web --image=app:1 --replicas=2 --port=80",
    "job once --image=app:1 -- echo hello",
    "cronjob often --image=app:1 --schedule=@hourly",
    "secret generic key --from-literal=a=b",
    "secret docker-registry registry --docker-username=a --docker-password=b",
    "configmap settings --from-literal=a=b",
    "service clusterip back --tcp=80:8080",
    "service nodeport front --tcp=80:http",
    "role reader --verb=get,list --resource=pods,deployments.apps",
    "rolebinding readers --role=reader --serviceaccount={name}:robot",
    "poddisruptionbudget spare --selector=app=web --min-available=50%",
)
NEEDS_CONTAINERS = ("logs alone", "logs deployment/web", "exec alone -- ls", "attach alone", "port-forward alone 80")


class Kubectl:
    """One kubectl binary in one namespace."""

    def __init__(self, path: Path, cluster: Cluster, namespace: str) -> None:
        self._command = [str(path), "--kubeconfig", str(cluster.kubeconfig), "--namespace", namespace]

    def __call__(self, *words: str, code: int = 0) -> str:
        completed = subprocess.run([*self._command, *words], capture_output=True, text=True, timeout=60)
        assert completed.returncode == code, completed.stderr or completed.stdout
        return completed.stdout + completed.stderr

    def json(self, *words: str) -> Object:
        made: Object = json.loads(self(*words, "--output", "json"))
        return made


def without_nulls(value: Any) -> Any:
    """``value`` without null fields. kubectl before 1.34 prints times that are not set as null."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


@pytest.fixture(params=[str(binary("kubectl")), *filter(None, os.environ.get("KUBECTLS", "").split(":"))])
def kubectl(request: pytest.FixtureRequest, cluster: Cluster, bare: Space) -> Kubectl:
    return Kubectl(Path(request.param), cluster, bare.name)


def test_create_stores_the_object_that_kubectl_sends(kubectl: Kubectl, bare: Space) -> None:
    for line in CREATED:
        words = ["create", *line.format(name=bare.name).split()]
        separator = words.index("--") if "--" in words else len(words)
        options = ["--dry-run=client", "--output=json"]
        printed = without_nulls(json.loads(kubectl(*words[:separator], *options, *words[separator:])))
        kubectl(*words)
        stored = kubectl.json("get", printed["kind"].lower(), printed["metadata"]["name"])
        printed["metadata"].pop("namespace", None)
        printed.pop("status", None)
        assert contains(stored, printed), line
    kubectl("create", "job", "now", "--from=cronjob/often")
    kubectl("delete", "namespace", f"{bare.name}-more", "--wait=false")


def test_a_deployment_is_scaled_exposed_rolled_out_and_rolled_back(kubectl: Kubectl) -> None:
    def image() -> str:
        return kubectl("get", "deployment", "web", "--output=jsonpath={.spec.template.spec.containers[0].image}")

    kubectl("create", "deployment", "web", "--image=app:1")
    kubectl("scale", "deployment", "web", "--replicas=2")
    kubectl("expose", "deployment", "web", "--port=80")
    assert "successfully rolled out" in kubectl("rollout", "status", "deployment", "web", "--timeout=20s")
    kubectl("set", "image", "deployment/web", "app=app:2")
    kubectl("rollout", "restart", "deployment", "web")
    kubectl("rollout", "status", "deployment", "web", "--timeout=20s")
    history = kubectl("rollout", "history", "deployment", "web").splitlines()
    assert [line.split()[0] for line in history[2:] if line] == ["1", "2", "3"]
    kubectl("rollout", "undo", "deployment", "web", "--to-revision=1")
    assert image() == "app:1"
    assert "deployment.apps/web" in kubectl("get", "all")


def test_commands_that_need_a_container_report_that_none_runs(kubectl: Kubectl) -> None:
    kubectl("run", "alone", "--image=app:1", "--env=A=b", "--labels=x=y", "--port=80")
    kubectl("create", "deployment", "web", "--image=app:1")
    kubectl("rollout", "status", "deployment", "web", "--timeout=20s")
    pod = kubectl.json("get", "pod", "alone")
    assert pod["spec"]["containers"][0]["env"] == [{"name": "A", "value": "b"}]
    assert pod["metadata"]["labels"] == {"x": "y"}
    for line in NEEDS_CONTAINERS:
        assert "the sandbox runs no containers" in kubectl(*line.split(), code=1), line
