"""A TLS client of the webhook, from the connection's first byte to a whole request, without any call that blocks.

TLS and HTTP process the bytes that have arrived and keep their state for the next call. So a client that sends half of
a request costs a socket and a little memory, but no thread. This module only finds where a request ends;
:mod:`webhook.direct` or gunicorn parses it.
"""

import contextlib
import re
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, Literal

from gunicorn.http import get_parser

MAX_BODY = 8 * 1024 * 1024
"""Bytes. The API server accepts objects up to 1.5 MiB, and an AdmissionReview holds at most two of them."""
MAX_HEAD = 64 * 1024
REQUEST_SECONDS = 5.0
"""The limit for a handshake, for receiving a whole request, and for sending a whole answer."""
LINGER_SECONDS = 1.0
"""Seconds for which the worker reads on after an early refusal. So the client receives the refusal."""
READS = 16
"""TLS records that one connection reads before the other connections have their turn."""
RECORD_BYTES = 16 * 1024

Progress = Literal["waiting", "whole", "closed"]
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*(?=\r\n)")


def request_end(data: bytearray) -> tuple[int, bool] | None:
    """The end of the first request in ``data``, and whether the connection can serve another one.

    Returns None while the head is incomplete. If the length of the body is unclear or above the limit, the request
    ends with its head: that is enough to refuse it.
    """
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
    if end < 0:
        return None if len(data) < MAX_HEAD else (len(data), False)
    end += 4
    head = bytes(data[: end - 2]).lower()
    lengths = _LENGTH.findall(head)
    if b"\r\ntransfer-encoding" in head or head.count(b"\r\ncontent-length") != len(lengths) or len(lengths) > 1:
        return end, False
    length = int(lengths[0]) if lengths else 0
    return (end, False) if length > MAX_BODY else (end + length, True)


class Outbox:
    """Stands in for the client's socket in gunicorn, and keeps what gunicorn writes."""

    def __init__(self, certificate: dict[str, Any] | None) -> None:
        self.client_certificate = certificate
        """The client's verified certificate, as :meth:`ssl.SSLSocket.getpeercert` returns it; None without one."""
        self.parts: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        """Keep ``data``."""
        self.parts.append(bytes(data))

    send = sendall

    def setblocking(self, flag: bool) -> None:
        """Do nothing: no call here blocks."""

    def shutdown(self, how: int) -> None:
        """Do nothing: the worker closes the connection."""

    def close(self) -> None:
        """Do nothing: the worker closes the connection."""

    def settimeout(self, seconds: float | None) -> None:
        """Do nothing: no call here blocks."""

    def gettimeout(self) -> float:
        """Return zero, as a socket that does not block. gunicorn asks before it writes an error."""
        return 0.0

    def recv(self, size: int) -> bytes:
        """Return nothing: the whole request has been read."""
        return b""


