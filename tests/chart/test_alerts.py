"""Every alert from end to end, with real processes and a real Prometheus.

A fault makes the alert fire. After the fault ends, the alert resolves. Minutes in the rules are seconds here
(:func:`tests.harness.prometheus.quick`); nothing else in them changes.
"""

import base64
import signal
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cli.manual import METRICS
from kube.failures import ApiError
from kube.resources import SECRETS, VALIDATING_WEBHOOKS
from telemetry.metrics.describe import described
from tests.harness.clusters import Process, free_port, start_real, start_sandbox, wait_for, why_not_real
from tests.harness.operator import NAMESPACE, Operator, alone, install_keda, uninstall_keda
from tests.harness.prometheus import Prometheus, alerts, prometheus_only, quick, rules
from tests.harness.space import Space, actor

pytestmark = [prometheus_only, pytest.mark.xdist_group("alerts")]

assert METRICS, "the modules declare no metric at import"
TRIED: set[str] = set()
"""Alerts that have fired and resolved in these tests."""
INVALID_SCRIPT = "def broken(:\n"


@pytest.fixture(scope="module")
def operator() -> Iterator[Operator]:
    """An operator on a cluster of its own, a real one if available."""
    with alone(start_sandbox if why_not_real() else start_real) as made:
        made.start()
        yield made


@pytest.fixture(scope="module")
def space(operator: Operator) -> Iterator[Space]:
    with Space.create(operator.client, "team") as made:
        yield made


@pytest.fixture(scope="module")
def prometheus(operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    directory = tmp_path_factory.mktemp("prometheus")
    made = Prometheus(directory, targets(operator), rule_text=quick(alerts()), cluster=operator.cluster)
    try:
        wait_for("Prometheus to scrape", made.is_up)
        yield made
    finally:
        made.process.stop()


def targets(operator: Operator) -> list[str]:
    """The addresses at which the operator's processes serve their metrics."""
    ports = [operator.metrics_port, *(c.port for c in operator.controllers)]
    return [f"127.0.0.1:{port}" for port in ports]


@contextmanager
def fires(prometheus: Prometheus, *names: str, **labels: str) -> Iterator[None]:
    """Wait until the alerts fire. The block then ends their cause, and the alerts must resolve."""
    for name in names:
        alert = prometheus.wait_firing(name, **labels)
        assert alert["annotations"]["runbook_url"].endswith(f"#{name.lower()}")
    yield
    for name in names:
        prometheus.wait_resolved(name, **labels)
        TRIED.add(name)


def deployment(name: str, actor_name: str = "", container: str = "app", mount: str = "/data") -> dict[str, Any]:
    """A Deployment with one mount. ``actor``, if given, is its label."""
    labels = {"app": name}
    container_ = {"name": container, "image": "busybox", "volumeMounts": [{"name": "data", "mountPath": mount}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"asya.io/actor": actor_name} if actor_name else {}},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container_], "volumes": [{"name": "data", "emptyDir": {}}]},
            },
        },
    }


def test_no_alert_fires_without_a_fault(prometheus: Prometheus, space: Space) -> None:
    space.apply(actor("well"))
    wait_for("a count", lambda: prometheus.value('asya_actors{namespace="team"}'))
    # Before the first scrape all metrics are absent, which makes some alerts fire.
    wait_for("all to be well", lambda: not prometheus.alerts())


def test_the_webhook_is_killed(operator: Operator, prometheus: Prometheus, space: Space) -> None:
    operator.stop_webhook(signal.SIGKILL)
    names = ["AsyaWebhookDown", "AsyaProcessDown"]
    ended = threading.Event()

    def apply() -> None:
        while not ended.wait(0.5):
            with pytest.raises(ApiError):
                space.create_object(deployment("refused", "well"))

    client = threading.Thread(target=apply)
    if operator.cluster.real:  # the sandbox exports no metrics
        names.append("AsyaWebhookUnreachable")
        client.start()
    try:
        with fires(prometheus, *names):
            ended.set()
            if client.ident:
                client.join()
            operator.start_webhook()
    finally:
        ended.set()


