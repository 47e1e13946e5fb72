"""Outages and changes in a cluster's life: the webhook is down, KEDA appears and disappears, controllers are killed."""

import hashlib
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from kube import resources
from kube.failures import ApiError
from kube.informer import Informer
from tests.cluster.shapes import deployment
from tests.cluster.watching import everything, ready, settle
from tests.harness.clusters import Cluster, wait_for
from tests.harness.github import BETTER, GOOD, GitHub
from tests.harness.operator import NAMESPACE, Operator, install_keda, leads, uninstall_keda
from tests.harness.space import Space, actor, containers, example

pytestmark = pytest.mark.best_tier


def pod(name: str, **labels: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    }


@pytest.mark.needs_kubernetes(1, 30)
def test_webhook_down(space: Space, operator: Operator) -> None:
    running = actor("running")
    running["spec"]["workload"]["replicas"] = 1
    space.apply(running)
    ready(space, "running")
    settle(space)
    operator.stop_webhook(signal.SIGKILL)
    space.apply(actor("a"))
    message = space.wait_condition("a", "WorkloadReady", "False", "WebhookUnavailable", timeout=20)["message"]
    assert "asya-operator-webhook" in message
    assert space.get("Deployment", "a") is None
    for n in range(5):
        space.create_object(pod(f"plain-{n}"))
    # A running actor's pods are injected already, so they are created while the webhook is down.
    before = {p["metadata"]["name"] for p in space.all("Pod")}
    space.scale("Deployment", "running", 2)
    wait_for("its second pod", lambda: len({p["metadata"]["name"] for p in space.all("Pod")} - before) == 1)
    operator.start_webhook()
    ready(space, "a")
    assert containers(space.wait("Deployment", "a")) == ["sidecar", "runtime"]
    wait_for("the scale to be the actor's again", lambda: space.wait("Deployment", "running")["spec"]["replicas"] == 1)


@pytest.fixture
def no_keda(space: Space) -> Iterator[None]:
    uninstall_keda(space.client)
    yield
    install_keda(space.client)


@pytest.mark.needs_kubernetes(1, 29)
def test_keda_absent_and_installed_later(space: Space, operator: Operator, no_keda: None) -> None:
    time.sleep(11)  # until discovery has run again
    obj = actor("a", scaling={"enabled": True, "maxReplicas": 9})
    obj["spec"]["workload"]["replicas"] = 2
    space.apply(obj)
    message = space.wait_condition("a", "ScalingReady", "False", "KEDANotInstalled")["message"]
    assert "Install KEDA" in message
    assert space.wait("Deployment", "a")["spec"]["replicas"] == 2
    assert space.condition("a", "WorkloadReady")["status"] == "True"
    job = example("scaled-job")
    space.apply(job)
    space.wait("Job", "video-encoder")
    install_keda(space.client)
    space.wait_condition("a", "ScalingReady", "True", "ScaledObjectCreated")
    assert space.wait("ScaledObject", "a")["spec"]["maxReplicaCount"] == 9
    assert space.wait("Deployment", "a")["spec"]["replicas"] == 2
    space.wait("ScaledJob", "video-encoder", 30)
    space.wait_gone("Job", "video-encoder")
    assert all(c.process.running for c in operator.controllers)


def test_a_controller_that_is_killed_repeatedly_converges_without_an_extra_rollout(
    space: Space, operator: Operator
) -> None:
    names = [f"a{n}" for n in range(12)]
    operator.stop_controllers()
    for name in names:
        space.apply(actor(name, scaling={"enabled": True}))
    for pause in (0.0, 0.05, 0.15, 0.3):
        controller = operator.start_controller()
        time.sleep(pause)
        controller.process.stop(signal.SIGKILL)
        operator.controllers.clear()
        expire_lease(operator)
    operator.start_controller()
    for name in names:
        ready(space, name)
    before = settle(space)
    assert len(space.all("Deployment")) == len(space.all("ScaledObject")) == len(names)
    wait_for("the roll-outs", lambda: len(space.all("ReplicaSet")) == len(names))
    operator.restart_controller()
    after = settle(space)
    assert {k: v[:2] for k, v in after.items()} == {k: v[:2] for k, v in before.items()}
    assert len(space.all("ReplicaSet")) == len(names)
    assert {(o["kind"], o["metadata"]["name"]) for o in everything(space)} == {
        *((kind, name) for kind in ("AsyncActor", "Deployment", "ScaledObject") for name in names),
        ("ConfigMap", "asya-runtime"),
    }


