"""The output of ``certs show`` about the served certificate and who trusts it."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from certs.authority import create_authority, issue
from certs.show import Row, rows, served_from
from kube.objects import Object

AUTHORITY = create_authority("asya-operator", timedelta(days=100))
NAME = "asya-operator-webhook.asya-system.svc"


def shown(config: Object, *names: str, ca: bytes = AUTHORITY.certificate) -> list[Row]:
    """The rows for a certificate for ``names`` and a webhook whose clientConfig is ``config``."""
    serving = issue(AUTHORITY, list(names), timedelta(days=1)).certificate
    hook = {"name": "inject.asya.io", "clientConfig": {"caBundle": base64.b64encode(ca).decode(), **config}}
    secret = {"data": {"tls.crt": base64.b64encode(serving).decode()}}
    return rows(secret, [{"kind": "MutatingWebhookConfiguration", "webhooks": [hook]}], datetime.now(UTC))


SERVICE = {"service": {"name": "asya-operator-webhook", "namespace": "asya-system"}}


@pytest.mark.parametrize(
    ("config", "names", "called"),
    [
        (SERVICE, ["asya-operator-webhook.other.svc"], NAME),
        ({"url": "https://10.0.0.1:8443/mutate"}, [NAME], "10.0.0.1"),
        ({"url": "https://[fd00::1]:8443/mutate"}, [NAME, "fd00::2"], "fd00::1"),
    ],
)
def test_a_name_that_the_certificate_lacks_is_reported(config: Object, names: list[str], called: str) -> None:
    wrong = [row for row in shown(config, *names) if row.verdict]
    assert [row.subject for row in wrong] == [called]
    assert f"calls the webhook as {called}" in wrong[0].verdict


@pytest.mark.parametrize(
    ("config", "names"),
    [
        (SERVICE, [NAME]),
        (SERVICE, ["*.asya-system.svc"]),
        ({"url": "https://[fd00::1]:8443/mutate"}, ["fd00::1"]),
        ({"url": "https://hook.example.com/mutate"}, ["hook.example.com"]),
    ],
)
def test_a_matching_name_is_no_fault(config: Object, names: list[str]) -> None:
    assert [row.verdict for row in shown(config, *names)] == ["", ""]


def test_a_certificate_without_a_subject_has_a_name_in_the_output() -> None:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    nobody = x509.Name([])
    builder = x509.CertificateBuilder(nobody, nobody, key.public_key(), 255, now, now + timedelta(days=1))
    nameless = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    assert [row.subject for row in shown({}, NAME, ca=AUTHORITY.certificate + nameless)][-1] == "serial number ff"


def test_an_expired_ca_is_a_fault_only_if_it_signed_the_served_certificate() -> None:
    old = create_authority("old", timedelta(seconds=-60)).certificate
    assert [row.verdict for row in shown(SERVICE, NAME, ca=AUTHORITY.certificate + old)] == ["", "", ""]
    assert [row.verdict for row in shown(SERVICE, NAME, ca=old)] == ["", "expired"]


def test_the_secret_is_cert_managers_if_its_ca_is_injected() -> None:
    injected = {"metadata": {"annotations": {"cert-manager.io/inject-ca-from": "asya-system/asya-operator-webhook"}}}
    assert served_from("asya-operator", [injected]) == "asya-operator-webhook-cert-manager"
    assert served_from("asya-operator", [{"metadata": {}}]) == "asya-operator-webhook-cert"
    assert served_from("mine", [{"metadata": {}}]) == "mine-webhook-cert"
