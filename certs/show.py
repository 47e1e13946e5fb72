"""Lists the webhook's certificate and the CAs in the webhook configurations, as rows of a table."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from kube.objects import Object


@dataclass(frozen=True)
class Row:
    """One certificate."""

    where: str
    subject: str
    expires: datetime
    verdict: str
    """The problem with this certificate. Empty if there is none."""
    is_used: bool = True
    """Whether the webhook serves it, or it signed the served one. An old or an announced CA is not in use."""
    starts: datetime | None = None

    def is_late(self, now: datetime) -> bool:
        """Whether its renewal is overdue: it is due when a third of its life is left, and late when a fifth is left."""
        return self.is_used and self.starts is not None and self.expires - now < (self.expires - self.starts) / 5


def rows(secret: Object | None, configurations: Iterable[Object], now: datetime) -> list[Row]:
    """Return rows for the serving certificate and for each published CA.

    Args:
        secret: the Secret with the webhook's certificate, or None if it does not exist.
        configurations: the webhook configurations.
        now: the current time.
    """
    rows: list[Row] = []
    serving = _serving(secret)
    if serving is not None:
        rows.append(
            Row(
                "served",
                _title(serving),
                serving.not_valid_after_utc,
                _expired(serving, now),
                True,
                serving.not_valid_before_utc,
            )
        )
    for configuration in configurations:
        for hook in configuration.get("webhooks") or ():
            where = f"trusted by {configuration['kind']} {hook['name']}"
            authorities = _authorities((hook.get("clientConfig") or {}).get("caBundle", ""))
            used = [ca for ca in authorities if serving is not None and _has_issued(serving, ca)]
            name = _host_of(hook)
            if serving is not None and name and not any(_matches(name, n) for n in _names(serving)):
                problem = f"the API server calls the webhook as {name}, which is not a name in the served certificate"
                rows.append(Row(where, name, serving.not_valid_after_utc, problem))
            if not authorities:
                rows.append(Row(where, "nothing", now, "caBundle is empty, so the API server trusts no certificate"))
            for ca in authorities:
                # A CA that is not in use has no problem as long as another one is in use.
                verdict = "" if used else "this CA did not sign the served certificate"
                if not used or ca in used:
                    verdict = _expired(ca, now) or verdict
                ends, starts = ca.not_valid_after_utc, ca.not_valid_before_utc
                rows.append(Row(where, _title(ca), ends, verdict, ca in used, starts))
    return rows


def served_from(name: str, configurations: Iterable[Object]) -> str:
    """Return the default name of the Secret with the certificate of the operator's webhook.

    ``name`` is the name of the operator. If the configurations ask cert-manager to inject the CA, the Secret is the one
    that cert-manager writes.
    """
    injected = any("cert-manager.io/inject-ca-from" in (c["metadata"].get("annotations") or {}) for c in configurations)
    return f"{name}-webhook-cert{'-manager' if injected else ''}"


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in extension.value]


def _matches(name: str, pattern: str) -> bool:
    host, _, domain = name.partition(".")
    return name == pattern or (bool(host) and bool(domain) and pattern == f"*.{domain}")


def _title(certificate: x509.Certificate) -> str:
    """Return the certificate's names, else its subject, else its serial number. cert-manager's have no subject."""
    serial = f"serial number {certificate.serial_number:x}"
    return ", ".join(_names(certificate)) or certificate.subject.rfc4514_string() or serial


def _host_of(hook: Object) -> str:
    """Return the host name with which the API server calls the webhook."""
    config = hook.get("clientConfig") or {}
    service = config.get("service") or {}
    if service:
        return f"{service.get('name')}.{service.get('namespace')}.svc"
    return urlsplit(config.get("url") or "").hostname or ""


def _serving(secret: Object | None) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(base64.b64decode(((secret or {}).get("data") or {})["tls.crt"]))
    except (KeyError, ValueError):
        return None


def _authorities(bundle: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(base64.b64decode(bundle))
    except ValueError:
        return []


def _has_issued(leaf: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _expired(certificate: x509.Certificate, now: datetime) -> str:
    return "expired" if certificate.not_valid_after_utc <= now else ""
