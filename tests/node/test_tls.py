"""A RabbitMQ that accepts only TLS, with its own CA, a virtual host, and client certificates if it requires them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import trustme

from kube.objects import Object
from tests.harness.clusters import wait_for
from tests.node.broker import USER, Broker
from tests.node.kubectl import apply
from tests.node.site import Site
from tests.node.test_scaling import Replicas, up_and_down

pytestmark = pytest.mark.usefixtures("keda")
Report = Callable[[object], None]
VHOST = "orders/eu"
AMQPS, HTTPS = 5671, 15671
CONFIGURATION = f"""
listeners.ssl.default = {AMQPS}
ssl_options.cacertfile = /tls/ca.crt
ssl_options.certfile = /tls/tls.crt
ssl_options.keyfile = /tls/tls.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
ssl_cert_login_from = common_name
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = EXTERNAL
management.tcp.port = 15672
management.ssl.port = {HTTPS}
management.ssl.cacertfile = /tls/ca.crt
management.ssl.certfile = /tls/tls.crt
management.ssl.keyfile = /tls/tls.key
"""
PLUGINS = "[rabbitmq_management,rabbitmq_auth_mechanism_ssl]."


@dataclass
class Secured:
    """The broker, and the certificates that its clients need."""

    broker: Broker
    ca: bytes
    certificate: bytes
    key: bytes


@pytest.fixture(scope="module")
def secured(worker: str) -> Iterator[Secured]:
    """A broker whose AMQP uses TLS with client certificates. The tests themselves use the plain port."""
    namespace, authority = f"{worker}-tls", trustme.CA()
    served = authority.issue_cert(f"rabbitmq.{namespace}")
    client = authority.issue_cert(f"{USER}.example", common_name=USER)
    ca = authority.cert_pem.bytes()

    def adjust(objects: list[Any]) -> None:
        for obj in objects:
            if obj["kind"] == "ConfigMap":
                definitions = json.loads(obj["data"]["definitions.json"])
                definitions["vhosts"].append({"name": VHOST})
                definitions["permissions"].append({**definitions["permissions"][0], "vhost": VHOST})
                obj["data"]["definitions.json"] = json.dumps(definitions)
                obj["data"]["rabbitmq.conf"] += CONFIGURATION
                obj["data"]["enabled_plugins"] = PLUGINS
            elif obj["kind"] == "Deployment":
                pod = obj["spec"]["template"]["spec"]
                pod["volumes"].append({"name": "tls", "secret": {"secretName": "tls", "defaultMode": 0o444}})
                pod["containers"][0]["volumeMounts"] += [
                    {"name": "tls", "mountPath": "/tls"},
                    {"name": "config", "mountPath": "/etc/rabbitmq/enabled_plugins", "subPath": "enabled_plugins"},
                ]
            elif obj["kind"] == "Service":
                obj["spec"]["ports"] += [{"name": "amqps", "port": AMQPS}, {"name": "https", "port": HTTPS}]
        data = {
            "ca.crt": ca,
            "tls.crt": served.cert_chain_pems[0].bytes(),
            "tls.key": served.private_key_pem.bytes(),
        }
        objects.append(secret("tls", data, namespace))

    broker = Broker(namespace, adjust, VHOST)
    yield Secured(broker, ca, client.cert_chain_pems[0].bytes(), client.private_key_pem.bytes())
    broker.stop()


def secret(name: str, data: dict[str, bytes], namespace: str) -> Object:
    """A Secret."""
    metadata = {"name": name, "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "stringData": {key: value.decode() for key, value in data.items()},
    }


CASES = {
    "password-and-certificate": {"password": True, "management": False},
    "certificate-alone": {"password": False, "management": False},
    "management-by-https": {"password": True, "management": True},
}


@pytest.mark.parametrize("case", CASES)
def test_scaled_from_zero_over_tls(site: Site, secured: Secured, report: Report, case: str) -> None:
    data = {"ca.crt": secured.ca, "tls.crt": secured.certificate, "tls.key": secured.key}
    apply(secret("client", data, site.name))
    site.broker = secured.broker
    rabbitmq: Object = {
        "host": secured.broker.host,
        "vhost": VHOST,
        "username": USER,
        "tls": {
            "caSecretRef": {"name": "client", "key": "ca.crt"},
            "certSecretRef": {"name": "client", "key": "tls.crt"},
            "keySecretRef": {"name": "client", "key": "tls.key"},
        },
    }
    if CASES[case]["password"]:
        rabbitmq["passwordSecretRef"] = {"name": "rabbitmq", "key": "password"}
    if CASES[case]["management"]:
        rabbitmq["management"] = {"url": f"https://{secured.broker.host}:{HTTPS}"}
    obj = site.actor(
        "secured",
        transport={"type": "rabbitmq", "rabbitmq": rabbitmq},
        scaling={"enabled": True, "maxReplicas": 2, "pollingInterval": 5, "cooldownPeriod": 10},
        timeout={"processing": 10},
    )
    route = site.start(obj)
    replicas = Replicas(site, "secured")
    wait_for("zero replicas", lambda: replicas.look() == 0, timeout=120, pause=0.5)
    route.send({} for _ in range(20))
    up_and_down(route, replicas, 200)
    report(f"{route.counted}; {replicas}")
    assert not route.counted.failed
    assert not route.counted.doubled
