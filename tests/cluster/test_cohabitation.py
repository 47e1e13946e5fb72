"""Admission as the API server runs it, and the operator's injection beside another injector."""

import subprocess
import time
from typing import Any

import pytest

from kube.failures import ApiError
from kube.objects import Object
from release.binaries import binary
from tests.cluster.labelling import rollout_count, template_of, workload
from tests.cluster.shapes import config_map
from tests.cluster.watching import ready, settle
from tests.harness.clusters import Cluster, wait_for
from tests.harness.injector import injector
from tests.harness.operator import NAMESPACES, WEBHOOK_CONFIGURATION_SECONDS
from tests.harness.space import Space, actor, containers


def note(obj: Object) -> list[Object]:
    return [{"op": "add", "path": "/metadata/annotations", "value": {"seen": "yes"}}]


def is_mutated(space: Space, name: str, **metadata: Any) -> bool:
    obj = config_map(name)
    obj["metadata"] |= metadata
    made = space.create_object(obj)
    return "seen" in (made["metadata"].get("annotations") or {})


def wait_until_called(space: Space) -> None:
    """Wait until the API server calls a new webhook. A real one notices a new configuration after a moment."""
    deadline = time.monotonic() + 10
    n = 0
    while not is_mutated(space, f"probe-{n}"):
        assert time.monotonic() < deadline
        n += 1
        time.sleep(0.1)


# -- the API server's part -----------------------------------------------------------------------


def test_a_webhooks_patch_is_stored(bare: Space) -> None:
    with injector(bare.client, "test-note", bare.name, note):
        wait_until_called(bare)
        assert (bare.get("ConfigMap", "probe-0") or {})["metadata"]["name"] == "probe-0"
        assert is_mutated(bare, "a")


@pytest.mark.needs_kubernetes(1, 30)
def test_selectors_and_match_conditions_exclude_objects_from_a_webhook(bare: Space) -> None:
    selector = {"matchExpressions": [{"key": "skip", "operator": "DoesNotExist"}]}
    conditions = [{"name": "not-b", "expression": "object.metadata.name != 'b'"}]
    with injector(bare.client, "test-note", bare.name, note, objectSelector=selector, matchConditions=conditions):
        wait_until_called(bare)
        assert is_mutated(bare, "a")
        assert not is_mutated(bare, "b")
        assert not is_mutated(bare, "c", labels={"skip": ""})


@pytest.mark.parametrize("policy", ["Ignore", "Fail"])
def test_the_failure_policy_decides_when_a_webhook_is_too_slow(bare: Space, policy: str) -> None:
    with injector(bare.client, "test-slow", bare.name, note, 30, failurePolicy=policy, timeoutSeconds=1):
        time.sleep(WEBHOOK_CONFIGURATION_SECONDS)
        if policy == "Ignore":
            assert not is_mutated(bare, "a")
            return
        with pytest.raises(ApiError) as caught:
            is_mutated(bare, "a")
        assert caught.value.code == 500
        assert 'failed calling webhook "injector.example.com"' in caught.value.message


def test_fields_from_admission_have_no_owner_and_survive_an_apply(bare: Space) -> None:
    with injector(bare.client, "test-note", bare.name, note):
        wait_until_called(bare)
        made = bare.apply(config_map("a", k="1"), "one")
        assert made["metadata"]["annotations"] == {"seen": "yes"}
        assert "seen" not in str(made["metadata"]["managedFields"])
        assert bare.apply(config_map("a", k="2"), "one")["metadata"]["annotations"] == {"seen": "yes"}


def test_admission_sees_an_empty_patch(bare: Space) -> None:
    bare.apply(workload("Deployment", "x"))
    with injector(bare.client, "test-note", bare.name, note) as server:
        wait_until_called(bare)
        before = server.calls
        changed = bare.patch("Deployment", "x", {})
        assert changed["metadata"]["annotations"]["seen"] == "yes"
        assert server.calls > before


# -- side by side --------------------------------------------------------------------------------

PROXY = {"name": "proxy", "image": "proxy:1"}


def proxy_first(obj: Object) -> list[Object]:
    """Inserts its container first, as Istio does if the application must wait for it."""
    if obj["kind"] == "ConfigMap":
        return note(obj)
    prefix, template = ("/spec/template", template_of(obj)) if obj["kind"] == "Deployment" else ("", obj)
    if any(c["name"] == "proxy" for c in template["spec"]["containers"]):
        return []
    return [{"op": "add", "path": f"{prefix}/spec/containers/0", "value": PROXY}]


def mirror_images(obj: Object) -> list[Object]:
    """Replaces the registry of all images with a mirror."""
    if obj["kind"] == "ConfigMap":
        return note(obj)
    prefix, template = ("/spec/template", template_of(obj)) if obj["kind"] == "Deployment" else ("", obj)
    return [
        {"op": "replace", "path": f"{prefix}/spec/{place}/{n}/image", "value": f"mirror/{container['image']}"}
        for place in ("containers", "initContainers")
        for n, container in enumerate(template["spec"].get(place) or ())
        if not container["image"].startswith("mirror/")
    ]


