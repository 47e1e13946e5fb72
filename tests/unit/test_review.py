"""A client whose request is not an API server's, or that lacks a required certificate, learns nothing about actors."""

import copy
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from certs.authority import Pair, create_authority
from injection.settings import InvalidSetting, SidecarDefaults
from kube.resources import ASYNC_ACTORS
from tests.bench.webhook import NAME, reviews
from tests.harness.operator import Operator, alone
from tests.harness.space import actor
from tests.unit.test_admission import deployment, envelope, lookup, review
from webhook.app import create_app
from webhook.handler import Handler
from webhook.review import Clients

OURS, OTHERS = (create_authority(name, timedelta(days=1)) for name in ("front-proxy-ca", "another-ca"))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("kind",), "Review", "kind"),
        (("request", "uid"), "u", "request.uid: must be a UUID"),
        (("request", "userInfo"), None, "request.userInfo"),
        (("request", "userInfo"), {"groups": []}, "request.userInfo.username"),
        (("request", "operation"), "LOOK", "request.operation"),
        (("request", "resource"), None, "request.resource"),
        (("request", "namespace"), "", "request.namespace: required"),
        (("request", "namespace"), "other", "request.namespace: must be that of the object"),
        (("request", "name"), "other", "request.name: must be that of the object"),
    ],
)
def test_a_request_that_no_api_server_sends_is_refused(path: tuple[str, ...], value: Any, message: str) -> None:
    body = copy.deepcopy(envelope(review(deployment(namespace="ns"))))
    client = create_app(Handler(lookup, SidecarDefaults())).test_client()
    assert "patch" in client.post("/mutate", json=body).get_json()["response"]
    place = body
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    answer = client.post("/mutate", json=body)
    assert answer.status_code == 400
    assert answer.text.startswith(message)


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"ASYA_WEBHOOK_CLIENT_CA": "x"}, "webhook.clientCA.: must be certificates as PEM"),
        ({"ASYA_WEBHOOK_CLIENT_NAMES": "x"}, "webhook.clientNames.: needs webhook.clientCA"),
    ],
)
def test_a_wrong_setting_is_named(env: dict[str, str], named: str) -> None:
    with pytest.raises(InvalidSetting, match=named):
        Clients.from_environment(env)


def client_certificate(authority: Pair, name: str, directory: Path) -> ssl.SSLContext:
    """The TLS context of a client with a certificate of this name, or without one if the name is empty."""
    context = ssl._create_unverified_context()
    if name:
        ca = x509.load_pem_x509_certificate(authority.certificate)
        ca_key = load_pem_private_key(authority.key, None)
        assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        ends = now + timedelta(hours=1)
        made = x509.CertificateBuilder(ca.subject, subject, key.public_key(), 1, now - timedelta(minutes=5), ends)
        file = directory / f"{name}.pem"
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(pem + made.sign(ca_key, hashes.SHA256()).public_bytes(Encoding.PEM))
        context.load_cert_chain(file)
    return context


@contextmanager
def serving(**environment: str) -> Iterator[Operator]:
    """A webhook with one actor."""
    with alone() as operator:
        operator.environment |= environment
        operator.install()
        obj = actor(NAME)
        obj["metadata"]["namespace"] = "default"
        operator.client.apply(ASYNC_ACTORS, obj, manager="kubectl")
        operator.start_webhook()
        yield operator


def test_only_a_client_with_the_api_servers_certificate_is_answered(tmp_path: Path) -> None:
    authority = OURS.certificate.decode()
    with serving(ASYA_WEBHOOK_CLIENT_CA=authority, ASYA_WEBHOOK_CLIENT_NAMES="front-proxy-client") as operator:

        def ask(authority: Pair, name: str, path: str = "/mutate") -> urllib3.BaseHTTPResponse:
            context = client_certificate(authority, name, tmp_path)
            pool = urllib3.PoolManager(ssl_context=context, assert_hostname=False)
            body = None if path == "/readyz" else reviews()["pod"]
            headers = {"Content-Type": "application/json"}
            url = f"https://127.0.0.1:{operator.port}{path}"
            return pool.request("POST" if body else "GET", url, body=body, headers=headers, retries=False, timeout=5)

        assert b'"patch"' in ask(OURS, "front-proxy-client").data
        for name in ("", "a-pod"):
            refused = ask(OURS, name)
            assert (refused.status, b"patch" in refused.data) == (403, False)
        with pytest.raises((urllib3.exceptions.HTTPError, OSError)):
            ask(OTHERS, "front-proxy-client")
        assert ask(OURS, "", "/readyz").status == 200, "a kubelet has no certificate"