def expire_lease(operator: Operator) -> None:
    """Make the Lease expire, so that the next controller need not wait."""
    lease = operator.client.get(resources.LEASES, NAMESPACE, "asya-operator")
    if lease is not None:
        lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
        operator.client.request("PUT", resources.LEASES.path(NAMESPACE, "asya-operator"), body=lease)


def test_of_two_controllers_one_leads_and_the_other_takes_over(space: Space, operator: Operator) -> None:
    first = operator.controllers[0]
    second = operator.start_controller(wait=False)
    wait_for("the second to be ready", lambda: second.get("/readyz").startswith("ok"))
    time.sleep(3)
    assert leads(first)
    assert not leads(second)
    space.apply(actor("a"))
    ready(space, "a")
    first.process.stop(signal.SIGKILL)
    operator.controllers.remove(first)
    killed = time.monotonic()
    wait_for("the second to lead", lambda: leads(second), 25)
    assert time.monotonic() - killed < 20
    space.apply(actor("b"))
    ready(space, "b")


def test_a_stopping_controller_releases_its_lease_at_once(space: Space, operator: Operator) -> None:
    first = operator.controllers[0]
    second = operator.start_controller(wait=False)
    wait_for("the second to be ready", lambda: second.get("/readyz").startswith("ok"))
    assert first.process.stop(signal.SIGTERM) == 0
    operator.controllers.remove(first)
    wait_for("the second to lead", lambda: leads(second), 5)


def test_a_broken_script_keeps_the_last_good_one(space: Space, operator: Operator) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    with operator.edited_script() as good:
        operator.script.write_text("def broken(:\n")
        message = space.wait_condition("a", "RuntimeReady", "False", "RuntimeSourceFailed")["message"]
        assert "is not valid Python" in message
        assert space.wait("ConfigMap", "asya-runtime")["data"]["asya_runtime.py"] == good
        operator.script.write_text(good + "# mended\n")
        space.wait_condition("a", "RuntimeReady", "True")


def test_an_unavailable_release_keeps_the_last_good_one(space: Space, operator: Operator, tmp_path: Path) -> None:
    server = GitHub(tmp_path / "ca.pem")

    def has(script: bytes) -> bool:
        return bool(space.wait("ConfigMap", "asya-runtime")["data"]["asya_runtime.py"] == script.decode())

    with closing(server), operator.released_script(server):
        space.apply(actor("a"))
        ready(space, "a")
        wait_for("the script of the release", lambda: has(GOOD))
        server.status, server.body = 503, BETTER
        controller = operator.restart_controller()
        message = space.wait_condition("a", "RuntimeReady", "False", "RuntimeSourceFailed")["message"]
        assert "the server answered 503" in message
        assert has(GOOD)
        wait_for("an Event", lambda: any("the server answered 503" in e["message"] for e in space.all("Event")))
        assert 'asya_controller_runtime_loads_total{outcome="failure"}' in controller.get("/metrics")
        space.apply(actor("b"))
        space.wait_condition("b", "WorkloadReady", "True")
        server.status = 200
        # A newer release reaches no actor unless the settings name it, not even after a restart of the controller.
        digest = hashlib.sha256(BETTER).hexdigest()
        space.wait_condition("a", "RuntimeReady", "True", "RuntimeNotPinned")
        wait_for("the digest", lambda: digest in space.condition("a", "RuntimeReady")["message"])
        assert has(GOOD)
        operator.restart_controller()
        wait_for("the digest again", lambda: digest in space.condition("a", "RuntimeReady")["message"])
        assert has(GOOD)
        operator.environment["ASYA_RUNTIME_SHA256"] = digest
        operator.restart_controller()
        wait_for("the script of the next release", lambda: has(BETTER))
        space.wait_condition("a", "RuntimeReady", "True", "ConfigMapCreated")


def test_an_edit_of_the_script_reaches_every_namespace_in_five_seconds_by_one_write_each(
    space: Space, operator: Operator
) -> None:
    observed: list[tuple[str, str]] = []
    informer = Informer(
        space.client,
        resources.CONFIG_MAPS,
        lambda obj, deleted: observed.append((obj["metadata"]["namespace"], obj["data"]["asya_runtime.py"][-9:])),
        label_selector="app.kubernetes.io/name=asya-runtime",
    )
    with ExitStack() as stack:
        names = [f"{space.name}-{n}" for n in range(4)]
        places = [space, *(stack.enter_context(Space.create(space.client, name)) for name in names)]
        for place in places:
            place.apply(actor("a"))
        for place in places:
            ready(place, "a")
        informer.start()
        stack.callback(informer.stop)
        assert informer.wait(20)
        settle(space)
        observed.clear()
        namespaces = {NAMESPACE, *(place.name for place in places)}
        good = stack.enter_context(operator.edited_script())
        operator.script.write_text(good + "# edited\n")
        wait_for("the edit", lambda: {n for n, text in observed if text == "# edited\n"} >= namespaces, 5)
        for place in places:
            settle(place)
        assert sorted(n for n, _ in observed if n in namespaces) == sorted(namespaces)


