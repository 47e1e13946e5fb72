"""The chart with a real cert-manager: certificates and CA are renewed under load, with and without its injector."""

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from kube.objects import Object
from kube.resources import MUTATING_WEBHOOKS, SECRETS, Resource
from tests.cluster.watching import ready
from tests.harness.certmanager import CERTIFICATES, FOLDER, CertManager, why_no_cert_manager
from tests.harness.clusters import wait_for
from tests.harness.load import Load
from tests.harness.release import NAMESPACE, Release
from tests.harness.space import Space, actor

pytestmark = [
    pytest.mark.only("kube-apiserver"),
    pytest.mark.skipif(bool(why_no_cert_manager()), reason=why_no_cert_manager()),
]

LEAF, AUTHORITY = "asya-operator-webhook", "asya-operator-webhook-ca"
RENEWALS = 8
AWAY_SECONDS = 20.0


@pytest.fixture
def manager(release: Release, tmp_path: Path) -> Iterator[CertManager]:
    made = CertManager(release.cluster, tmp_path / "cert-manager")
    try:
        made.start()
        yield made
    finally:
        made.stop()


def published(release: Release) -> str:
    """The CA that the API server trusts."""
    live: Any = release.client.get(MUTATING_WEBHOOKS, "", "asya-operator")
    return str(live["webhooks"][0]["clientConfig"].get("caBundle", ""))


def certificate(release: Release, name: str) -> x509.Certificate:
    """The certificate in a Secret."""
    secret: Any = release.client.get(SECRETS, NAMESPACE, name)
    return x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["tls.crt"]))


@pytest.mark.needs_kubernetes(1, 30)  # cert-manager 1.20 needs selectable fields of CRDs
def test_renewals_cost_no_admission(release: Release, place: Space, manager: CertManager) -> None:
    release.start(webhooks=2, certs={"mode": "cert-manager"})
    place.apply(actor("a"))
    ready(place, "a")
    leaf = certificate(release, "asya-operator-webhook-cert-manager")
    authority = certificate(release, "asya-operator-webhook-cert-manager-ca")
    assert 3640 < (authority.not_valid_after_utc - authority.not_valid_before_utc).days < 3660
    assert 360 < (leaf.not_valid_after_utc - leaf.not_valid_before_utc).days < 370
    leaf.verify_directly_issued_by(authority)
    kept = {process.pid for process in manager.processes.values()}
    bundles, lost = {published(release)}, dict[str, tuple[int, int]]()
    load = Load(place, 8.0, release.balancer.disconnect)
    with load.running(lost=1):
        for what, names, is_injecting in (
            ("leaf", [LEAF] * RENEWALS, True),
            ("CA", [AUTHORITY] * RENEWALS, True),
            ("both", [AUTHORITY, LEAF] * RENEWALS, True),
            ("both without cainjector", [AUTHORITY, LEAF] * 2, False),
        ):
            created, errors, began = load.created, len(load.errors), time.monotonic()
            if not is_injecting:
                manager.processes["cainjector"].stop()
            for name in names:
                manager.renew(NAMESPACE, name)
                bundles.add(published(release))
            if not is_injecting:
                time.sleep(max(0.0, AWAY_SECONDS - (time.monotonic() - began)))
                manager.processes["cainjector"].start()
            lost[what] = (load.created - created, len(load.errors) - errors)
        # From 1.20 on, cainjector also keeps the CAs that it published earlier.
        wait_for("the CA", lambda: _authority(release) in base64.b64decode(published(release)), 30)
    print(f"{FOLDER}: admissions and lost ones: {lost}")
    assert len(bundles) > RENEWALS, "the CA was not renewed and published"
    assert {process.pid for process in manager.processes.values()} - kept, "cainjector was not stopped"


def _authority(release: Release) -> bytes:
    secret: Any = release.client.get(SECRETS, NAMESPACE, "asya-operator-webhook-cert-manager")
    return base64.b64decode(secret["data"]["ca.crt"])


@pytest.mark.needs_kubernetes(1, 30)
def test_a_users_own_issuer_signs(release: Release, place: Space, manager: CertManager) -> None:
    client = release.client
    release.install(certs={"mode": "cert-manager"})
    wait_for("a CA", lambda: client.get(SECRETS, NAMESPACE, "asya-operator-webhook-cert-manager-ca"))
    issuer = {"name": "ours", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    resource = Resource("cert-manager.io/v1", "ClusterIssuer", "clusterissuers")
    cluster_issuer: Object = {"metadata": {"name": "ours"}, "spec": {"selfSigned": {}}}
    client.create(resource, {"apiVersion": resource.api_version, "kind": resource.kind, **cluster_issuer})
    release.start(certs={"mode": "cert-manager", "certManager": {"issuerRef": issuer}})
    live: Any = client.get(CERTIFICATES, NAMESPACE, LEAF)
    assert live["spec"]["issuerRef"] == issuer
    place.apply(actor("a"))
    ready(place, "a")
