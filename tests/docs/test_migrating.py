"""The page for users of another operator, command by command, on a cluster with that operator's kind."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from kube.resources import DEPLOYMENTS, Resource
from release.binaries import binary
from tests.docs.test_manual import _kubeconfig
from tests.docs.transcript import follow, part, steps_of, text_of
from tests.harness.clusters import ROOT, Cluster, wait_for
from tests.harness.space import Space

OLD = Resource("asya.sh/v1alpha1", "AsyncActor", "asyncactors")
NAMESPACES = Resource("v1", "Namespace", "namespaces")
DEFINITIONS = Resource("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions")
DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "asyncactors.asya.sh"},
    "spec": {
        "group": "asya.sh",
        "scope": "Namespaced",
        "names": {"kind": "AsyncActor", "plural": "asyncactors", "singular": "asyncactor", "shortNames": ["asya"]},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            }
        ],
    },
}


def deployment(name: str, namespace: str) -> dict[str, Any]:
    """A Deployment with one container."""
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "c"}]}}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


@pytest.mark.only("sandbox")  # on a real one, garbage collection pauses for up to a minute after a new CRD
def test_an_actor_moves_as_the_page_describes(space: Space, cluster: Cluster, tmp_path: Path) -> None:
    client = space.client
    client.apply(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "asya-old"}}, manager="t")
    client.apply(DEFINITIONS, DEFINITION, manager="t")
    client.apply(DEPLOYMENTS, deployment("asya-operator", "asya-old"), manager="t")
    old = yaml.safe_load((ROOT / "examples/migrating/actors.yaml").read_text())
    old["metadata"] |= {"namespace": space.name, "finalizers": ["asya.sh/finalizer"]}
    wait_for("the other kind", lambda: client.apply(OLD, old, manager="t"))
    kept = client.get(OLD, space.name, "upper")
    assert kept is not None
    owner = {"apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor", "name": "upper", "uid": kept["metadata"]["uid"]}
    theirs = deployment("upper", space.name)
    theirs["metadata"]["ownerReferences"] = [{**owner, "controller": True, "blockOwnerDeletion": True}]
    client.apply(DEPLOYMENTS, theirs, manager="t")

    path = os.pathsep.join([str(Path(sys.executable).parent), str(binary("kubectl").parent), os.environ["PATH"]])
    environment = {**os.environ, "KUBECONFIG": str(_kubeconfig(cluster, space)), "PATH": path}
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    text = text_of("docs/migrating.md")
    steps = [step for title in ("convert", "move over", "moved") for step in steps_of(part(title, text))]
    follow(steps, tmp_path, environment)
    (stopped,) = client.list(DEPLOYMENTS, "asya-old")
    assert stopped["spec"]["replicas"] == 0
    ours = space.get("Deployment", "upper")
    assert ours is not None
    assert [o["apiVersion"] for o in ours["metadata"]["ownerReferences"]] == ["asya.io/v1alpha1"]