def test_metrics_and_health(space: Space, operator: Operator) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    controller = operator.controllers[0]
    assert controller.get("/healthz") == "ok\n"
    metrics = controller.get("/metrics")
    for name in (
        'asya_controller_reconciles_total{outcome="success"}',
        "asya_controller_reconcile_duration_seconds_count",
        "asya_controller_workqueue_depth",
        "asya_controller_workqueue_in_flight",
        f'asya_actors{{namespace="{space.name}",phase="Running",ready="True"}} 1.0',
        'asya_kubernetes_requests_total{code="200",verb="PATCH"}',
        'asya_controller_runtime_loads_total{outcome="success"}',
        "asya_controller_leader 1.0",
        "asya_build_info",
    ):
        assert name in metrics, name
    webhook = operator.webhook_metrics()
    for name in (
        'asya_webhook_admissions_total{operation="CREATE",outcome="injected",resource="deployments"}',
        "asya_webhook_admission_duration_seconds_bucket",
        "asya_webhook_certificate_expiry_timestamp_seconds",
    ):
        assert name in webhook, name


# -- labelled pods and workloads, as far as the main path needs them -----------------------------


@pytest.mark.only("sandbox")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_of_the_webhook_that_ends_is_replaced(operator: Operator, number: signal.Signals) -> None:
    """The watchdog ends a worker with SIGTERM, and a lack of memory with SIGKILL. The other worker goes on."""
    assert operator.webhook is not None
    children = Path(f"/proc/{operator.webhook.pid}/task/{operator.webhook.pid}/children")

    def workers() -> set[int]:
        return {int(pid) for pid in children.read_text().split()}

    before = wait_for("two workers", lambda: workers() if len(workers()) == 2 else set())
    ended = min(before)
    os.kill(ended, number)

    def replaced() -> bool:
        return ended not in workers() and len(workers()) == 2

    wait_for("its replacement", replaced, 20)
    time.sleep(1)  # a worker that cannot start ends at once, and gunicorn with it
    assert len(workers() - before) == 1
    (expiry,) = re.findall(
        r"^asya_webhook_certificate_expiry_timestamp_seconds (\S+)$", operator.webhook_metrics(), re.M
    )
    assert float(expiry) > time.time(), "the earliest of the workers; the master, which has none, does not count"


def test_a_labelled_pod_is_injected_and_an_unlabelled_one_does_not_change(space: Space) -> None:
    space.apply(actor("a"))
    ready(space, "a")
    made = space.create_object(pod("labelled", **{"asya.io/actor": "a"}))
    assert [c["name"] for c in made["spec"]["containers"]] == ["sidecar", "app"]
    plain = space.create_object(pod("plain"))
    assert [c["name"] for c in plain["spec"]["containers"]] == ["app"]


def test_a_pod_of_a_missing_actor_is_denied(space: Space) -> None:
    with pytest.raises(ApiError) as caught:
        space.create_object(pod("labelled", **{"asya.io/actor": "nobody"}))
    assert "there is no AsyncActor 'nobody'" in caught.value.message


def test_the_webhook_knows_an_actor_as_soon_as_it_is_stored(space: Space, cluster: Cluster) -> None:
    for n in range(20):
        space.apply(actor(f"a{n}"))
        made = space.create_object(pod(f"p{n}", **{"asya.io/actor": f"a{n}"}))
        assert made["spec"]["containers"][0]["name"] == "sidecar"


def test_a_restart_starts_no_rollout(space: Space, operator: Operator) -> None:
    space.apply(deployment("taken"))
    space.apply(actor("taken"))
    before = space.wait_condition("taken", "Ready", "False")
    events = wait_for("the Event", lambda: _warnings(space, "WorkloadNotOwned"))
    operator.restart_controller()
    space.patch("AsyncActor", "taken", {"metadata": {"labels": {"touched": "true"}}})
    counted = f'asya_actors{{namespace="{space.name}"'
    wait_for("a reconcile", lambda: counted in operator.controllers[0].get("/metrics"))
    after = space.wait_condition("taken", "Ready", "False")
    assert after["lastTransitionTime"] == before["lastTransitionTime"]
    assert len(_warnings(space, "WorkloadNotOwned")) == len(events) == 1


def _warnings(space: Space, reason: str) -> list[dict[str, Any]]:
    return [event for event in space.all("Event") if event["reason"] == reason]
