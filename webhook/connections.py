"""Clients of the webhook, each up to the moment at which a whole request of its own has arrived.

Nothing here waits: TLS and HTTP go as far as the bytes that are there, and the rest is for later. So a client that
sends half of something costs a socket and a little memory, and no thread. What a request means is gunicorn's to
say; here it is only told where it ends.
"""

import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Literal

from gunicorn.http import get_parser

MAX_BODY = 8 * 1024 * 1024
"""Bytes. The API server holds an object to 1.5 MiB and sends at most two of them."""
MAX_HEAD = 64 * 1024
REQUEST_SECONDS = 5.0
"""For a handshake, for all of a request and for all of an answer. An API server waits no longer itself."""
LINGER_SECONDS = 1.0
"""For which a connection whose request was not read to its end is drained, so that its client gets the answer."""
RESERVED_FILES = 128
"""Open files that are not connections: watches, logs, metrics, threads' pipes."""
BUFFERED_BYTES = 32 * 1024 * 1024
"""Of requests that are not answered and of answers that are not taken, in one worker."""
READS = 16
"""Records that one connection has read before others have their turn."""
RECORD_BYTES = 16 * 1024

Progress = Literal["waiting", "whole", "closed"]
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,15})[ \t]*(?=\r\n)")


def request_end(data: bytearray) -> tuple[int, bool] | None:
    """Where the first request in ``data`` ends, and whether another may follow; None while its head is not whole.

    Where the end is not clear, or too far, it is the end of the head: that much is enough to refuse it.
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
    """What gunicorn takes for the client's socket: it keeps what is written."""

    def __init__(self, certificate: dict[str, Any] | None) -> None:
        self.client_certificate = certificate
        """The client's certificate, if it showed one that is trusted, as :meth:`ssl.SSLSocket.getpeercert` has it."""
        self.parts: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        """Keep ``data``."""
        self.parts.append(bytes(data))

    send = sendall

    def setblocking(self, flag: bool) -> None:
        """Nothing here blocks."""

    def shutdown(self, how: int) -> None:
        """The connection is closed by who owns it."""

    def close(self) -> None:
        """The connection is closed by who owns it."""

    def settimeout(self, seconds: float | None) -> None:
        """Nothing here waits."""

    def recv(self, size: int) -> bytes:
        """Nothing more comes."""
        return b""


class Connection:
    """One client. The attributes without an underscore that gunicorn's worker reads are called as it calls them."""

    is_http2 = False
    initialized = True

    def __init__(
        self, sock: socket.socket, client: tuple[Any, ...], server: Any, config: Any, context: Callable[[], Any]
    ) -> None:
        sock.setblocking(False)
        self._raw = sock
        self.client, self.server = client, server
        self.parser: Any = None
        self.sock = Outbox(None)
        self.deadline = time.monotonic() + REQUEST_SECONDS
        self.is_proven = False
        """Whether a request of its own was answered."""
        self.is_busy = False
        """Whether a thread has it, or is about to."""
        self.is_registered = False
        self.wants_to_write = False
        self.counted = 0
        """Of :attr:`held`, what is part of the worker's sum."""
        self._context = context
        self._tls: ssl.SSLSocket | None = None
        self._is_shaken, self._is_closing, self._is_draining = False, False, False
        self._input, self._output, self._in_work = bytearray(), bytearray(), 0
        self._config, self._may_go_on = config, True

    @property
    def peer(self) -> str:
        """The client's address."""
        return str(self.client[0]) if self.client else ""

    @property
    def held(self) -> int:
        """Bytes that it holds in memory."""
        return len(self._input) + len(self._output) + self._in_work

    def init(self) -> None:
        """All is ready before a thread has it."""

    def advance(self, keepalive: float) -> Progress:
        """Go as far as it goes without waiting."""
        try:
            return self._advance(keepalive)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as more:
            self.wants_to_write = isinstance(more, ssl.SSLWantWriteError)
            return "waiting"
        except (OSError, ValueError):
            # No TLS, a certificate that is refused, or a client that has gone: its own affair, and often a probe.
            return "closed"

    def _advance(self, keepalive: float) -> Progress:
        tls = self._shake(keepalive)
        if self._output:
            while self._output:
                del self._output[: tls.send(self._output[:RECORD_BYTES])]
            self._wait_for(REQUEST_SECONDS if self._input else keepalive)
            if self._is_closing:
                # Closed while the client still sends, it would not get its answer.
                self._is_draining = True
                self._input.clear()
                self._wait_for(LINGER_SECONDS)
                tls.shutdown(socket.SHUT_WR)
        if self._is_draining:
            return self._drain(tls)
        return "closed" if self._is_closing else self._read(tls)

    def _shake(self, keepalive: float) -> ssl.SSLSocket:
        if self._tls is None:
            self._tls = self._context().wrap_socket(self._raw, server_side=True, do_handshake_on_connect=False)
        if not self._is_shaken:
            self._tls.do_handshake()
            self._is_shaken = True
            # An API server opens some ahead of need, and closes those that it does not need after 90 s.
            self._wait_for(keepalive)
        self.wants_to_write = False
        return self._tls

    def _read(self, tls: ssl.SSLSocket) -> Progress:
        for n in range(1 << 30):
            if self._take(tls):
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
        for _ in range(READS):
            if not tls.recv(RECORD_BYTES):
                return "closed"
        return "waiting"

    def _wait_for(self, seconds: float) -> None:
        self.deadline = time.monotonic() + seconds

    def _take(self, tls: ssl.SSLSocket) -> bool:
        """Put the first request, if it is whole, where gunicorn reads it."""
        end = request_end(self._input) if self._input else None
        if end is None or end[0] > len(self._input):
            return False
        self._in_work, self._may_go_on = end
        request = bytes(self._input[: self._in_work])
        del self._input[: self._in_work]
        self.sock = Outbox(tls.getpeercert())
        self.parser = get_parser(self._config, [request], self.client)
        self.is_busy = True
        return True

    def answered(self, keep: bool) -> None:
        """A thread has answered; ``keep`` if the client may go on. :meth:`advance` sends it."""
        self.is_busy, self.parser, self._in_work = False, None, 0
        self._is_closing = not (keep and self._may_go_on)
        self.is_proven = self.is_proven or not self._is_closing
        self._output += b"".join(self.sock.parts)
        self.sock = Outbox(None)
        self._wait_for(REQUEST_SECONDS)

    def fileno(self) -> int:
        """The socket's number, by which a poller knows it."""
        return (self._tls or self._raw).fileno()

    def close(self) -> None:
        """Close it."""
        (self._tls or self._raw).close()


