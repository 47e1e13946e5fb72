"""When certificates change, and to what: a pure function over a small state.

The API server must trust the certificate that the webhook serves at every moment, though it learns of
a new CA a little later than we publish it, and the webhook's replicas load a new certificate a little
later than we store it. So a new CA goes through three steps, each at least ``overlap`` apart: it is
*announced* (published beside the old one, used by nobody), then *used* (the old one still trusted),
and then the old one is dropped.
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
KEYS = ("authority.key", "following.key")
"""What signs, and is in no Secret that the webhook reads."""


@dataclass(frozen=True)
class Policy:
    """How long certificates last. Each is renewed when a third of its life is left."""

    ca_lifetime: timedelta = timedelta(days=365)
    lifetime: timedelta = timedelta(days=90)
    overlap: timedelta = timedelta(seconds=60)
    """How long a step takes to reach every API server and every replica."""


@dataclass(frozen=True)
class State:
    """What the Secret holds."""

    authority: Pair
    """Signed the serving certificate."""
    serving: Pair
    since: float
    """When the present step began, in Unix time."""
    following: Pair | None = None
    """The next authority, announced."""
    previous: bytes | None = None
    """The certificate of the authority before, still trusted."""

    @property
    def bundle(self) -> bytes:
        """The CA certificates to publish."""
        others = [p for p in (self.previous, self.following.certificate if self.following else None) if p]
        return b"".join([self.authority.certificate, *others])

    def served(self) -> dict[str, str]:
        """What the webhook may read, as the ``data`` of a Secret of type ``kubernetes.io/tls``."""
        whole = self.to_secret()
        return {name: whole[name] for name in ("tls.crt", "tls.key", "ca.crt")}

    def to_secret(self) -> dict[str, str]:
        """All of it, the authority's key included, as the ``data`` of a Secret."""
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
        """The state in a Secret's ``data``; None if it is damaged in any way."""
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
        raise ValueError("the key is another certificate's")


def advance(
    state: State | None, names: list[str], policy: Policy, now: float, *, published: bool, trusted: bytes = b""
) -> State:
    """The state that should be stored now; ``state`` itself if nothing is to change.

    Nothing is issued that would not last longer than what it replaces, so how often anything is depends on how fast
    time goes by, and on nothing else.

    Args:
        state: what is stored, or None.
        names: DNS names and IP addresses of the webhook.
        policy: lifetimes.
        now: Unix time.
        published: whether every webhook configuration holds the state's bundle.
        trusted: CA certificates that are published while there is no state, as PEM: somebody else's, kept for a while.
    """
    if state is None:
        authority = create_authority(NAME, policy.ca_lifetime)
        return State(authority, issue(authority, names, policy.lifetime), now, previous=trusted or None)
    if state.authority.expires.timestamp() <= now:
        return advance(None, names, policy, now, published=published, trusted=state.authority.certificate)
    stepped = now - state.since >= policy.overlap.total_seconds()
    if state.following is not None:
        if not (published and stepped):
            return state
        serving = issue(state.following, names, policy.lifetime)
        return State(state.following, serving, now, previous=state.authority.certificate)
    if state.previous is not None and stepped and published:
        return replace(state, previous=None, since=now)
    if _is_due(state.authority, now) and state.previous is None:
        return replace(state, following=create_authority(NAME, policy.ca_lifetime), since=now)
    gained = min(now + policy.lifetime.total_seconds(), state.authority.expires.timestamp())
    has_gain = gained >= state.serving.expires.timestamp() + 1.0
    if (_is_due(state.serving, now) and has_gain) or _names(state.serving) != set(names):
        return replace(state, serving=issue(state.authority, names, policy.lifetime))
    return state


def _is_due(pair: Pair, now: float) -> bool:
    """Whether less than a third is left of the life that it has, which the policy's may be no more."""
    return pair.expires.timestamp() - now < pair.life.total_seconds() / 3


def _names(pair: Pair) -> set[str]:
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return {str(name.value) for name in extension.value}