class Connection:
    """One client. gunicorn's worker reads the attributes ``is_http2``, ``initialized``, ``client``, ``server``,
    ``sock`` and ``parser``, so their names are gunicorn's."""

    is_http2 = False
    initialized = True

    def __init__(
        self, sock: socket.socket, client: tuple[Any, ...], server: Any, config: Any, context: Callable[[], Any]
    ) -> None:
        sock.setblocking(False)
        self._raw = sock
        self.client, self.server = client, server
        self.peer = str(client[0]) if client else ""
        """The client's address."""
        self.parser: Any = None
        self.sock = Outbox(None)
        self.deadline = time.monotonic() + REQUEST_SECONDS
        self.is_proven = False
        """Whether a request of this connection was answered."""
        self.is_busy = False
        """Whether a thread answers its request, or will do so next."""
        self.is_registered, self.events = False, 0
        """Whether the poller knows the connection, and the events that the poller reports."""
        self.wants_to_write = False
        self.counted = 0
        """The part of :attr:`held` that is in the worker's sum."""
        self.request = b""
        """The request to answer, whole."""
        self.may_go_on = True
        """Whether the end of :attr:`request` is clear, so that another request can follow."""
        self.certificate: dict[str, Any] | None = None
        self._context = context
        self._tls: ssl.SSLSocket | None = None
        self._is_shaken, self._is_closing, self._is_draining = False, False, False
        self._input, self._output = bytearray(), bytearray()
        self._config = config

    @property
    def held(self) -> int:
        """Bytes that the connection holds in memory."""
        return len(self._input) + len(self._output) + len(self.request)

    def init(self) -> None:
        """Do nothing: the connection is ready before a thread takes it."""

    def advance(self, keepalive: float) -> Progress:
        """Send and receive as much as possible without blocking.

        Args:
            keepalive: seconds that the connection may be idle between two requests.

        Returns:
            ``whole`` if :attr:`request` can be answered, ``waiting`` if the client must send or receive first, and
            ``closed`` if the worker must close the connection.
        """
        try:
            return self._advance(keepalive)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as wanted:
            self.wants_to_write = isinstance(wanted, ssl.SSLWantWriteError)
            return "waiting"
        except (OSError, ValueError):
            # No TLS, a refused certificate, or a client that has gone. Often it is a probe, so nothing is logged.
            return "closed"

    def _advance(self, keepalive: float) -> Progress:
        if self.request:
            return "whole"
        tls = self._tls if self._tls is not None and self._is_shaken else self._shake(keepalive)
        self.wants_to_write = False
        if self._output:
            self._send(tls, keepalive)
            if not self._is_draining and not self._input and not self._is_closing and not tls.pending():
                return "waiting"  # the usual case: the next request arrives later
        if self._is_draining:
            return self._drain(tls)
        return "closed" if self._is_closing else self._read(tls)

    def _send(self, tls: ssl.SSLSocket, keepalive: float) -> None:
        while self._output:
            del self._output[: tls.send(self._output[:RECORD_BYTES])]
        self._wait_for(REQUEST_SECONDS if self._input else keepalive)
        if self._is_closing:
            # If the socket closed while the client still sends, the client would not receive the answer.
            self._is_draining = True
            self._input.clear()
            self._wait_for(LINGER_SECONDS)
            tls.shutdown(socket.SHUT_WR)

    def _shake(self, keepalive: float) -> ssl.SSLSocket:
        if self._tls is None:
            self._tls = self._context().wrap_socket(self._raw, server_side=True, do_handshake_on_connect=False)
        self._tls.do_handshake()
        self._is_shaken = True
        self.certificate = self._tls.getpeercert()
        # An API server opens connections ahead of need, and closes unused ones after 90 s.
        self._wait_for(keepalive)
        return self._tls

    def _read(self, tls: ssl.SSLSocket) -> Progress:
        for n in range(1 << 30):
            if self._take():
                return "whole"
            if n >= READS and not tls.pending():
                return "waiting"
            part = tls.recv(RECORD_BYTES)
            if not part:
                return "closed"
            if not self._input:
                self._wait_for(REQUEST_SECONDS)
            self._input += part
        return "waiting"

    def _drain(self, tls: ssl.SSLSocket) -> Progress:
        with contextlib.suppress(BlockingIOError):  # shutdown has ended TLS, so the socket itself reports no bytes
            for _ in range(READS):
                if not tls.recv(RECORD_BYTES):
                    return "closed"
        return "waiting"

    def _wait_for(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds

    def _take(self) -> bool:
        """Move the first request of the input to :attr:`request`, if it is whole."""
        end = request_end(self._input) if self._input else None
        if end is None or end[0] > len(self._input):
            return False
        self.request, self.may_go_on = bytes(self._input[: end[0]]), end[1]
        del self._input[: end[0]]
        return True

    def hand_over(self) -> None:
        """Prepare :attr:`request` for gunicorn, which answers it in a thread."""
        self.sock = Outbox(self.certificate)
        self.parser = get_parser(self._config, [self.request], self.client)
        self.is_busy = True

    def take_back(self, keep: bool) -> None:
        """gunicorn has answered; ``keep`` says whether the connection may go on. :meth:`advance` sends the answer."""
        self.is_busy, self.parser = False, None
        parts, self.sock = self.sock.parts, Outbox(None)
        self.reply(b"".join(parts), keep)

    def reply(self, answer: bytes, keep: bool) -> None:
        """Answer :attr:`request` with the bytes of a whole HTTP answer. :meth:`advance` sends them."""
        self.request = b""
        self._is_closing = not (keep and self.may_go_on)
        self.is_proven = self.is_proven or not self._is_closing
        self._output += answer
        self._wait_for(REQUEST_SECONDS)

    def fileno(self) -> int:
        """The socket's file descriptor, for the poller."""
        return (self._tls or self._raw).fileno()

    def close(self) -> None:
        """Close the socket."""
        (self._tls or self._raw).close()