def test_no_controller_leads(operator: Operator, prometheus: Prometheus, space: Space) -> None:
    operator.stop_controllers(signal.SIGKILL)
    with fires(prometheus, "AsyaNoLeader"):
        wait_for("the leader's gauges to be gone", lambda: not prometheus.value("asya_actors"))
        operator.start_controller()
        prometheus.set_targets(targets(operator))
    wait_for("the new leader's gauges", lambda: prometheus.value("asya_actors"))


def certificate(starts: timedelta, ends: timedelta) -> dict[str, str]:
    """The ``data`` of a Secret with a self-signed certificate. The validity is given relative to now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now + starts, now + ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {"tls.crt": base64.b64encode(pem).decode(), "tls.key": base64.b64encode(private).decode()}


def test_a_certificate_is_not_renewed(operator: Operator, prometheus: Prometheus, tmp_path: Path) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "old", "namespace": NAMESPACE}}
    operator.client.create(SECRETS, {**secret, "data": certificate(timedelta(hours=-9), timedelta(hours=1))})
    port = free_port()
    options = ["--certificate-secret", "old", "--bind", f"127.0.0.1:{free_port()}", "--metrics-port", str(port)]
    command = [*operator.command, "webhook", *options, "--kubeconfig", str(operator.kubeconfig)]
    webhook = Process([*command, "--namespace", NAMESPACE], tmp_path / "webhook.log").start()
    try:
        prometheus.set_targets([*targets(operator), f"127.0.0.1:{port}"])
        with fires(prometheus, "AsyaCertificateExpires", severity="critical"):
            renewed = certificate(timedelta(0), timedelta(hours=10))
            operator.client.merge_patch(SECRETS, NAMESPACE, "old", {"data": renewed})
    finally:
        prometheus.set_targets(targets(operator))
        webhook.stop()


def test_an_actor_is_broken(prometheus: Prometheus, space: Space) -> None:
    space.apply(deployment("mine"))
    space.apply(actor("mine"))
    with fires(prometheus, "AsyaActorsNotReady", namespace="team", severity="warning"):
        space.delete("AsyncActor", "mine")


def test_a_reinjection_is_stuck(prometheus: Prometheus, space: Space) -> None:
    space.apply(actor("moving"))
    space.apply(deployment("moved", "moving"))
    wait_for(
        "injection",
        lambda: len((space.get("Deployment", "moved") or {})["spec"]["template"]["spec"]["containers"]) == 2,
    )
    space.apply(actor("moving", socket={"path": "/data/app.sock"}))
    with fires(prometheus, "AsyaReinjectionStuck", namespace="team"):
        space.apply(actor("moving"))


def test_objects_are_denied(prometheus: Prometheus, space: Space) -> None:
    with pytest.raises(ApiError):
        space.create_object(deployment("denied", "well", container="sidecar"))
    wait_for("a scrape", lambda: prometheus.value("asya_webhook_denials_total"))
    # A first denial creates the series. The alert sees only the increase by a later one.
    with pytest.raises(ApiError):
        space.create_object(deployment("denied", "well", container="sidecar"))
    with fires(prometheus, "AsyaAdmissionsDenied", namespace="team", severity="info"):
        pass


def test_keda_is_gone(operator: Operator, prometheus: Prometheus, space: Space) -> None:
    space.apply(actor("scaled", scaling={"enabled": True}))
    wait_for("the ScaledObject", lambda: space.get("ScaledObject", "scaled"))
    uninstall_keda(operator.client)
    with fires(prometheus, "AsyaKedaMissing", severity="critical"):
        install_keda(operator.client)
    space.delete("AsyncActor", "scaled")


def test_the_runtime_script_is_broken(operator: Operator, prometheus: Prometheus) -> None:
    with operator.edited_script() as good:
        operator.script.write_text(INVALID_SCRIPT)
        with fires(prometheus, "AsyaRuntimeSourceFails"):
            operator.script.write_text(good)


def test_reconciles_fail(operator: Operator, prometheus: Prometheus, space: Space) -> None:
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "away"},
        "webhooks": [
            {
                "name": "away.example.com",
                "clientConfig": {"url": f"https://127.0.0.1:{free_port()}/"},
                "rules": [
                    {
                        "apiGroups": ["asya.io"],
                        "apiVersions": ["v1alpha1"],
                        "operations": ["UPDATE"],
                        "resources": ["asyncactors/status"],
                    }
                ],
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "timeoutSeconds": 1,
            }
        ],
    }
    operator.client.apply(VALIDATING_WEBHOOKS, configuration, manager="test")
    ended = threading.Event()

    def change() -> None:
        number = 0
        while not ended.wait(1):
            number += 1
            space.apply(actor("well", timeout={"gracefulShutdown": 30 + number}))

    thread = threading.Thread(target=change)
    thread.start()
    try:
        with fires(prometheus, "AsyaReconcileErrors"):
            ended.set()
            thread.join()
            operator.client.delete(VALIDATING_WEBHOOKS, "", "away")
    finally:
        ended.set()


def review(operator: Operator, name: str) -> None:
    """Send the webhook a pod of an actor that it does not know, so that it must read from the API."""
    pod = {"metadata": {"labels": {"asya.io/actor": name}}, "spec": {"containers": [{"name": "runtime"}]}}
    request = {
        "uid": str(uuid.uuid4()),
        "userInfo": {"username": "system:admin"},
        "operation": "CREATE",
        "namespace": "team",
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "object": pod,
    }
    pool = urllib3.PoolManager(cert_reqs="CERT_NONE", assert_hostname=False)
    body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    answer = pool.request("POST", f"https://127.0.0.1:{operator.port}/mutate", json=body, retries=False, timeout=20)
    assert not answer.json()["response"]["allowed"]


def test_the_api_server_is_silent(operator: Operator, prometheus: Prometheus, space: Space) -> None:
    server = operator.cluster.processes[1 if operator.cluster.real else 0]
    ended = threading.Event()

    def touch() -> None:
        number = 0
        while not ended.wait(1):
            number += 1
            try:
                space.patch("AsyncActor", "well", {"metadata": {"labels": {"touched": str(number)}}})
            except ApiError:
                continue  # the server process is stopped by a signal

    def ask() -> None:
        number = 0
        while not ended.wait(0.2):
            number += 1
            review(operator, f"unknown-{number}")

    threads = [threading.Thread(target=touch), threading.Thread(target=ask)]
    threads[0].start()
    prometheus.wait_resolved("AsyaWatchSilent")
    server.send(signal.SIGSTOP)
    try:
        threads[1].start()
        with fires(prometheus, "AsyaWatchSilent", "AsyaAdmissionErrors", "AsyaAdmissionSlow"):
            server.send(signal.SIGCONT)
            wait_for("reviews to be answered", lambda: space.get("AsyncActor", "well"))
            ended.set()
            threads[1].join()
            # The next event ends the silence.
            space.patch("AsyncActor", "well", {"metadata": {"labels": {"touched": "last"}}})
    finally:
        server.send(signal.SIGCONT)
        ended.set()
        threads[0].join()


def test_prometheus_scraped_every_metric_of_the_manual(prometheus: Prometheus) -> None:
    names = set(prometheus.ask("label/__name__/values"))
    assert {m.name for m in described()} <= {name.removesuffix("_bucket") for name in names}


def test_every_alert_has_fired_and_resolved(operator: Operator) -> None:
    names = {rule["alert"] for rule in rules()}
    assert names - TRIED == (set() if operator.cluster.real else {"AsyaWebhookUnreachable"})
