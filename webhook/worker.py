"""gunicorn's threaded worker, kept from three ways in which one client can hold up the others.

A request that arrives in part would keep its thread for as long as its client likes: here the whole of it,
TLS handshake included, has a time limit. A connection that is opened ahead of need, as an API server
does, would keep a thread for seconds: here it goes to the selector at once. And a worker that is told to stop would
wait through its whole grace period for connections that were silent from the start.
"""

import errno
import ssl
import time
from typing import Any

from gunicorn.workers.gthread import _DEFER, ThreadWorker

REQUEST_SECONDS = 5.0
"""For all of a request to arrive. An API server sends it at once, and waits no longer itself."""
FIRST_BYTE_SECONDS = 0.02
"""For which a new connection has a thread before it has said anything."""


class Socket(ssl.SSLSocket):
    """A connection that has, wherever gunicorn would wait for ever, until its deadline."""

    _deadline: float | None = None

    def give(self, seconds: float) -> None:
        """Set the deadline of what follows."""
        self._deadline = time.monotonic() + seconds

    def setblocking(self, flag: bool) -> None:
        """Have reads wait until the deadline, or not at all."""
        self.settimeout(None if flag else 0.0)

    def settimeout(self, value: float | None) -> None:
        """Have reads wait for ``value`` seconds, or until the deadline."""
        if self._deadline is None:
            self.give(REQUEST_SECONDS)
        super().settimeout(self._left() if value is None else value)

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """What has arrived; a client that is too slow counts as one that has gone."""
        if self.gettimeout() != 0.0:
            super().settimeout(self._left())
        try:
            return super().recv(buflen, flags)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the client took too long over its request") from None

    def _left(self) -> float:
        return max(0.001, (self._deadline or 0.0) - time.monotonic())


class Worker(ThreadWorker):  # type: ignore[misc]
    """:class:`ThreadWorker` with these differences."""

    pending_conns: Any

    def handle(self, conn: Any) -> Any:
        """Handle one request, on a thread of the pool."""
        if not conn.initialized:
            if not conn.wait_for_data(FIRST_BYTE_SECONDS):
                return _DEFER
        elif isinstance(conn.sock, Socket):
            conn.sock.give(REQUEST_SECONDS)
        return super().handle(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        super()._cap_keepalive(deadline)
        for connection in self.pending_conns:
            connection.timeout = min(connection.timeout, deadline)
