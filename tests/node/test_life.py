"""The whole life of an actor of each kind, adding and removing labels, and events of a cluster that affect pods."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from kube.objects import Object
from tests.harness.clusters import wait_for
from tests.harness.space import containers
from tests.node.kubectl import apply, kubectl
from tests.node.site import IMAGE, Site, condition

Report = Callable[[object], None]
GENERATIONS = pytest.mark.parametrize("generation", ["frames", "http"], indirect=True)
OWN = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}}


def phase(site: Site, name: str) -> str:
    """The actor's phase and reason."""
    status = (site.get("AsyncActor", name) or {}).get("status") or {}
    return f"{status.get('phase')}/{status.get('reason') or ''}"


def own_deployment(name: str, label: str = "") -> Object:
    """A user's Deployment, with or without an actor's label."""
    labels = {"asya.io/actor": label} if label else {}
    container = {
        "name": "web",
        "image": IMAGE,
        "workingDir": "/code",
        "env": [
            {"name": "ASYA_HANDLER", "value": "functions.work"},
            {"name": "PYTHONPATH", "value": "/code"},
        ],
        "command": ["python3", "-c", "import time; time.sleep(100000)"],
        "resources": OWN,
        "volumeMounts": [{"name": "code", "mountPath": "/code"}],
    }
    if label:
        del container["command"]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [container],
                    "volumes": [{"name": "code", "configMap": {"name": "functions"}}],
                },
            },
        },
    }


@GENERATIONS
@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_a_life(site: Site, report: Report, kind: str) -> None:
    """Create, send, scale by hand, change, delete: no message is lost, and no object remains."""
    parts = []
    start_time = time.monotonic()
    route = site.start(site.actor("life", workload={"type": kind}))
    parts.append(f"ready {time.monotonic() - start_time:.0f} s")
    route.send({"seconds": 0.05} for _ in range(20))
    route.wait_all(60)
    site.scale(kind, "life", 3)
    site.wait_ready("life", 3)
    route.send({"seconds": 0.1} for _ in range(150))
    start_time = time.monotonic()
    changed = site.actor("life", workload={"type": kind}, timeout={"processing": 50})
    site.apply(changed)
    wait_for("the change to arrive", lambda: site.get("AsyncActor", "life")["status"]["observedGeneration"] == 2)  # type: ignore[index]

    def rolled() -> bool:
        values = [
            e.get("value")
            for p in site.ready_pods("life")
            for c in p["spec"]["containers"]
            for e in c.get("env", ())
            if c["name"] == "runtime" and e["name"] == "ASYA_RUNTIME_TIMEOUT"
        ]
        return values == ["50s"] * 3

    wait_for("three pods of the new template", rolled, timeout=240, pause=0.5)
    parts.append(f"rolled out after {time.monotonic() - start_time:.0f} s")
    counted = route.wait_all(120)
    start_time = time.monotonic()
    site.delete("AsyncActor", "life")
    site.wait_gone(kind, "life")
    wait_for("its pods to go", lambda: not site.all("Pod"), timeout=180, pause=0.5)
    parts.append(f"gone {time.monotonic() - start_time:.0f} s")
    report(f"{counted}; {', '.join(parts)}")
    assert not counted.failed
    assert not counted.doubled


@GENERATIONS
def test_a_label_that_is_added_and_removed(site: Site, report: Report) -> None:
    """An existing Deployment is injected for an actor, and then restored."""
    actor = site.actor("web", workload={"name": "web"})
    del actor["spec"]["workload"]["template"]
    plain = own_deployment("web")
    del plain["spec"]["template"]["spec"]["containers"][0]["command"]
    plain["spec"]["template"]["spec"]["containers"][0]["stdin"] = True  # so that the image's python3 waits
    apply(plain, namespace=site.name)
    kubectl("-n", site.name, "rollout", "status", "deployment/web", "--timeout=100s")
    before = site.get("Deployment", "web")
    assert before
    route = site.route("web")
    site.apply(actor)
    kubectl("-n", site.name, "label", "deployment", "web", "asya.io/actor=web")
    site.wait_condition("web", "Ready", "True", timeout=180)
    assert containers(site.get("Deployment", "web") or {})[0] == "sidecar"
    route.send({} for _ in range(30))
    counted = route.wait_all(90)
    kubectl("-n", site.name, "label", "deployment", "web", "asya.io/actor-")
    after = site.get("Deployment", "web")
    assert after
    assert after["spec"]["template"] == before["spec"]["template"]
    kubectl("-n", site.name, "rollout", "status", "deployment/web", "--timeout=100s")
    report(counted)
    assert len(counted.answered) == 30


@GENERATIONS
def test_a_deleted_actor_releases_its_workload(site: Site, report: Report) -> None:
    actor = site.actor("web", workload={"name": "web"})
    del actor["spec"]["workload"]["template"]
    route = site.route("web")
    site.apply(actor)
    apply(own_deployment("web", "web"), namespace=site.name)
    site.wait_condition("web", "Ready", "True", timeout=180)
    route.send({} for _ in range(30))
    counted = route.wait_all(90)
    site.delete("AsyncActor", "web")
    wait_for(
        "its template without a sidecar", lambda: containers(site.get("Deployment", "web") or {}) == ["web"], timeout=60
    )
    report(counted)
    assert len(counted.answered) == 30


