"""Changes to the operator itself, under load. No other test may run at the same time."""

import base64
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pika.exceptions import AMQPError

from certs.authority import Pair
from kube.client import Client
from kube.failures import ApiError
from kube.objects import Object
from kube.resources import PODS
from tests.harness.clusters import ROOT, wait_for
from tests.node.broker import Broker
from tests.node.kubectl import get, kubectl
from tests.node.site import IMAGE, Site

pytestmark = pytest.mark.alone
Report = Callable[[object], None]
SYSTEM = "asya-system"
CHART = str(ROOT / "charts/asya-operator")
SECRET = "asya-operator-webhook-cert"
CERTIFICATE = ("--ignore-not-found", r"--output=jsonpath={.data.tls\.crt}")
MINIKUBE = ROOT / "examples/minikube"


def helm(*arguments: str) -> str:
    """Run helm. Return its output."""
    completed = subprocess.run(
        ["helm", *arguments, "--namespace", SYSTEM], capture_output=True, text=True, check=False, timeout=400
    )
    assert completed.returncode == 0, f"helm {' '.join(arguments)}: {completed.stderr}"
    return completed.stdout


def rolled_out(*names: str) -> None:
    """Wait until the rollouts of the operator's Deployments are complete."""
    for name in names or ("asya-operator", "asya-operator-webhook"):
        kubectl("-n", SYSTEM, "rollout", "status", f"deployment/{name}", "--timeout=180s", timeout=200)


class Creating:
    """A client that creates pods (dry runs) of an actor, many per second, on new connections."""

    def __init__(self, client: Client, namespace: str, actor: str) -> None:
        self._client, self._namespace = client, namespace
        self._body: Object = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"generateName": "x-", "namespace": namespace, "labels": {"asya.io/actor": actor}},
            "spec": {"containers": [{"name": "runtime", "image": IMAGE}]},
        }
        self.good, self.bad = 0, list[str]()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Creating":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            try:
                made = self._client.request(
                    "POST", PODS.path(self._namespace), query={"dryRun": "All"}, body=self._body
                )
            except ApiError as error:
                self.bad.append(str(error))
                continue
            if made["spec"]["containers"][0]["name"] == "sidecar":
                self.good += 1
            else:
                self.bad.append("admitted without a sidecar")

    def __str__(self) -> str:
        return f"{self.good} of {self.good + len(self.bad)} admissions"


def test_the_chart_tests_itself(report: Report) -> None:
    assert "Phase:" in helm("test", "asya-operator")
    report("helm test")


def test_a_webhook_replica_lost_every_ten_seconds(site: Site, report: Report) -> None:
    site.start(site.actor("load"))
    with Creating(site.client, site.name, "load") as creating:
        for _ in range(4):
            rolled_out("asya-operator-webhook")
            pods = get("-n", SYSTEM, "pods", "-l", "app.kubernetes.io/component=webhook")["items"]
            kubectl("-n", SYSTEM, "delete", "pod", pods[0]["metadata"]["name"], "--wait=false")
            time.sleep(10)
        rolled_out("asya-operator-webhook")
    report(creating)
    assert creating.good > 50
    assert not creating.bad, creating.bad[:3]


def issue_anew() -> None:
    """Issue CA and certificate anew, as the manual says. A running controller restores deleted Secrets from memory."""
    controllers = ("-n", SYSTEM, "pods", "-l", "app.kubernetes.io/component=controller")
    kubectl("-n", SYSTEM, "scale", "deployment", "asya-operator", "--replicas=0")
    wait_for("the controller to stop", lambda: not get(*controllers)["items"], 60)
    kubectl("-n", SYSTEM, "delete", "secret", SECRET, f"{SECRET}-ca")
    kubectl("-n", SYSTEM, "scale", "deployment", "asya-operator", "--replicas=1")
    rolled_out("asya-operator")


def served_life() -> timedelta:
    """The lifetime of the certificate in the webhook's Secret."""
    pem = base64.b64decode(kubectl("-n", SYSTEM, "get", "secret", SECRET, *CERTIFICATE))
    return Pair(pem, key=b"").life