@pytest.mark.parametrize(("name", "runtime"), [("aaa-before-ours", "runtime"), ("zzz-after-ours", "app")])
def test_another_injector_before_or_after_the_operators(space: Space, name: str, runtime: str) -> None:
    """An injector that runs first hides which container was the only one, so that one has the name ``runtime``."""

    def named(kind: str, name: str) -> Object:
        obj = workload(kind, name, "a")
        (obj if kind == "Pod" else template_of(obj))["spec"]["containers"][0]["name"] = runtime
        return obj

    space.apply(actor("a"))
    ready(space, "a")
    with injector(space.client, name, space.name, proxy_first):
        wait_until_called(space)
        made = space.apply(named("Deployment", "x"))
        assert containers(made) == ["sidecar", "proxy", runtime]
        wait_for("the rollout", lambda: space.wait("Deployment", "x")["status"].get("availableReplicas") == 2)
        for _ in range(3):
            space.apply(named("Deployment", "x"))
            space.patch("AsyncActor", "a", {"metadata": {"labels": {"touched": str(time.monotonic_ns())}}})
        settle(space)
        assert rollout_count(space, "x") == 1
        unlabelled = space.patch("Deployment", "x", {"metadata": {"labels": {"asya.io/actor": None}}})
        assert containers(unlabelled) == ["proxy", runtime]
        pod = space.create_object(named("Pod", "p"))
        assert {c["name"] for c in pod["spec"]["containers"]} == {"sidecar", "proxy", runtime}


@pytest.mark.only("kube-apiserver")
@pytest.mark.parametrize("name", ["aaa-before-ours", "zzz-after-ours"])
def test_an_image_mirror_that_is_installed_after_injection(space: Space, cluster: Cluster, name: str) -> None:
    """Objects that are admitted later use images of the mirror, the sidecar's included, and no writers contest."""
    space.apply(actor("a"))
    space.apply(workload("Deployment", "x", "a"))
    ready(space, "a")
    wait_for("the sidecar", lambda: containers(space.wait("Deployment", "x")) == ["sidecar", "app"])
    with injector(space.client, name, space.name, mirror_images):
        wait_until_called(space)
        command = [str(binary("kubectl")), "--kubeconfig", str(cluster.kubeconfig), "--namespace", space.name]
        restart = [*command, "rollout", "restart", "deployment/x"]
        completed = subprocess.run(restart, capture_output=True, text=True, timeout=60, check=True)
        assert "reverted" not in completed.stderr
        assert all(image.startswith("mirror/") for image in images(space.wait("Deployment", "x")))
        space.apply(actor("a", timeout={"processing": 77}))  # both are injected again

        def mirrored() -> bool:
            obj = [space.wait("Deployment", n) for n in ("a", "x")]
            return all("77s" in str(d) and all(i.startswith("mirror/") for i in images(d)) for d in obj)

        wait_for("both to be mirrored", mirrored, 30)
        ready(space, "a")
        settle(space)
        before = [space.wait("Deployment", n)["metadata"]["generation"] for n in ("a", "x")]
        for n in range(5):
            space.patch("AsyncActor", "a", {"metadata": {"labels": {"touched": str(n)}}})
        settle(space)
        assert [space.wait("Deployment", n)["metadata"]["generation"] for n in ("a", "x")] == before
        assert space.condition("a", "WorkloadReady")["reason"] == "WorkloadCreated"
        assert rollout_count(space, "x") == 3, "expected one injection, one restart, one new injection"
    messages = [e["reason"] for e in space.all("Event") if e["reason"] in ("Contested", "InjectionOutdated")]
    assert messages == []


def images(deployment: Object) -> list[str]:
    pod = deployment["spec"]["template"]["spec"]
    return [c["image"] for place in ("initContainers", "containers") for c in pod.get(place) or ()]


def test_an_injected_pod_passes_the_restricted_profile(space: Space, cluster: Cluster) -> None:
    if not cluster.real:
        pytest.skip("the sandbox holds pods to no Pod Security profile")
    space.client.merge_patch(
        NAMESPACES, "", space.name, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    )
    space.apply(actor("a"))
    pod = workload("Pod", "x", "a")
    with pytest.raises(ApiError, match="violates PodSecurity"):
        space.create_object({**pod, "metadata": {"name": "refused"}})
    pod["spec"]["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    pod["spec"]["containers"][0]["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    made = space.create_object(pod)
    assert made["spec"]["containers"][0]["name"] == "sidecar"
    # The same with a container that sets all these fields itself.
    del pod["spec"]["securityContext"]
    pod["metadata"]["name"] = "y"
    pod["spec"]["containers"][0]["securityContext"] |= {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert space.create_object(pod)["spec"]["containers"][0]["securityContext"]["runAsNonRoot"] is True


def test_a_refusal_without_a_condition_becomes_an_event(space: Space) -> None:
    def refuse(obj: Object) -> list[Object] | str:
        return "no finalizers here" if obj["metadata"].get("finalizers") else []

    rule = {"apiGroups": ["asya.io"], "apiVersions": ["*"], "operations": ["*"], "resources": ["asyncactors"]}
    with injector(space.client, "test-policy", space.name, refuse, rules=[rule]):
        time.sleep(WEBHOOK_CONFIGURATION_SECONDS)
        space.apply(actor("a"))
        space.apply(workload("Deployment", "x", "a"))
        wait_for("the Event", lambda: [e for e in space.all("Event") if "no finalizers" in e["message"]])
    wait_for("the finalizer", lambda: (space.get("AsyncActor", "a") or {})["metadata"].get("finalizers"))
    ready(space, "a")
    messages = [e for e in space.all("Event") if "no finalizers" in e["message"]]
    assert [(e["reason"], e["type"], e["involvedObject"]["name"]) for e in messages] == [
        ("ReconcileFailed", "Warning", "a")
    ]
