"""Builds the sidecar's connection to RabbitMQ: its variables and, for TLS, the volume with the certificates.

Released sidecars accept a virtual host and TLS only in a URL, so this module builds the URL. Kubernetes inserts the
password. The sidecar's AMQP client reads the paths of a client certificate from the URL's query. It reads the CA from
the directories that Go trusts.
"""

from typing import Final

from crds.names import RABBITMQ_VOLUME
from crds.transport import RabbitMQ, SecretKeyRef
from kube.objects import Object

DIRECTORY: Final = "/etc/asya/rabbitmq"
CA_DIRECTORY: Final = f"{DIRECTORY}/ca"
CERTIFICATE: Final = f"{DIRECTORY}/client/tls.crt"
KEY: Final = f"{DIRECTORY}/client/tls.key"
DEFAULT_PASSWORD: Final = "guest"


def variables(rabbitmq: RabbitMQ) -> list[Object]:
    """Return the sidecar's variables for ``rabbitmq``."""
    env: list[Object] = []
    if rabbitmq.url_secret_ref is not None:
        env.append(_secret("ASYA_RABBITMQ_URL", rabbitmq.url_secret_ref))
    else:
        env += [
            {"name": "ASYA_RABBITMQ_HOST", "value": str(rabbitmq.host)},
            {"name": "ASYA_RABBITMQ_PORT", "value": rabbitmq.address.rpartition(":")[2]},
            {"name": "ASYA_RABBITMQ_USERNAME", "value": rabbitmq.username},
        ]
        if rabbitmq.password_secret_ref is not None:
            env.append(_secret("ASYA_RABBITMQ_PASSWORD", rabbitmq.password_secret_ref))
        if rabbitmq.tls is not None or rabbitmq.path != "/":
            env.append({"name": "ASYA_RABBITMQ_URL", "value": _url(rabbitmq)})
    if rabbitmq.tls is not None and rabbitmq.tls.ca_secret_ref is not None:
        env.append({"name": "SSL_CERT_DIR", "value": f"/etc/ssl/certs:{CA_DIRECTORY}"})
    return env


def volumes(rabbitmq: RabbitMQ | None) -> tuple[Object, ...]:
    """Return the pod's volume with the certificates. The tuple is empty if there are no certificates."""
    tls = rabbitmq.tls if rabbitmq is not None else None
    if tls is None:
        return ()
    files = (
        (tls.ca_secret_ref, "ca/ca.crt"),
        (tls.cert_secret_ref, "client/tls.crt"),
        (tls.key_secret_ref, "client/tls.key"),
    )
    sources = [
        {"secret": {"name": ref.name, "items": [{"key": ref.key, "path": path}]}}
        for ref, path in files
        if ref is not None
    ]
    return ({"name": RABBITMQ_VOLUME, "projected": {"sources": sources, "defaultMode": 0o444}},) if sources else ()


def mounts(rabbitmq: RabbitMQ | None) -> list[Object]:
    """Return the sidecar's mount of that volume. The list is empty if there is no volume."""
    return [{"name": v["name"], "mountPath": DIRECTORY, "readOnly": True} for v in volumes(rabbitmq)]


def _url(rabbitmq: RabbitMQ) -> str:
    """Return the broker's URL. It refers to the variable with the password, which Kubernetes expands."""
    scheme, _, host = rabbitmq.address.partition("://")
    password = DEFAULT_PASSWORD if rabbitmq.password_secret_ref is None else "$(ASYA_RABBITMQ_PASSWORD)"
    query = ""
    if rabbitmq.has_client_certificate:
        query = f"?certfile={CERTIFICATE}&keyfile={KEY}"
        query += "&auth_mechanism=external" if rabbitmq.uses_certificate else ""
    return f"{scheme}://{rabbitmq.quoted_username}:{password}@{host}{rabbitmq.path}{query}"


def _secret(name: str, ref: SecretKeyRef) -> Object:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": ref.name, "key": ref.key}}}