def test_rotated_certificates(site: Site, report: Report) -> None:
    """Certificates with a lifetime of a minute are renewed repeatedly, and their CA too.

    A certificate's renewal depends on its own lifetime, so the test deletes those of the install after the change of
    the setting.
    """
    site.start(site.actor("load"))
    short = ("certs.caLifetime=3m", "certs.lifetime=60s", "certs.overlap=10s")
    values = json.loads(helm("get", "values", "asya-operator", "--all", "--output", "json"))["certs"]
    before = [f"certs.{name}={values[name]}" for name in ("caLifetime", "lifetime", "overlap")]
    served = set[str]()
    with Creating(site.client, site.name, "load") as creating:
        try:
            helm("upgrade", "asya-operator", CHART, "--reuse-values", "--wait", "--set", ",".join(short))
            rolled_out()
            issue_anew()
            deadline = time.monotonic() + 240
            while len(served) < 5:
                assert time.monotonic() < deadline, f"{len(served)} certificates"
                served.update(kubectl("-n", SYSTEM, "get", "secret", SECRET, *CERTIFICATE).split())
                time.sleep(2)
        finally:
            helm("upgrade", "asya-operator", CHART, "--reuse-values", "--wait", "--set", ",".join(before))
        # The operator replaces them in time although the restored overlap is longer than they can wait.
        wait_for("a certificate of the restored settings", lambda: served_life() > timedelta(days=1), 240, pause=1)
    report(f"{creating}, {len(served)} certificates")
    assert not creating.bad, creating.bad[:3]


def test_changed_defaults_reach_every_actor(site: Site, report: Report) -> None:
    obj = site.actor("defaults")
    del obj["spec"]["sidecar"]["resources"]
    route = site.start(obj)
    start_time = time.monotonic()
    try:
        helm("upgrade", "asya-operator", CHART, "--reuse-values", "--set", "sidecar.logLevel=DEBUG")
        route.send({"seconds": 0.1} for _ in range(200))

        def reached() -> bool:
            (pod,) = site.ready_pods("defaults")
            every = [*pod["spec"]["containers"], *pod["spec"].get("initContainers", ())]
            env = [
                e.get("value")
                for c in every
                if c["name"] == "sidecar"
                for e in c["env"]
                if e["name"] == "ASYA_LOG_LEVEL"
            ]
            return env == ["DEBUG"]

        wait_for("the new log level in a ready pod", reached, timeout=240, pause=1)
        counted = route.wait_all(120)
        report(f"{counted}; reached after {time.monotonic() - start_time:.0f} s")
    finally:
        helm("upgrade", "asya-operator", CHART, "--reuse-values", "--set", "sidecar.logLevel=INFO")
        rolled_out()
    assert not counted.failed
    assert not counted.doubled


@pytest.mark.skipif(not os.environ.get("E2E_PREVIOUS"), reason="E2E_PREVIOUS names no older chart")
def test_an_upgrade_from_the_previous_chart(site: Site, report: Report) -> None:
    """Values are kept. Actors answer before, during and after the upgrade."""
    values = json.loads(helm("get", "values", "asya-operator", "--output", "json"))
    settings = ["--set-json", f"image={json.dumps(values['image'])}"]
    helm("upgrade", "asya-operator", os.environ["E2E_PREVIOUS"], "--reset-values", "--wait")
    route = site.start(site.actor("old"))
    with Creating(site.client, site.name, "old") as creating:
        route.send({"seconds": 0.1} for _ in range(300))
        helm("upgrade", "asya-operator", CHART, "--reset-values", "--wait", *settings)
        rolled_out()
        counted = route.wait_all(240)
    site.wait_condition("old", "Ready", "True", timeout=240)
    report(f"{counted}; {creating}")
    assert not counted.failed
    assert not counted.doubled
    assert not creating.bad, creating.bad[:3]


@pytest.fixture(scope="module")
def kept(worker: str) -> Iterator[Broker]:
    """A broker that keeps its data when its node restarts."""

    def adjust(objects: list[Any]) -> None:
        (pod,) = [o["spec"]["template"]["spec"] for o in objects if o["kind"] == "Deployment"]
        pod["volumes"].append({"name": "data", "emptyDir": {}})
        pod["containers"][0]["volumeMounts"].append({"name": "data", "mountPath": "/var/lib/rabbitmq"})

    started = Broker(f"{worker}-kept", adjust)
    yield started
    started.stop()


def is_reachable(broker: Broker, queue: str) -> bool:
    """Whether the broker answers, through a new port-forward if the last has ended."""
    try:
        return broker.ready(queue) >= 0
    except (AMQPError, OSError):
        return False


