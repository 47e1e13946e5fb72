"""Who trusts what: the certificates in the Secret and in the webhook configurations, as rows of a table."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

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


def rows(secret: Object | None, configurations: Iterable[Object], now: datetime) -> list[Row]:
    """Rows for the serving certificate and for each published CA.

    Args:
        secret: the Secret that the webhook serves from, or None if there is none.
        configurations: the webhook configurations.
        now: the time.
    """
    found: list[Row] = []
    serving = _serving(secret)
    if serving is not None:
        names = serving.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        subject = ", ".join(str(name.value) for name in names)
        found.append(Row("served", subject, serving.not_valid_after_utc, _expired(serving, now)))
    for configuration in configurations:
        for hook in configuration.get("webhooks") or ():
            where = f"trusted by {configuration['kind']} {hook['name']}"
            authorities = _authorities((hook.get("clientConfig") or {}).get("caBundle", ""))
            trusted = serving is not None and any(_issued(serving, ca) for ca in authorities)
            if not authorities:
                found.append(Row(where, "nothing", now, "the API server trusts no certificate of the webhook"))
            for ca in authorities:
                verdict = _expired(ca, now) or ("" if trusted else "the served certificate is not signed by it")
                found.append(Row(where, ca.subject.rfc4514_string(), ca.not_valid_after_utc, verdict))
    return found


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
