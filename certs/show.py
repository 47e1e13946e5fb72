"""Who trusts what: the certificates in the Secret and in the webhook configurations, as rows of a table."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature

Object = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """One certificate."""

    where: str
    subject: str
    expires: datetime
    verdict: str
    """What is to be said of it; an empty text if all is well."""
    is_used: bool = True
    """Whether it is served, or signed what is; another CA may be kept, or announced, beside the one that counts."""
    starts: datetime | None = None

    def is_late(self, now: datetime) -> bool:
        """Whether it should have been renewed long ago: a third of its life was left then, and now a fifth."""
        return self.is_used and self.starts is not None and self.expires - now < (self.expires - self.starts) / 5


def rows(secret: Object | None, configurations: Iterable[Object], now: datetime) -> list[Row]:
    """Rows for the serving certificate and for each published CA.

    Args:
        secret: the Secret that the webhook serves from, or None if there is none.
        configurations: the webhook configurations.
        now: the time.
    """
    rows: list[Row] = []
    serving = _serving(secret)
    if serving is not None:
        rows.append(
            Row(
                "served",
                _who(serving),
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
            used = [ca for ca in authorities if serving is not None and _issued(serving, ca)]
            name = _called_by(hook)
            if serving is not None and name and not any(_matches(name, n) for n in _names(serving)):
                wrong = f"the API server calls it {name}, which the served certificate does not name"
                rows.append(Row(where, name, serving.not_valid_after_utc, wrong))
            if not authorities:
                rows.append(Row(where, "nothing", now, "the API server trusts no certificate of the webhook"))
            for ca in authorities:
                # An old one may be kept beside the one that counts.
                verdict = "" if used else "the served certificate is not signed by it"
                if not used or ca in used:
                    verdict = _expired(ca, now) or verdict
                ends, starts = ca.not_valid_after_utc, ca.not_valid_before_utc
                rows.append(Row(where, _who(ca), ends, verdict, ca in used, starts))
    return rows


def served_from(name: str, configurations: Iterable[Object]) -> str:
    """The Secret that the webhook of an operator of that name serves from, unless the chart's values say otherwise.

    It is cert-manager's where its injector is told to publish the CA.
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


def _who(certificate: x509.Certificate) -> str:
    """Its names; cert-manager's bear no subject."""
    serial = f"serial number {certificate.serial_number:x}"
    return ", ".join(_names(certificate)) or certificate.subject.rfc4514_string() or serial


def _called_by(hook: Object) -> str:
    """The name by which the API server calls the webhook."""
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


def _issued(leaf: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _expired(certificate: x509.Certificate, now: datetime) -> str:
    return "expired" if certificate.not_valid_after_utc <= now else ""