@pytest.mark.skipif(not os.environ.get("E2E_RESTART"), reason="E2E_RESTART names no command that restarts the node")
@pytest.mark.parametrize("generation", ["frames", "http"], indirect=True)
def test_a_node_that_restarts(site: Site, kept: Broker, report: Report) -> None:
    """API server, webhook, controller, broker and actors restart at the same time. No message is lost."""
    site.broker = kept
    route = site.start(site.actor("again"))
    route.send({"seconds": 0.2} for _ in range(150))
    wait_for("the first answers", lambda: len(route.collect().answered) > 5, timeout=60)
    before = len(route.counted.answered)
    subprocess.run(["bash", "-c", os.environ["E2E_RESTART"]], check=True, timeout=300)
    start_time = time.monotonic()
    wait_for("the broker", lambda: is_reachable(kept, route.queue), timeout=180, pause=2)
    counted = route.wait_all(300)
    took = time.monotonic() - start_time
    rolled_out()
    site.wait_condition("again", "Ready", "True", timeout=600)
    report(f"{counted}, {before} of them before; the rest after {took:.0f} s")
    assert not counted.failed
    # The broker sends the message in hand again, and messages whose acknowledgement it had not stored when it died.
    assert len(counted.doubled) <= before + 1


def test_the_minikube_example(report: Report, tmp_path: Path) -> None:
    """Run both scripts as they are."""
    environment = {
        **os.environ,
        "FORCE": "1",
        "LOADED": "1",
        "IMAGE": os.environ.get("E2E_IMAGE") or "asya-operator:e2e",
    }
    try:
        for script in ("deploy.sh", "test-e2e.sh"):
            completed = subprocess.run(
                ["bash", str(MINIKUBE / script)],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=900,
            )
            assert completed.returncode == 0, completed.stdout[-2000:] + completed.stderr[-2000:]
        report(" ".join(completed.stdout.splitlines()[-5:]))
    finally:
        kubectl("delete", "namespace", "demo", "messaging", "--ignore-not-found", timeout=300)


def uids(site: Site, actor: str) -> set[str]:
    """The pods of an actor. A replaced pod has another uid."""
    return {pod["metadata"]["uid"] for pod in site.pods(actor)}


def left_in_namespace() -> list[str]:
    """Objects in the operator's namespace that a person or Helm would have to delete."""
    kinds = "deployments,pods,jobs,services,secrets,configmaps,leases,serviceaccounts,roles,rolebindings,pdb"
    names = kubectl("-n", SYSTEM, "get", kinds, "--output=name").split()
    by_kubernetes = ("serviceaccount/default", "configmap/kube-root-ca.crt", "configmap/openshift-service-ca.crt")
    return [name for name in names if name not in by_kubernetes]


@pytest.mark.parametrize("generation", ["frames"], indirect=True)
def test_uninstalled_and_installed_again(site: Site, report: Report) -> None:
    """Actors work without their operator and can be deleted. A new install finds them and replaces no pod."""
    values = json.loads(helm("get", "values", "asya-operator", "--output", "json"))
    settings = [f"--set-json={name}={json.dumps(value)}" for name, value in values.items()]
    route = site.start(site.actor("stays"))
    site.start(site.actor("goes"))
    before = uids(site, "stays")
    route.send({"seconds": 0.1} for _ in range(100))
    helm("uninstall", "asya-operator", "--wait")
    try:
        wait_for("only what Kubernetes makes", lambda: not left_in_namespace(), timeout=60, pause=1)
        kubectl("-n", site.name, "delete", "asya", "goes", "--timeout=30s")
        counted = route.wait_all(120)
        assert uids(site, "stays") == before
    finally:
        start_time = time.monotonic()
        helm("upgrade", "--install", "asya-operator", CHART, "--wait", *settings)
    installed = time.monotonic() - start_time
    time.sleep(2)  # kube-proxy refuses connections to a Service until it knows the ready pods
    with Creating(site.client, site.name, "stays") as creating:
        site.wait_condition("stays", "Ready", "True", timeout=120)
        time.sleep(10)
    report(f"{counted}; nothing left behind; installed again in {installed:.0f} s, then {creating}")
    assert not counted.failed
    assert not counted.doubled
    assert uids(site, "stays") == before
    assert not creating.bad, creating.bad[:3]
