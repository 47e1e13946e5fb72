"""Loads the certificate that a worker serves, from files or from a watched Secret.

A change of a Secret reaches a mounted volume after minutes, but a watch after moments. Each new connection uses the
current context, so a new certificate needs no restart and interrupts no connection.
"""

import base64
import ssl
import tempfile
from collections.abc import Callable
from datetime import datetime

from cryptography import x509

from kube.client import Client
from kube.informer import Informer
from kube.objects import Object
from kube.resources import SECRETS
from telemetry.logs import log


class NoCertificate(ssl.SSLError):
    """No certificate is loaded yet. It is an SSLError, so that it fails only the current connection."""

    def __init__(self) -> None:
        super().__init__(ssl.SSL_ERROR_SSL, "no certificate is loaded yet")


def make_context(certificate: bytes, key: bytes, client_authority: str = "") -> ssl.SSLContext:
    """Return a server context for TLS 1.2 and newer.

    If ``client_authority`` is set, a client may send a certificate, which this CA must have signed.

    Raises:
        ssl.SSLError, ValueError: certificate or key is invalid, or they do not match.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if client_authority:
        # The kubelet's probes send no certificate, so the worker decides per request whether it requires one.
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=client_authority)
    with tempfile.NamedTemporaryFile() as chain:
        # OpenSSL reads only files. Only this process can read this file, and it is deleted at once.
        chain.write(key + b"\n" + certificate)
        chain.flush()
        context.load_cert_chain(chain.name)
    return context


class Certificate:
    """The current serving certificate. It calls ``on_change`` with start and expiry of each new certificate."""

    def __init__(
        self,
        on_change: Callable[[datetime, datetime], None] = lambda starts, expires: None,
        client_authority: str = "",
    ) -> None:
        self._on_change, self._client_authority = on_change, client_authority
        self._context: ssl.SSLContext | None = None
        self._loaded: tuple[bytes, bytes] | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether a certificate is loaded."""
        return self._context is not None

    def context(self) -> ssl.SSLContext:
        """Return the context for a new connection.

        Raises:
            NoCertificate: no certificate is loaded yet.
        """
        if self._context is None:
            raise NoCertificate
        return self._context

    def load(self, certificate: bytes, key: bytes, origin: str) -> None:
        """Serve this certificate from now on. If it is invalid, log an error and keep the last certificate."""
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
        """Watch a Secret and load its certificate now and after each change. Return the started informer."""

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
