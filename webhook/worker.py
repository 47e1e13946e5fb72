"""gunicorn's threaded worker, in which only a request that has arrived in full has a thread.

gunicorn's own hands a connection to a thread with its first byte, and there the handshake, the rest of the request
and the client's reading of the answer are waited for: some hundred half-sent requests take all threads. Its
asynchronous worker waits for nobody, but limits neither how many connections there are, nor for how long one stays
silent, and serves the certificate that it started with.
"""

import contextlib
import errno
import resource
import selectors
import time
from typing import Any

from gunicorn.sock import ssl_context
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from webhook.connections import BUFFERED_BYTES, RESERVED_FILES, Connection, Crowd
from webhook.limits import TOTAL_CONNECTIONS

ACCEPTS = 32
"""Connections that are accepted before others have their turn."""
TURN_SECONDS = 0.005
"""For strangers, before those that had an answer already have their turn."""
SWEEP_SECONDS = 0.25


def raise_file_limit() -> int:
    """Allow this process as many open files as it may have; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1 << 16 if hard == resource.RLIM_INFINITY else min(hard, 1 << 16)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return wanted if soft == resource.RLIM_INFINITY else soft


class Worker(ThreadWorker):  # type: ignore[misc]
    """:class:`ThreadWorker` with this difference."""

    poller: Any
    app: Any
    cfg: Any
    nr_conns: int

    def init_process(self) -> None:
        """Begin, with no more connections than there may be open files."""
        total = max(16, min(TOTAL_CONNECTIONS, raise_file_limit() - RESERVED_FILES))
        self._crowd = Crowd(min(self.app.peer_connections, total), total)
        self._swept, self._held = 0.0, 0
        # gunicorn would stop to accept; here the one that has waited longest goes instead.
        self.worker_connections = 1 << 30
        self.max_keepalived = 1 << 30
        super().init_process()

    def accept(self, listener: Any) -> None:
        """Accept what has come."""
        for _ in range(ACCEPTS):
            try:
                sock, client = listener.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    oldest = next(iter(self._crowd), None)
                    if oldest is not None:
                        self._close(oldest)
                    return
                if error.errno in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                    return
                raise
            connection = Connection(sock, client, listener.getsockname(), self.cfg, self._context)
            self.nr_conns += 1
            leaving = self._crowd.admit(connection)
            if leaving is not None:
                self._close(leaving)
            if leaving is not connection:
                self._register(connection)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Those that had an answer before come first, and strangers for a while."""
        strangers = []
        for key, _ in self.poller.select(timeout if self.alive else min(timeout, 0.1)):
            if not isinstance(key.fileobj, Connection):
                key.data(key.fileobj)
            elif not key.fileobj.is_proven:
                strangers.append(key.fileobj)
            elif key.fileobj.is_registered:  # and not closed a moment ago, to make room
                self._on_event(key.fileobj)
        until = time.monotonic() + TURN_SECONDS
        for connection in strangers:
            if connection.is_registered:
                self._on_event(connection)
            if time.monotonic() > until:
                return  # the poller names the others again

    def finish_request(self, conn: Connection, fs: Any) -> None:
        """A thread has answered: send that, and go on with what the client has sent meanwhile."""
        keep = not fs.cancelled() and fs.exception() is None and bool(fs.result())
        conn.answered(keep)
        self._crowd.worked(conn)
        self._on_event(conn)

    def murder_pending(self) -> None:
        """Close what took too long."""
        now = time.monotonic()
        if now - self._swept >= SWEEP_SECONDS or not self.alive:
            self._swept = now
            for connection in [c for c in self._crowd if c.deadline <= now]:
                self._close(connection)

    def _context(self) -> Any:
        return ssl_context(self.cfg)

    def _on_event(self, connection: Connection) -> None:
        if connection.is_busy:  # it has sent more, or has gone, while a thread has its request
            self._unregister(connection)
            return
        progress = connection.advance(self.cfg.keepalive if self.alive else STOP_KEEPALIVE_LINGER)
        self._count(connection)
        if progress == "closed" or (self._held > BUFFERED_BYTES and not self._has_room(connection)):
            self._close(connection)
        elif progress == "whole":
            self._crowd.works(connection)
            self.enqueue_req(connection)
        else:
            self._register(connection)

    def _has_room(self, connection: Connection) -> bool:
        """Whether there is room for what it sent, if those that wait for their clients for longer have to go."""
        for other in sorted((c for c in self._crowd if c.held and c is not connection), key=lambda c: c.deadline):
            self._close(other)
            if self._held <= BUFFERED_BYTES:
                return True
        return False

    def _count(self, connection: Connection) -> None:
        self._held += connection.held - connection.counted
        connection.counted = connection.held

    def _register(self, connection: Connection) -> None:
        events = selectors.EVENT_WRITE if connection.wants_to_write else selectors.EVENT_READ
        if not connection.is_registered:
            self.poller.register(connection, events, self._on_event)
            connection.is_registered = True
        elif self.poller.get_key(connection).events != events:
            self.poller.modify(connection, events, self._on_event)

    def _unregister(self, connection: Connection) -> None:
        if connection.is_registered:
            self.poller.unregister(connection)
            connection.is_registered = False

    def _close(self, connection: Connection) -> None:
        self._unregister(connection)
        self._held -= connection.counted
        self._crowd.leaves(connection)
        self.nr_conns -= 1
        connection.close()

    def _cap_keepalive(self, deadline: float) -> None:
        """A worker that stops waits neither for idle connections nor for silent ones."""
        for connection in self._crowd:
            connection.deadline = min(connection.deadline, deadline)
