"""Rotation of certificates: at every moment the API server trusts the served certificate."""

import base64
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from certs import authority
from certs.authority import Pair, create_authority, issue
from certs.rotation import Policy, State, advance, check_seconds
from certs.settings import InvalidCertificateSetting, from_environment
from tests.chaos import FULL

NAMES = ["webhook.ns.svc", "127.0.0.1"]
DAY = 86400.0


class Clock:
    """A clock that the certificate library uses too."""

    def __init__(self, monkeypatch: Any) -> None:
        from datetime import UTC, datetime

        self.now = datetime.now(UTC).timestamp()
        clock = self

        class Frozen(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> "Frozen":
                return cls.fromtimestamp(clock.now, tz)

        monkeypatch.setattr(authority, "datetime", Frozen)


def trusts(bundle: bytes, certificate: bytes) -> bool:
    leaf = x509.load_pem_x509_certificate(certificate)
    for ca in x509.load_pem_x509_certificates(bundle):
        try:
            leaf.verify_directly_issued_by(ca)
        except (ValueError, InvalidSignature):
            continue
        return True
    return False


@hypothesis_settings(max_examples=15 if FULL else 6)
@given(
    ca_days=st.integers(3, 400),
    leaf_days=st.integers(1, 400),
    step=st.floats(0.05, 0.6),
    lag=st.floats(0.0, 0.9),
)
def test_the_served_certificate_is_always_trusted(ca_days: int, leaf_days: int, step: float, lag: float) -> None:
    """Replicas load a certificate, and API servers load a bundle, with a delay of up to ``lag`` of the overlap."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        clock = Clock(monkeypatch)
        overlap = min(ca_days, leaf_days) * DAY * 0.02
        policy = Policy(timedelta(days=ca_days), timedelta(days=leaf_days), timedelta(seconds=overlap))
        state = advance(None, NAMES, policy, clock.now, published=False)
        history = [(clock.now, state)]
        authorities = {state.authority.certificate}
        until = clock.now + 4 * ca_days * DAY
        while clock.now < until:
            moving = state.following is not None or state.previous is not None
            clock.now += overlap * step if moving else min(ca_days, leaf_days) * DAY / 12
            state = advance(state, NAMES, policy, clock.now, published=True)
            history.append((clock.now, state))
            authorities.add(state.authority.certificate)
            late = clock.now - overlap * lag
            observed = [s for at, s in history if at >= late] + [
                max((h for h in history if h[0] <= late), default=history[0])[1]
            ]
            for one in observed:
                assert one.serving.expires.timestamp() > clock.now
                for other in observed:
                    assert trusts(other.bundle, one.serving.certificate)
            history = [h for h in history if h[0] > late - overlap]
        assert len(authorities) >= 3, "no rotation happened"
        assert state.to_secret() == (State.from_secret(state.to_secret()) or state).to_secret()


@hypothesis_settings(max_examples=60 if FULL else 20)
@given(changed_at=st.floats(1.0, 400.0), away=st.floats(0.0, 8.0))
def test_certificates_of_shorter_settings_are_replaced_in_time(changed_at: float, away: float) -> None:
    """Also while the operator restarts for a change of its settings. The new overlap is longer than the CA can wait."""
    short = Policy(timedelta(minutes=3), timedelta(seconds=60), timedelta(seconds=10))
    with pytest.MonkeyPatch.context() as monkeypatch:
        clock = Clock(monkeypatch)
        begin, state = clock.now, advance(None, NAMES, short, clock.now, published=False)
        is_away = False
        while clock.now < begin + 1000:
            policy = short if clock.now < begin + changed_at else Policy()
            pause = min(30.0, check_seconds(state, policy))
            if not is_away and clock.now + pause >= begin + changed_at:
                pause, is_away = pause + away, True
            clock.now += pause
            # Nothing else renews the certificate, so it must be valid until now.
            assert min(state.serving.expires, state.authority.expires).timestamp() > clock.now
            state = advance(state, NAMES, policy, clock.now, published=True)
        assert min(state.serving.life, state.authority.life) > timedelta(days=80)


def test_a_certificate_is_renewed_while_the_next_ca_is_announced() -> None:
    ca, following = (create_authority("ca", timedelta(days=30)) for _ in range(2))
    now = time.time()
    state = State(ca, issue(ca, NAMES, timedelta(seconds=60)), now, following=following)
    later = advance(state, NAMES, Policy(), now + 50, published=True)
    assert (later.authority, later.following) == (ca, following)
    assert later.serving != state.serving


@hypothesis_settings(max_examples=25 if FULL else 15)
@given(
    ca=st.integers(1, 10**8),
    leaf=st.integers(1, 10**8),
    overlap=st.integers(1, 10**5),
    looks=st.lists(st.tuples(st.floats(-1.0, 1.5), st.booleans()), min_size=5, max_size=40),
)
def test_the_number_of_issued_certificates_is_bounded_by_time(
    ca: int, leaf: int, overlap: int, looks: list[tuple[float, bool]]
) -> None:
    """For any policy and any clock. Repeated checks at the same moment issue no more certificates."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        clock = Clock(monkeypatch)
        policy = Policy(timedelta(seconds=ca), timedelta(seconds=leaf), timedelta(seconds=overlap))
        first = last = clock.now
        state, issued = advance(None, NAMES, policy, clock.now, published=False), 1
        for step, published in looks:
            clock.now += step * min(ca, leaf)
            first, last = min(first, clock.now), max(last, clock.now)
            for _ in range(20):
                before, state = state, advance(state, NAMES, policy, clock.now, published=published)
                issued += before.serving != state.serving
                issued += state.following is not None and before.following != state.following
        # A successor comes after two thirds of each lifetime, and certificates have a resolution of whole seconds.
        shortest = max(1.0, min(ca, leaf) * 2 / 3 - 1)
        assert issued <= 2 + 3 * (1 + (last - first) / shortest)


def test_a_certificate_that_ends_with_its_ca_is_not_issued_repeatedly() -> None:
    policy = Policy(ca_lifetime=timedelta(days=30), lifetime=timedelta(days=90))
    state = advance(None, NAMES, policy, time.time(), published=True)
    assert advance(state, NAMES, policy, time.time(), published=True) is state


def test_a_valid_ca_renews_an_expired_certificate() -> None:
    ca = create_authority("ca", timedelta(days=30))
    old = State(ca, issue(ca, NAMES, timedelta(seconds=1)), 1.0)
    state = advance(old, NAMES, Policy(), time.time() + 2, published=True)
    assert state.authority == ca
    assert state.serving != old.serving


def test_a_foreign_ca_stays_trusted_for_a_while() -> None:
    other = create_authority("cert-manager", timedelta(days=30)).certificate
    state = advance(None, NAMES, Policy(), 0.0, published=False, trusted=other)
    assert other in state.bundle
    assert State.from_secret(state.to_secret()) == state


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"CA_LIFETIME": "30d"}, "ASYA_CERTS_LIFETIME .certs.lifetime.: must not be longer than certs.caLifetime"),
        ({"LIFETIME": "2m"}, "certs.lifetime.: must be at least 3 times certs.overlap"),
        ({"CA_LIFETIME": "5m", "LIFETIME": "5m"}, "certs.caLifetime.: must be at least 9 times certs.overlap"),
        ({"CA_LIFETIME": "99999999d"}, "CA_LIFETIME: must be at most 36500d"),
        ({"SECRET": "a", "AUTHORITY_SECRET": "a"}, "certs.authoritySecretName.: must differ from certs.secretName"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, str], named: str) -> None:
    env = {f"ASYA_CERTS_{name}": value for name, value in values.items()}
    with pytest.raises(InvalidCertificateSetting, match=named):
        from_environment({"ASYA_CERTS_MODE": "self", **env}, "ns")


