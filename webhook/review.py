"""Reads a review, and refuses every request that an API server does not send, before it looks up any actor.

Otherwise every pod that reaches the webhook could ask for an actor's sidecar, with the values of its environment. A
client can forge the shape of a review, but not a certificate. The setting ``ASYA_WEBHOOK_CLIENT_CA`` names the
authority of the certificates that clients must show.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509

from injection.settings import InvalidSetting
from kube.objects import Object

OPERATIONS = ("CREATE", "UPDATE", "DELETE", "CONNECT")
_TEXT, _OBJECT = (str, type(None)), (dict, type(None))
REQUEST: dict[str, tuple[type, ...]] = {
    "operation": (str,),
    "namespace": _TEXT,
    "name": _TEXT,
    "resource": (dict,),
    "subResource": _TEXT,
    "userInfo": (dict,),
    "object": _OBJECT,
}
"""The fields of a review's request that the webhook reads, and their types."""
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class BadRequest(Exception):
    """The body is not an AdmissionReview. The message says why."""


class Stranger(Exception):
    """The client does not prove that it is an API server. The message says what is missing."""


@dataclass(frozen=True)
class Clients:
    """The clients that may ask for a decision: those with a certificate of ``authority`` for one of ``names``."""

    authority: str = ""
    """Certificates as PEM. If empty, clients need no certificate."""
    names: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> "Clients":
        """Return the clients that the variables ``ASYA_WEBHOOK_CLIENT_*`` name.

        Raises:
            InvalidSetting: if a variable is invalid.
        """
        authority = env.get("ASYA_WEBHOOK_CLIENT_CA", "").strip()
        names = tuple(n for n in env.get("ASYA_WEBHOOK_CLIENT_NAMES", "").split(",") if n)
        if names and not authority:
            raise InvalidSetting("ASYA_WEBHOOK_CLIENT_NAMES (webhook.clientNames): needs webhook.clientCA beside it")
        if authority:
            try:
                x509.load_pem_x509_certificates(authority.encode())
            except ValueError as error:
                raise InvalidSetting(
                    f"ASYA_WEBHOOK_CLIENT_CA (webhook.clientCA): must be certificates as PEM: {error}"
                ) from None
        return cls(authority, names)

    def check(self, certificate: Mapping[str, Any] | None) -> None:
        """Check a client's verified certificate, as :meth:`ssl.SSLSocket.getpeercert` returns it.

        Raises:
            Stranger: if the client has no certificate, or its certificate has another name.
        """
        if not self.authority:
            return
        if not certificate:
            raise Stranger("a client certificate is required (webhook.clientCA)")
        subject = [pair for part in certificate.get("subject", ()) for pair in part]
        common_names = {value for key, value in subject if key == "commonName"}
        common_names |= {value for _, value in certificate.get("subjectAltName", ())}
        if self.names and not common_names & set(self.names):
            raise Stranger(f"the client certificate must name one of {', '.join(self.names)} (webhook.clientNames)")


def request_of(body: Any) -> Object:
    """Return the request of a review.

    Raises:
        BadRequest: if an API server would not send it.
    """
    review: Any = body.get("request") if isinstance(body, dict) else None
    if not isinstance(review, dict) or body.get("apiVersion") != "admission.k8s.io/v1":
        raise BadRequest("body: must be an AdmissionReview of admission.k8s.io/v1 with a request")
    if body.get("kind") != "AdmissionReview":
        raise BadRequest("kind: must be AdmissionReview")
    uid = review.get("uid")
    if not isinstance(uid, str) or not _UUID.fullmatch(uid):
        raise BadRequest("request.uid: must be a UUID")
    for field, kinds in REQUEST.items():
        if not isinstance(review.get(field), kinds):
            raise BadRequest(f"request.{field}: must be {'an object' if dict in kinds else 'a string'}")
    if review["operation"] not in OPERATIONS:
        raise BadRequest(f"request.operation: must be one of {', '.join(OPERATIONS)}")
    username = review["userInfo"].get("username")
    if not isinstance(username, str) or not username:
        raise BadRequest("request.userInfo.username: required")
    if not review.get("namespace"):
        raise BadRequest("request.namespace: required, as every object that the webhook reviews is in a namespace")
    metadata = (review.get("object") or {}).get("metadata")
    for field in ("namespace", "name"):
        value = metadata.get(field) if isinstance(metadata, dict) else None
        if value and review.get(field) and value != review[field]:
            raise BadRequest(f"request.{field}: must be that of the object")
    return review
