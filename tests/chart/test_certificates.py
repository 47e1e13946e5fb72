"""The chart's section ``certs``: refused combinations, and the objects for cert-manager."""

from typing import Any

import pytest

from tests.harness.helm import Helm, HelmError

Object = dict[str, Any]


def rendered(values: Object) -> dict[str, Object]:
    """Objects by kind and name."""
    return {f"{o['kind']}/{o['metadata']['name']}": o for o in Helm().template(values) if o}


def managed(**lifetimes: Any) -> Object:
    """``certs`` for cert-manager, with these lifetimes."""
    return {"mode": "cert-manager", "certManager": lifetimes}


@pytest.mark.parametrize(
    ("certs", "message"),
    [
        ({"caLifetime": "30d"}, "certs.lifetime: must not be longer than certs.caLifetime, which is 30d; found 90d"),
        ({"lifetime": "2m"}, "certs.lifetime: must be at least 3 times certs.overlap, which is 60s; found 2m"),
        ({"caLifetime": "5m", "lifetime": "5m"}, "certs.caLifetime: must be at least 9 times certs.overlap"),
        ({"caLifetime": "36501d"}, "certs.caLifetime: must be at most 36500d"),
        (
            {"secretName": "a", "authoritySecretName": "a"},
            "certs.authoritySecretName: must differ from certs.secretName",
        ),
        (
            managed(renewBefore="8760h"),
            "certs.certManager.renewBefore: must be shorter than certs.certManager.duration, which is 8760h",
        ),
        (
            managed(caDuration="2160h"),
            "certs.certManager.caRenewBefore: must be shorter than certs.certManager.caDuration, which is 2160h",
        ),
        (
            managed(caDuration="2160h", caRenewBefore="720h"),
            "certs.certManager.caRenewBefore: must be longer than 5840h, .*; found 720h",
        ),
    ],
)
def test_impossible_lifetimes_are_refused(certs: Object, message: str) -> None:
    with pytest.raises(HelmError, match=message):
        Helm().template({"certs": certs})


@pytest.mark.parametrize(
    "certs",
    [
        managed(caDuration="2160h", caRenewBefore="720h", duration="720h30m", renewBefore="240h"),
        managed(caDuration="10h", issuerRef={"name": "ours"}),
    ],
)
def test_short_lifetimes_of_cert_manager_are_accepted(certs: Object) -> None:
    """The chart does not check the lifetimes of a user's own CA."""
    assert rendered({"certs": certs})["Certificate/asya-operator-webhook"]


def test_each_mode_of_certificates_has_its_own_secret() -> None:
    def secret(mode: str) -> str:
        webhook = rendered({"certs": {"mode": mode}})["Deployment/asya-operator-webhook"]
        env = webhook["spec"]["template"]["spec"]["containers"][0]["env"]
        return str(next(e["value"] for e in env if e["name"] == "ASYA_CERTS_SECRET"))

    assert secret("self") == "asya-operator-webhook-cert"
    assert secret("cert-manager") == "asya-operator-webhook-cert-manager"


def test_cert_manager_signs_with_a_long_lived_ca() -> None:
    result = rendered({"certs": {"mode": "cert-manager"}})
    leaf = result["Certificate/asya-operator-webhook"]["spec"]
    authority = result["Certificate/asya-operator-webhook-ca"]["spec"]
    issuer = result[f"Issuer/{leaf['issuerRef']['name']}"]["spec"]
    assert issuer == {"ca": {"secretName": authority["secretName"]}}
    assert authority["isCA"] is True
    assert (authority["duration"], leaf["duration"]) == ("87600h", "8760h")
    assert result[f"Issuer/{authority['issuerRef']['name']}"]["spec"] == {"selfSigned": {}}


def test_a_users_own_issuer_needs_no_ca() -> None:
    issuer = {"name": "ours", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    result = rendered({"certs": {"mode": "cert-manager", "certManager": {"issuerRef": issuer}}})
    assert result["Certificate/asya-operator-webhook"]["spec"]["issuerRef"] == issuer
    assert not [name for name in result if name.startswith("Issuer/")]


@pytest.mark.parametrize(
    ("url", "names", "addresses"),
    [
        ("https://192.0.2.1:8443", [], ["192.0.2.1"]),
        ("https://[2001:db8::1]:8443/x", [], ["2001:db8::1"]),
        ("https://hook.example.com", ["hook.example.com"], None),
    ],
)
def test_a_url_gives_a_dns_name_or_an_ip_address(url: str, names: list[str], addresses: list[str] | None) -> None:
    own = "asya-operator-webhook.asya-system.svc"
    result = rendered({"certs": {"mode": "cert-manager"}, "webhook": {"url": url}})
    leaf = result["Certificate/asya-operator-webhook"]["spec"]
    assert leaf["dnsNames"] == [own, *names]
    assert leaf.get("ipAddresses") == addresses
    controller = rendered({"webhook": {"url": url}})["Deployment/asya-operator"]
    env = controller["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "ASYA_CERTS_NAMES", "value": ",".join([own, *names, *(addresses or [])])} in env
