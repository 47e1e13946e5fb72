"""The certificate that a worker serves: from files, or from a Secret that is watched through the API.

A mounted Secret reaches a pod minutes late; a watch brings it in moments. Each new connection asks for
the context of the moment, so a new certificate needs no restart and breaks no connection.
"""

import base64
import ssl
import tempfile
from collections.abc import Callable
from datetime import datetime

import structlog
from cryptography import x509

from kube.client import Client
from kube.informer import Informer
from kube.objects import Object
from kube.resources import SECRETS

log = structlog.get_logger(__name__)


class NoCertificate(ssl.SSLError):
    """No certificate has been loaded yet. A failure of TLS for the connection that asks, and no more."""

    def __init__(self) -> None:
        super().__init__(ssl.SSL_ERROR_SSL, "no certificate has been loaded yet")


def make_context(certificate: bytes, key: bytes, client_authority: str = "") -> ssl.SSLContext:
    """A server context, TLS 1.2 at least. A client may show a certificate of ``client_authority`` and of no other.

    Raises:
        ssl.SSLError, ValueError: if they do not belong together or are none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if client_authority:
        # A probe of the kubelet's has none, so whether there must be one depends on what is asked.
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=client_authority)
    with tempfile.NamedTemporaryFile() as chain:
        # OpenSSL reads files only; this one is readable by us alone and gone in a moment.
        chain.write(key + b"\n" + certificate)
        chain.flush()
        context.load_cert_chain(chain.name)
    return context


class Certificate:
    """The current serving certificate; ``on_change`` is called with each new one's start and end of validity."""

    def __init__(
        self,
        on_change: Callable[[datetime, datetime], None] = lambda starts, expires: None,
        client_authority: str = "",
    ) -> None:
        self._on_change, self._client_authority = on_change, client_authority
        self._context: ssl.SSLContext | None = None
        self._loaded: tuple[bytes, bytes] | None = None

    @property
    def loaded(self) -> bool:
        """Whether there is one."""
        return self._context is not None

    def context(self) -> ssl.SSLContext:
        """The context for a new connection.

        Raises:
            NoCertificate: if there is none yet.
        """
        if self._context is None:
            raise NoCertificate
        return self._context

    def load(self, certificate: bytes, key: bytes, origin: str) -> None:
        """Serve this one from now on; if it cannot be served, go on with the last one and say so."""
        if self._loaded == (certificate, key):
            return
        try:
            context = make_context(certificate, key, self._client_authority)
            parsed = x509.load_pem_x509_certificate(certificate)
        except (ssl.SSLError, ValueError) as error:
            log.error("certificate_refused", origin=origin, error=str(error))
            return
        self._context, self._loaded = context, (certificate, key)
        expires = parsed.not_valid_after_utc
        self._on_change(parsed.not_valid_before_utc, expires)
        log.info("certificate_loaded", origin=origin, expires=expires.isoformat())

    def watch(self, client: Client, namespace: str, name: str) -> Informer:
        """Load whatever the Secret holds, now and from now on."""

        def changed(secret: Object, deleted: bool) -> None:
            data = secret.get("data") or {}
            if not deleted and "tls.crt" in data and "tls.key" in data:
                try:
                    certificate, key = (base64.b64decode(data[part], validate=True) for part in ("tls.crt", "tls.key"))
                except ValueError as error:
                    log.error("certificate_refused", origin=f"Secret {namespace}/{name}", error=str(error))
                    return
                self.load(certificate, key, f"Secret {namespace}/{name}")

        informer = Informer(client, SECRETS, changed, field_selector=f"metadata.name={name}", namespace=namespace)
        informer.start()
        return informer
