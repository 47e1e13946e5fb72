"""Reads a review, and refuses what no API server sends, before anything of an actor is looked up for it.

Who can reach the webhook could otherwise ask for any actor's sidecar, environment included. A shape can be forged; what
cannot is a client certificate, which is asked for where the setting ``ASYA_WEBHOOK_CLIENT_CA`` gives its authority.
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
"""What a review's request consists of, as far as it is read, and of which type."""
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class BadRequest(Exception):
    """A body that is no AdmissionReview; the message says why."""


class Stranger(Exception):
    """A client that does not show that it is an API server; the message says what is missing."""


@dataclass(frozen=True)
class Clients:
    """Who may ask for a decision: who shows a certificate of ``authority``, with one of ``names`` if there are any."""

    authority: str = ""
    """PEM; nobody needs a certificate if empty."""
    names: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> "Clients":
        """As ``ASYA_WEBHOOK_CLIENT_*`` say.

        Raises:
            InvalidSetting: if they cannot be used.
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
        """Refuse a client by its certificate, given as :meth:`ssl.SSLSocket.getpeercert` gives it once it is verified.

        Raises:
            Stranger: if there is none, or it bears another name.
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
    """The request of a review.

    Raises:
        BadRequest: if it is not what an API server sends.
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
        raise BadRequest("request.namespace: required, as all that is asked about is in a namespace")
    metadata = (review.get("object") or {}).get("metadata")
    for field in ("namespace", "name"):
        value = metadata.get(field) if isinstance(metadata, dict) else None
        if value and review.get(field) and value != review[field]:
            raise BadRequest(f"request.{field}: must be that of the object")
    return review