@GENERATIONS
def test_pod_security_restricted(site: Site, report: Report) -> None:
    """An actor whose own template satisfies the profile still satisfies it after injection."""
    kubectl("label", "namespace", site.name, "pod-security.kubernetes.io/enforce=restricted")
    obj = site.actor(
        "strict",
        container={
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "seccompProfile": {"type": "RuntimeDefault"},
                "runAsUser": 4711,
            }
        },
    )
    obj["spec"]["workload"]["template"]["spec"]["securityContext"] = {"runAsNonRoot": True}
    route = site.start(obj)
    route.send({} for _ in range(20))
    counted = route.wait_all(60)
    report(counted)
    assert len(counted.answered) == 20


def test_an_exhausted_quota(site: Site, report: Report) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "spec": {"hard": {"pods": "0"}},
    }
    apply(quota, namespace=site.name)
    route = site.route("poor")
    site.apply(site.actor("poor"))

    def messages() -> str:
        result = site.condition("poor", "Ready")
        assert result["status"] == "False", result
        assert "quota" in result["message"], result
        return f"{phase(site, 'poor')}: {result['message']}"

    text = wait_for("the quota to be named", messages, timeout=90, pause=0.5)
    kubectl("-n", site.name, "delete", "resourcequota", "small")
    site.wait_condition("poor", "Ready", "True", timeout=240)
    report(text[:160])
    route.send([{}])
    assert not route.wait_all(60).failed


def test_an_image_that_cannot_be_pulled(site: Site, report: Report) -> None:
    site.route("nowhere")
    site.apply(site.actor("nowhere", container={"image": "registry.invalid/nothing:1"}))

    def messages() -> str:
        result = site.condition("nowhere", "Ready")
        assert phase(site, "nowhere").startswith("ImagePullError"), (phase(site, "nowhere"), result)
        assert result["status"] == "False", result
        return str(result["message"])

    report(wait_for("ImagePullError", messages, timeout=90, pause=0.5)[:160])


@GENERATIONS
def test_an_out_of_memory_kill_is_named(site: Site, report: Report) -> None:
    route = site.start(site.actor("fat"))
    route.send([{}, {"memory": True}, {}])

    def messages() -> str:
        result = site.condition("fat", "Ready")
        assert result["status"] == "False", result
        assert result["reason"] == "OOMKilled", result
        return f"{phase(site, 'fat')}: {result['message']}"

    text = wait_for("OOMKilled", messages, timeout=60, pause=0.3)
    counted = route.wait_all(60)
    report(f"{counted}; {text[:200]}")
    assert sorted(counted.answered) == ["0", "2"]
    assert list(counted.failed) == ["1"]


@GENERATIONS
def test_evicted_pods_lose_no_message(site: Site, report: Report) -> None:
    """The eviction API removes pods one by one under load, as a drain does."""
    route = site.start(site.actor("moved", workload={"replicas": 2}, timeout={"processing": 10}))
    site.wait_ready("moved", 2)
    route.send({"seconds": 0.2} for _ in range(200))
    evicted = 0
    for _ in range(4):
        time.sleep(3)
        pod = site.wait_ready("moved", 2)[0]["metadata"]["name"]
        body: Object = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": site.name},
        }
        site.client.request("POST", f"/api/v1/namespaces/{site.name}/pods/{pod}/eviction", body=body)
        evicted += 1
    counted = route.wait_all(180)
    report(f"{counted}, {evicted} pods evicted")
    assert not counted.failed
    assert not counted.doubled


def test_a_pod_that_the_kubelet_evicts_is_replaced(site: Site, report: Report) -> None:
    """The pod exceeds a limit of local storage."""
    obj = site.actor("full", container={"resources": {**OWN, "limits": {"ephemeral-storage": "20Mi"}}})
    route = site.start(obj)
    (pod,) = site.wait_ready("full", 1)
    fill = ["python3", "-c", "open('/tmp/full', 'wb').write(bytes(60 << 20))"]
    kubectl("-n", site.name, "exec", pod["metadata"]["name"], "-c", "runtime", "--", *fill)

    def moved() -> bool:
        ready = {p["metadata"]["name"] for p in site.ready_pods("full")}
        return bool(ready - {pod["metadata"]["name"]})

    wait_for("another pod", moved, timeout=240, pause=1)
    site.wait_condition("full", "Ready", "True", timeout=120)
    route.send({} for _ in range(10))
    counted: Any = route.wait_all(60)
    gone = site.get("Pod", pod["metadata"]["name"]) or {}
    report(f"{counted}; the first: {(gone.get('status') or {}).get('reason')}")
    assert len(counted.answered) == 10
    assert condition(site.get("AsyncActor", "full") or {}, "Ready") == "True"
