"""The chart on a cluster, from `helm install` to `helm uninstall`, with constant load."""

import base64
import signal
import time
from collections import Counter

import pytest
from typer.testing import CliRunner

from cli.main import app
from kube.contests import FREE
from kube.failures import ApiError
from kube.resources import DEPLOYMENTS, EVENTS, PODS, SECRETS, Resource
from tests.cluster.labelling import workload
from tests.cluster.watching import ready
from tests.harness.clusters import wait_for
from tests.harness.load import Load
from tests.harness.operator import NAMESPACES, WEBHOOKS, install_keda
from tests.harness.release import NAMESPACE, Release
from tests.harness.space import Space, actor

pytestmark = pytest.mark.best_tier

SECRET = "asya-operator-webhook-cert"
SHORT = {"caLifetime": "9s", "lifetime": "4s", "overlap": "1s"}
POD = workload("Pod", "", "a")


def bundle(release: Release) -> str:
    obj = release.client.get(WEBHOOKS["MutatingWebhookConfiguration"], "", "asya-operator")
    assert obj is not None
    return str(obj["webhooks"][0]["clientConfig"].get("caBundle", ""))


def blank(release: Release, resource: Resource) -> None:
    """Remove the CA bundle from a webhook configuration."""
    release.client.request(
        "PATCH",
        resource.path(name="asya-operator"),
        body=[{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}],
        content_type="application/json-patch+json",
    )


def test_five_upgrades_under_load(release: Release, place: Space) -> None:
    release.start(webhooks=2)
    place.apply(actor("a"))
    ready(place, "a")
    with Load(place).running():
        for n in range(5):
            release.install(
                logLevel="DEBUG" if n % 2 else "INFO",
                webhook={"threads": 8 + n, "timeoutSeconds": 5 + n},
                sidecar={"defaultResources": {"limits": {"memory": f"{256 + n}Mi"}}},
            )
            assert bundle(release)
            release.roll_webhook()
    configuration = release.client.get(WEBHOOKS["MutatingWebhookConfiguration"], "", "asya-operator")
    assert configuration
    assert configuration["webhooks"][0]["timeoutSeconds"] == 9


def test_ten_rotations_under_load_without_a_restart(release: Release, place: Space) -> None:
    release.start(webhooks=2, certs=SHORT)
    place.apply(actor("a"))
    ready(place, "a")
    pids = [r.process for r in release.webhooks]
    served, bundles = set[str](), set[str]()
    with Load(place).running():
        deadline = time.monotonic() + 90
        while len(served) < 11 or len(bundles) < 4:
            assert time.monotonic() < deadline, (len(served), len(bundles))
            secret = release.client.get(SECRETS, NAMESPACE, SECRET)
            served.add((secret or {})["data"]["tls.crt"])
            bundles.add(bundle(release))
            time.sleep(0.2)
    assert all(process.running for process in pids)


def test_deleted_damaged_or_cleared_objects_are_repaired(release: Release, place: Space) -> None:
    release.start(webhooks=1)
    place.apply(actor("a"))
    ready(place, "a")

    def injected() -> bool:
        pod = {**POD, "metadata": {"generateName": "p-", "labels": {"asya.io/actor": "a"}}}
        return bool(place.create_object(pod)["spec"]["containers"][0]["name"] == "sidecar")

    def reasons() -> Counter[str]:
        return Counter(e["reason"] for e in release.client.list(EVENTS, NAMESPACE))

    before = bundle(release)
    release.client.delete(SECRETS, NAMESPACE, SECRET)
    wait_for("the Secret", lambda: release.client.get(SECRETS, NAMESPACE, SECRET), 30)
    assert bundle(release) == before, "the restored object differs from the original"
    assert injected()
    junk = {"data": {"authority.crt": base64.b64encode(b"junk").decode(), "tls.crt": ""}}
    release.client.merge_patch(SECRETS, NAMESPACE, SECRET, junk)
    wait_for(
        "the repair", lambda: (release.client.get(SECRETS, NAMESPACE, SECRET) or {})["data"].get("tls.crt", ""), 30
    )
    wait_for("admission", injected, 30)
    wait_for("events", lambda: reasons()["CertificateRestoredSecret"] and reasons()["CertificateRestoredDamagedSecret"])
    for resource in WEBHOOKS.values():
        blank(release, resource)
    wait_for("the bundle", lambda: bundle(release) == before, 30)
    wait_for("admission", injected, 30)
    metrics = release.metrics(release.controllers[0])
    assert 'asya_controller_certificate_changes_total{change="restored-secret"} 1.0' in metrics
    assert 'asya_controller_certificate_changes_total{change="published-where-blank"}' in metrics


