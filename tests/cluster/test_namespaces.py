"""An operator that is limited to some namespaces: it works there with Roles alone, and reads nothing in others."""

import json

import pytest

from kube.failures import ApiError
from tests.cluster.labelling import workload
from tests.cluster.watching import ready
from tests.harness.clusters import Cluster, wait_for
from tests.harness.release import Release
from tests.harness.space import Space, actor, containers


def refusals(cluster: Cluster) -> set[str]:
    """Refused requests of the operator that were never allowed. A new Role takes effect after a moment."""
    if not cluster.real:
        return set()  # the sandbox does not check rights
    refused, allowed = set[str](), set[str]()
    for event in map(json.loads, (cluster.directory / "audit.log").read_text().splitlines()):
        status = event.get("responseStatus") or {}
        if not event["user"]["username"].startswith("system:serviceaccount:asya-system:"):
            continue
        request = f"{event['user']['username']} {event['verb']} {event['requestURI'].partition('?')[0]}"
        if status.get("code") != 403:
            allowed.add(request)
        elif "is being terminated" not in status.get("message", ""):
            refused.add(request)
    return refused - allowed


def test_two_namespaces_and_no_other(release: Release) -> None:
    client = release.client
    with (
        Space.create(client, "first") as one,
        Space.create(client, "second") as two,
        Space.create(client, "c") as other,
    ):
        release.start(watchNamespaces=[one.name, two.name])
        for space in (one, two):
            space.apply(actor("a"))
            ready(space, "a")
            space.apply(workload("Deployment", "x", "a"))
            assert containers(space.wait("Deployment", "x"))[0] == "sidecar"
        other.apply(actor("a"))
        other.apply(workload("Deployment", "x", "a"))
        assert containers(other.wait("Deployment", "x")) == ["app"]
        for space in (one, two):
            space.delete("AsyncActor", "a")
            space.wait_gone("AsyncActor", "a")
            wait_for("the label", lambda space=space: "labels" not in space.wait("Deployment", "x")["metadata"])  # type: ignore[misc]
        assert "status" not in other.wait("AsyncActor", "a"), "the operator changed an object outside of its namespaces"
        # No kubelet ends the pod. While its Roles are deleted, the operator's new requests would be refused.
        for controller in release.controllers:
            controller.process.stop()
        release.uninstall()
        assert refusals(release.cluster) == set()
    with pytest.raises(ApiError):
        client.request("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/asya-operator-webhook")
