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
    own_authority: str = ""
    """The Secret with the CA's key, if it is not :attr:`secret` with ``-ca`` after it."""

    @property
    def authority(self) -> str:
        """The Secret with the CA's key."""
        return self.own_authority or f"{self.secret}-ca"


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
            f"{settings.secret!r}. The webhook reads that Secret, and must not read the CA's key"
        )
    return settings


OVERLAPS_OF_A_LIFE, OVERLAPS_OF_A_CA = 3, 9
"""A certificate is renewed when a third of its life is left, and that third must be as long as a step takes; a CA that
ends is replaced in two steps, and the certificate that it signed last lasts no longer than it does."""


def _check(policy: Policy) -> None:
    """Refuse lifetimes by which a certificate would end before its successor is served and trusted.

    The chart refuses the same, in ``templates/certificates.yaml``.
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