def test_a_writer_that_keeps_clearing_the_bundle_is_answered_ever_more_slowly(release: Release) -> None:
    release.start(webhooks=0)
    before = wait_for("the bundle", lambda: bundle(release))
    resource, blanked, deadline = WEBHOOKS["MutatingWebhookConfiguration"], 0, time.monotonic() + 6
    while time.monotonic() < deadline:
        if bundle(release):
            blank(release, resource)
            blanked += 1
        time.sleep(0.1)
    assert FREE <= blanked <= FREE + 4
    wait_for("the bundle", lambda: bundle(release) == before, 30)
    messages = [e for e in release.client.list(EVENTS, NAMESPACE) if e["reason"] == "Contested"]
    assert len(messages) == 1
    assert "MutatingWebhookConfiguration 'asya-operator'" in messages[0]["message"]
    assert messages[0]["count"] <= 4


@pytest.mark.needs_kubernetes(1, 30)
def test_all_replicas_of_the_webhook_are_deleted(release: Release, place: Space) -> None:
    release.start(webhooks=1)
    place.apply(actor("a"))
    ready(place, "a")
    wait_for("a pod", lambda: place.all("Pod"))
    release.stop_webhook(release.webhooks[0])
    place.create_object(workload("Pod", "plain"))
    before = {p["metadata"]["name"] for p in place.all("Pod")}
    running = next(p for p in before if p.startswith("a-"))
    place.delete("Pod", running)
    wait_for("its successor", lambda: {p["metadata"]["name"] for p in place.all("Pod")} - before)
    with pytest.raises(ApiError, match="failed calling webhook"):
        place.create_object(workload("Pod", "fresh", "a"))
    release.start_webhook()
    assert place.create_object(workload("Pod", "fresh", "a"))["spec"]["containers"][0]["name"] == "sidecar"


def test_a_users_own_certificate(release: Release, place: Space) -> None:
    from datetime import timedelta

    from certs.authority import create_authority, issue

    authority = create_authority("mine", timedelta(days=1))
    serving = issue(authority, ["127.0.0.1"], timedelta(days=1))
    parts = {"tls.crt": serving.certificate, "tls.key": serving.key, "ca.crt": authority.certificate}
    install_keda(release.client)
    release.install(certs={"mode": "secret", "secretName": "mine"})
    release.client.create(
        SECRETS,
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "mine", "namespace": NAMESPACE},
            "type": "kubernetes.io/tls",
            "data": {name: base64.b64encode(data).decode() for name, data in parts.items()},
        },
    )
    release.start_controller()
    release.start_webhook()
    place.apply(actor("a"))
    ready(place, "a")
    assert base64.b64decode(bundle(release)) == authority.certificate


def test_the_operators_own_pods_pass_the_restricted_profile(release: Release) -> None:
    if not release.cluster.real:
        pytest.skip("the sandbox holds pods to no Pod Security profile")
    release.install()
    restricted = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    release.client.merge_patch(NAMESPACES, "", NAMESPACE, restricted)
    for name in ("asya-operator", "asya-operator-webhook"):
        deployment = release.client.get(DEPLOYMENTS, NAMESPACE, name)
        assert deployment
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": deployment["spec"]["template"]["spec"],
        }
        release.client.create(PODS, pod)


def test_certs_show(release: Release) -> None:
    release.start(webhooks=1)
    command = ["certs", "show", "--kubeconfig", str(release.cluster.kubeconfig)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "served" in done.stdout
    assert "trusted by MutatingWebhookConfiguration inject.asya.io" in done.stdout
    release.controllers[0].process.stop(signal.SIGKILL)
    release.client.delete(SECRETS, NAMESPACE, SECRET)
    assert CliRunner().invoke(app, command).exit_code == 1
