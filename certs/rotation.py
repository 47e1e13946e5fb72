"""Decides when and how certificates change. The functions here do no I/O.

The API server must trust the webhook's certificate at every moment. But API servers read a published CA with a delay,
and the webhook's replicas load a stored certificate with a delay. The change to a new CA therefore has three steps,
each at least ``overlap`` apart:

1. announced: the operator publishes the new CA beside the old one, but does not sign with it yet;
2. used: the operator signs with the new CA, and the old CA is still published;
3. the operator drops the old CA.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certs.authority import Pair, create_authority, issue

NAME = "asya-operator"
OVERLAPS_OF_A_LIFE, OVERLAPS_OF_A_CA = 3, 9
"""Minimum lifetimes of certificate and CA, in multiples of the overlap.

The operator renews a certificate when a third of its life is left. That third must be at least as long as a step takes.
It replaces a CA in two steps, and a certificate expires no later than its CA.
"""
CHECKS_OF_A_LIFE = 12
"""Checks during the shortest lifetime."""
KEYS = ("authority.key", "following.key")
"""The keys of authorities. A Secret that the webhook reads never contains them."""


@dataclass(frozen=True)
class Policy:
    """The lifetimes of certificates. The operator renews each when a third of its life is left."""

    ca_lifetime: timedelta = timedelta(days=365)
    lifetime: timedelta = timedelta(days=90)
    overlap: timedelta = timedelta(seconds=60)
    """Time after which a step has reached every API server and every replica."""


@dataclass(frozen=True)
class State:
    """The certificates and keys that the Secret contains."""

    authority: Pair
    """The CA that signed the serving certificate."""
    serving: Pair
    since: float
    """Start of the current step, in Unix time."""
    following: Pair | None = None
    """The announced next CA."""
    previous: bytes | None = None
    """The certificate of the previous CA, which is still published."""

    @property
    def bundle(self) -> bytes:
        """The CA certificates to publish."""
        others = [p for p in (self.previous, self.following.certificate if self.following else None) if p]
        return b"".join([self.authority.certificate, *others])

    def served(self) -> dict[str, str]:
        """Return the parts that the webhook may read, as the ``data`` of a Secret of type ``kubernetes.io/tls``."""
        all_parts = self.to_secret()
        return {name: all_parts[name] for name in ("tls.crt", "tls.key", "ca.crt")}

    def to_secret(self) -> dict[str, str]:
        """Return all parts, including the CA's key, as the ``data`` of a Secret."""
        parts = {
            "tls.crt": self.serving.certificate,
            "tls.key": self.serving.key,
            "ca.crt": self.bundle,
            "authority.crt": self.authority.certificate,
            "authority.key": self.authority.key,
            "since": str(self.since).encode(),
        }
        if self.following is not None:
            parts |= {"following.crt": self.following.certificate, "following.key": self.following.key}
        if self.previous is not None:
            parts["previous.crt"] = self.previous
        return {name: base64.b64encode(value).decode() for name, value in parts.items()}

    @classmethod
    def from_secret(cls, data: Mapping[str, str]) -> "State | None":
        """Return the state in a Secret's ``data``. None if a part is missing or damaged."""
        try:
            parts = {name: base64.b64decode(value, validate=True) for name, value in data.items()}
            following = "following.crt" in parts
            state = cls(
                Pair(parts["authority.crt"], parts["authority.key"]),
                Pair(parts["tls.crt"], parts["tls.key"]),
                float(parts["since"]),
                Pair(parts["following.crt"], parts["following.key"]) if following else None,
                parts.get("previous.crt"),
            )
            for pair in (state.authority, state.serving, *((state.following,) if state.following else ())):
                _check(pair)
            if state.previous is not None:
                x509.load_pem_x509_certificate(state.previous)
            authority = x509.load_pem_x509_certificate(state.authority.certificate)
            x509.load_pem_x509_certificate(state.serving.certificate).verify_directly_issued_by(authority)
        except (KeyError, ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            return None
        return state


def _check(pair: Pair) -> None:
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    key = load_pem_private_key(pair.key, password=None)
    if key.public_key() != certificate.public_key():
        raise ValueError("the key does not match the certificate")


def advance(
    state: State | None, names: list[str], policy: Policy, now: float, *, published: bool, trusted: bytes = b""
) -> State:
    """Return the state to store now, or ``state`` itself if nothing changes.

    A new certificate always expires later than the one that it replaces. So only time decides how often the operator
    issues certificates.

    Args:
        state: the stored state, or None.
        names: DNS names and IP addresses of the webhook.
        policy: the lifetimes.
        now: the current Unix time.
        published: whether every webhook configuration contains the state's bundle.
        trusted: the published CA certificates if there is no state, as PEM. They belong to another CA, and the
            operator keeps them published for a while.
    """
    if state is None:
        authority = create_authority(NAME, policy.ca_lifetime)
        return State(authority, issue(authority, names, policy.lifetime), now, previous=trusted or None)
    if state.authority.expires.timestamp() <= now:
        return advance(None, names, policy, now, published=published, trusted=state.authority.certificate)
    is_step_over = now - state.since >= step_seconds(state, policy) and published
    if state.following is not None and is_step_over:
        serving = issue(state.following, names, policy.lifetime)
        return State(state.following, serving, now, previous=state.authority.certificate)
    if state.previous is not None and is_step_over:
        return replace(state, previous=None, since=now)
    if _is_due(state.authority, now) and state.following is None and state.previous is None:
        return replace(state, following=create_authority(NAME, policy.ca_lifetime), since=now)
    new_expiry = min(now + policy.lifetime.total_seconds(), state.authority.expires.timestamp())
    is_longer = new_expiry >= state.serving.expires.timestamp() + 1.0
    if (_is_due(state.serving, now) and is_longer) or _names(state.serving) != set(names):
        return replace(state, serving=issue(state.authority, names, policy.lifetime))
    return state


def step_seconds(state: State, policy: Policy) -> float:
    """Seconds between two steps: the overlap, but never so long that the CA expires before its successor signs.

    The CA may be of an earlier policy with shorter lifetimes.
    """
    return min(policy.overlap.total_seconds(), state.authority.life.total_seconds() / OVERLAPS_OF_A_CA)


def check_seconds(state: State, policy: Policy) -> float:
    """Seconds after which :func:`advance` may have something to do, at least half a second.

    The certificates may be of an earlier policy with shorter lifetimes.
    """
    shortest = min(policy.lifetime, policy.ca_lifetime, state.serving.life, state.authority.life)
    pauses = [shortest.total_seconds() / CHECKS_OF_A_LIFE]
    if state.following is not None or state.previous is not None:
        pauses.append(step_seconds(state, policy) / 2)
    return max(0.5, min(pauses))


def _is_due(pair: Pair, now: float) -> bool:
    """Whether less than a third of the certificate's own life is left. The current policy may have another lifetime."""
    return pair.expires.timestamp() - now < pair.life.total_seconds() / 3


def _names(pair: Pair) -> set[str]:
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return {str(name.value) for name in extension.value}