@pytest.fixture(scope="module")
def state() -> State:
    ca = create_authority("ca", timedelta(days=30))
    return State(ca, issue(ca, NAMES, timedelta(days=3)), 1.0, create_authority("next", timedelta(days=30)))


def test_a_secret_contains_the_whole_state(state: State) -> None:
    assert State.from_secret(state.to_secret()) == state
    assert base64.b64decode(state.to_secret()["ca.crt"]) == state.bundle


@pytest.mark.parametrize("part", ["tls.crt", "tls.key", "authority.crt", "authority.key", "since", "following.key"])
@pytest.mark.parametrize("damage", [None, "", "!!!", base64.b64encode(b"-----BEGIN CERTIFICATE-----").decode()])
def test_damage_of_any_part_is_noticed(state: State, part: str, damage: str | None) -> None:
    data = state.to_secret()
    if damage is None:
        del data[part]
    else:
        data[part] = damage
    assert State.from_secret(data) is None


def test_parts_that_do_not_fit_together_are_damage(state: State) -> None:
    other = create_authority("other", timedelta(days=3))
    assert State.from_secret(replace(state, authority=other).to_secret()) is None
    mixed = Pair(state.serving.certificate, other.key)
    assert State.from_secret(replace(state, serving=mixed).to_secret()) is None


def test_a_new_ca_is_not_used_before_it_is_published(state: State) -> None:
    policy = Policy(overlap=timedelta(seconds=1))
    assert advance(state, NAMES, policy, 100.0, published=False) is state


def test_other_names_cause_another_certificate() -> None:
    first = advance(None, NAMES, Policy(), 0.0, published=True)
    second = advance(first, ["other.ns.svc"], Policy(), 0.0, published=True)
    assert second.authority == first.authority
    assert second.serving != first.serving


def test_settings() -> None:
    read = from_environment({"ASYA_CERTS_MODE": "self", "ASYA_CERTS_LIFETIME": "12h"}, "ns")
    assert (read.mode, read.names) == ("self", ["asya-operator-webhook.ns.svc"])
    assert read.policy.lifetime == timedelta(hours=12)


@pytest.mark.parametrize(("name", "value"), [("ASYA_CERTS_MODE", "magic"), ("ASYA_CERTS_OVERLAP", "5 minutes")])
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    with pytest.raises(InvalidCertificateSetting, match=name):
        from_environment({name: value}, "ns")