class Crowd:
    """All connections of a worker, and which of them makes room for another.

    That is the one of the same address that waits for its client and has had no answer for the longest, and one that
    never had any before all others. So whoever opens many shuts out itself.
    """

    def __init__(self, per_peer: int, total: int) -> None:
        self._per_peer, self._total = per_peer, total
        self._peers: dict[str, tuple[dict[Connection, None], dict[Connection, None]]] = {}
        """By address: those that had no answer yet, and those that had; of both, the first one makes room first."""
        self._busy: dict[str, int] = {}
        self.count = 0

    def __iter__(self) -> Iterator[Connection]:
        """Those that wait for their clients."""
        for new, proven in self._peers.values():
            yield from new
            yield from proven

    def admit(self, connection: Connection) -> Connection | None:
        """Add it. The one that has to make room for it, which may be itself."""
        self.count += 1
        self.waits(connection)
        if self._size(connection.peer) > self._per_peer:
            return self._first(connection.peer, connection)
        return self._first(max(self._peers, key=self._size), connection) if self.count > self._total else None

    def waits(self, connection: Connection) -> None:
        """It waits for its client from now on."""
        groups = self._peers.setdefault(connection.peer, ({}, {}))
        groups[connection.is_proven][connection] = None

    def works(self, connection: Connection) -> None:
        """A thread has it, so that it makes room for nobody."""
        self._forget(connection)
        self._busy[connection.peer] = self._busy.get(connection.peer, 0) + 1

    def worked(self, connection: Connection) -> None:
        """The thread is done with it."""
        left = self._busy.pop(connection.peer) - 1
        if left:
            self._busy[connection.peer] = left
        self.waits(connection)

    def leaves(self, connection: Connection) -> None:
        """It is closed."""
        self._forget(connection)
        self.count -= 1

    def _forget(self, connection: Connection) -> None:
        new, proven = self._peers.get(connection.peer, ({}, {}))
        new.pop(connection, None)
        proven.pop(connection, None)
        if not new and not proven:
            self._peers.pop(connection.peer, None)

    def _size(self, peer: str) -> int:
        new, proven = self._peers.get(peer, ({}, {}))
        return len(new) + len(proven) + self._busy.get(peer, 0)

    def _first(self, peer: str, newest: Connection) -> Connection:
        """The first of ``peer`` to make room; ``newest`` only if there is no other."""
        new, proven = self._peers[peer]
        return next((c for c in (*islice(new, 2), *islice(proven, 1)) if c is not newest), newest)
