"""Settings of the certificates, from the environment that the chart sets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from certs.rotation import Policy

Mode = Literal["self", "secret", "cert-manager", "none"]
"""Who makes the certificate: we, the user, cert-manager, or somebody who does not need us at all."""


@dataclass(frozen=True)
class Settings:
    """Where certificates are and how they are made."""

    mode: Mode
    namespace: str
    secret: str
    configuration: str
    """Name of both webhook configurations."""
    names: list[str]
    """DNS names and IP addresses of the webhook."""
    policy: Policy = field(default_factory=Policy)


class InvalidCertificateSetting(ValueError):
    """A setting that cannot be used; the message names it."""


def from_environment(env: Mapping[str, str], namespace: str) -> Settings:
    """Settings from ``ASYA_CERTS_*``.

    Raises:
        InvalidCertificateSetting: if one of them cannot be used.
    """
    mode: Any = env.get("ASYA_CERTS_MODE") or "none"
    if mode not in ("self", "secret", "cert-manager", "none"):
        raise InvalidCertificateSetting(f"ASYA_CERTS_MODE: must be self, secret, cert-manager or none; found {mode!r}")
    default = Policy()
    names = [n for n in (env.get("ASYA_CERTS_NAMES") or f"asya-operator-webhook.{namespace}.svc").split(",") if n]
    return Settings(
        mode,
        namespace,
        env.get("ASYA_CERTS_SECRET") or "asya-operator-webhook-cert",
        env.get("ASYA_WEBHOOK_CONFIGURATION") or "asya-operator",
        names,
        Policy(
            _seconds(env, "ASYA_CERTS_CA_LIFETIME", default.ca_lifetime),
            _seconds(env, "ASYA_CERTS_LIFETIME", default.lifetime),
            _seconds(env, "ASYA_CERTS_OVERLAP", default.overlap),
        ),
    )


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(env: Mapping[str, str], name: str, default: timedelta) -> timedelta:
    text = env.get(name)
    if not text:
        return default
    if text[-1] not in _UNITS or not text[:-1].isdecimal() or int(text[:-1]) < 1:
        raise InvalidCertificateSetting(f"{name}: must be a duration such as 30s, 12h or 90d; found {text!r}")
    return timedelta(seconds=int(text[:-1]) * _UNITS[text[-1]])
