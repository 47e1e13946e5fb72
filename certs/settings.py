"""Reads the settings of the certificates from the environment that the chart sets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from certs.rotation import OVERLAPS_OF_A_CA, OVERLAPS_OF_A_LIFE, Policy

Mode = Literal["self", "secret", "cert-manager", "none"]
"""Who issues the certificate and publishes its CA.

``self``: the operator does both. ``secret``: the user issues, the operator publishes. ``cert-manager``: cert-manager
does both. ``none``: others do both.
"""


@dataclass(frozen=True)
class Settings:
    """Names of the Secrets and configurations, and the lifetimes of certificates."""

    mode: Mode
    namespace: str
    secret: str
    """Name of the Secret that the webhook reads."""
    configuration: str
    """Name of both webhook configurations."""
    names: list[str]
    """DNS names and IP addresses of the webhook."""
    policy: Policy = field(default_factory=Policy)
    own_authority: str = ""
    """Name of the Secret with the CA's key. Empty for the default, which is :attr:`secret` with the suffix ``-ca``."""

    @property
    def authority(self) -> str:
        """Name of the Secret with the CA's key."""
        return self.own_authority or f"{self.secret}-ca"


class InvalidCertificateSetting(ValueError):
    """A setting is invalid. The message names it, its value and the valid values."""


def from_environment(env: Mapping[str, str], namespace: str) -> Settings:
    """Return the settings from ``ASYA_CERTS_*``.

    Raises:
        InvalidCertificateSetting: a variable has an invalid value.
    """
    mode: Any = env.get("ASYA_CERTS_MODE") or "none"
    if mode not in ("self", "secret", "cert-manager", "none"):
        raise InvalidCertificateSetting(f"ASYA_CERTS_MODE: must be self, secret, cert-manager or none; found {mode!r}")
    default = Policy()
    names = [n for n in (env.get("ASYA_CERTS_NAMES") or f"asya-operator-webhook.{namespace}.svc").split(",") if n]
    policy = Policy(
        _seconds(env, "ASYA_CERTS_CA_LIFETIME", default.ca_lifetime),
        _seconds(env, "ASYA_CERTS_LIFETIME", default.lifetime),
        _seconds(env, "ASYA_CERTS_OVERLAP", default.overlap),
    )
    if mode == "self":
        _check(policy)
    settings = Settings(
        mode,
        namespace,
        env.get("ASYA_CERTS_SECRET") or "asya-operator-webhook-cert",
        env.get("ASYA_WEBHOOK_CONFIGURATION") or "asya-operator",
        names,
        policy,
        env.get("ASYA_CERTS_AUTHORITY_SECRET") or "",
    )
    if mode == "self" and settings.authority == settings.secret:
        raise InvalidCertificateSetting(
            f"ASYA_CERTS_AUTHORITY_SECRET (certs.authoritySecretName): must differ from certs.secretName; found "
            f"{settings.secret!r}. The webhook reads that Secret, but it must not read the CA's key"
        )
    return settings


def _check(policy: Policy) -> None:
    """Refuse lifetimes with which a certificate could expire before its successor is served and trusted.

    The chart makes the same checks in ``templates/certificates.yaml``.
    """
    if policy.lifetime > policy.ca_lifetime:
        raise InvalidCertificateSetting(
            f"ASYA_CERTS_LIFETIME (certs.lifetime): must not be longer than certs.caLifetime, which is "
            f"{policy.ca_lifetime}; found {policy.lifetime}. No certificate outlives the CA that signed it: lower it, "
            "or raise certs.caLifetime"
        )
    if policy.lifetime < OVERLAPS_OF_A_LIFE * policy.overlap:
        raise InvalidCertificateSetting(
            f"ASYA_CERTS_LIFETIME (certs.lifetime): must be at least {OVERLAPS_OF_A_LIFE} times certs.overlap, which "
            f"is {policy.overlap}; found {policy.lifetime}. Raise it, or lower certs.overlap"
        )
    if policy.ca_lifetime < OVERLAPS_OF_A_CA * policy.overlap:
        raise InvalidCertificateSetting(
            f"ASYA_CERTS_CA_LIFETIME (certs.caLifetime): must be at least {OVERLAPS_OF_A_CA} times certs.overlap, "
            f"which is {policy.overlap}; found {policy.ca_lifetime}. Raise it, or lower certs.overlap"
        )


MAX_DAYS = 36500
"""Longest duration of any setting."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _seconds(env: Mapping[str, str], name: str, default: timedelta) -> timedelta:
    text = env.get(name)
    if not text:
        return default
    if text[-1] not in _UNITS or not text[:-1].isdecimal() or int(text[:-1]) < 1:
        raise InvalidCertificateSetting(f"{name}: must be a duration such as 30s, 12h or 90d; found {text!r}")
    seconds = int(text[:-1]) * _UNITS[text[-1]]
    if seconds > MAX_DAYS * _UNITS["d"]:
        raise InvalidCertificateSetting(f"{name}: must be at most {MAX_DAYS}d; found {text!r}")
    return timedelta(seconds=seconds)
