"""gunicorn's threaded worker with an event loop that never waits for a client.

gunicorn's own worker gives a connection to a thread with the first byte. The thread then waits for the handshake, for
the rest of the request, and until the client has read the answer. Some hundred half-sent requests occupy all threads.
gunicorn's ASGI worker does not wait, but it limits neither the number of connections nor their silence, and it serves
the certificate of its start for ever.

Here the event loop reads whole requests, answers those of API servers itself (:mod:`webhook.direct`), and gives only
the others to threads. Addresses take turns (:mod:`webhook.fairness`).
"""

import contextlib
import errno
import resource
import selectors
import time
from collections.abc import Callable, Mapping
from typing import Any

from gunicorn.sock import ssl_context
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from webhook.connections import Connection
from webhook.fairness import ConnectionLimits, Turns
from webhook.limits import TOTAL_CONNECTIONS
from webhook.loads import ABSENT, STEP_SECONDS, Share

MAX_ACCEPTS = 64
"""New connections that are accepted in one turn, about 2 ms of work."""
TURN_SECONDS = 0.002
"""Seconds for which ready connections are served before the poller is asked for more."""
SWEEP_SECONDS = 0.25
RESERVED_FILES = 128
"""Open files that are not connections: watches, logs, metrics, pipes of threads."""
BUFFERED_BYTES = 32 * 1024 * 1024
"""The limit of one worker for unanswered requests and unsent answers."""

DirectAnswer = Callable[[bytes, Mapping[str, Any] | None, bool], tuple[bytes, bool] | None]
"""Answers a whole request of a client with this certificate: the HTTP answer, and whether the connection may go on.

The third argument says that it must not go on. None if a thread must answer.
"""


def raise_file_limit() -> int:
    """Raise this process's limit of open files as far as allowed, at most to 65,536. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1 << 16 if hard == resource.RLIM_INFINITY else min(hard, 1 << 16)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return wanted if soft == resource.RLIM_INFINITY else soft


class Worker(ThreadWorker):  # type: ignore[misc]
    """The worker. ``app.answer`` is its :data:`DirectAnswer`, ``app.peer_connections`` the limit for one address.

    ``app.loads`` has the numbers of connections of all workers, this worker's in :attr:`slot`.
    """

    slot: int
    """The master sets it before the fork."""
    poller: Any
    app: Any
    cfg: Any
    sockets: list[Any]
    nr_conns: int
    _accepting: bool

    def init_process(self) -> None:
        """Start with a limit of connections that the limit of open files allows."""
        total = max(16, min(TOTAL_CONNECTIONS, raise_file_limit() - RESERVED_FILES))
        self._limits = ConnectionLimits(min(self.app.peer_connections, total), total)
        self._ready, self._for_threads, self._working = Turns(), Turns(), 0
        self._swept, self._held, self._accepts = 0.0, 0, 1
        self._share, self._accepts_from = Share(self.app.loads, self.slot), 0.0
        # gunicorn would stop accepting at its own limits. Here an older connection closes instead.
        self.worker_connections = 1 << 30
        self.max_keepalived = 1 << 30
        super().init_process()

    def run(self) -> None:
        """Serve until the worker must stop."""
        self._publish()
        super().run()

    def accept(self, listener: Any) -> None:
        """Accept waiting connections: one at first, and twice as many in each turn that does not accept them all.

        So workers that wake up for the same few connections share them, and a crowd is still accepted quickly.
        """
        if self._share.leaves_to_another():
            self._accepts_from = time.monotonic() + STEP_SECONDS
            self.set_accept_enabled(False)
            return
        is_alone = self._share.exceeds_another()  # the other worker did not come
        for _ in range(self._accepts):
            if self._share.exceeds_another() and not is_alone:
                return
            if not self._accept_one(listener):
                self._accepts = 1
                return
        self._accepts = min(2 * self._accepts, MAX_ACCEPTS)

    def _accept_one(self, listener: Any) -> bool:
        """Accept a connection. Returns false if none waits, or if the process has no file left for it."""
        try:
            sock, client = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                oldest = next(iter(self._limits), None)
                if oldest is not None:
                    self._close(oldest)
                return False
            if error.errno in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                return False
            raise
        connection = Connection(sock, client, listener.getsockname(), self.cfg, self._context)
        self.nr_conns += 1
        self._publish()
        surplus = self._limits.admit(connection)
        if surplus is not None:
            self._close(surplus)
        if surplus is not connection:
            self._register(connection)
        return True

    def set_accept_enabled(self, enabled: bool) -> None:
        """Poll for new connections, or stop that. gunicorn asks for it in each turn of the event loop."""
        super().set_accept_enabled(enabled and time.monotonic() >= self._accepts_from)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Serve ready connections for :data:`TURN_SECONDS` at most. Those that remain are served next time."""
        if self._ready:
            timeout = 0.0
        elif not self._accepting and self.alive:
            timeout = min(timeout, STEP_SECONDS)
        for key, _ in self.poller.select(timeout if self.alive else min(timeout, 0.1)):
            if not isinstance(key.fileobj, Connection):
                key.data(key.fileobj)
            elif key.fileobj.is_busy:
                self._unregister(key.fileobj)  # the client sends more, or has gone; the answer comes first
            elif key.fileobj.is_registered:  # false if it was closed a moment ago
                self._ready.add(key.fileobj)
        now = time.monotonic()
        until = now + TURN_SECONDS
        while self._ready and now < until:
            self._serve(self._ready.take())
            began, now = now, time.monotonic()
            self._ready.charge(now - began)

    def finish_request(self, conn: Connection, fs: Any) -> None:
        """Send the answer of a thread."""
        keep = not fs.cancelled() and fs.exception() is None and bool(fs.result())
        conn.take_back(keep)
        self._limits.mark_answered(conn)
        self._working -= 1
        self._start_threads()
        self._serve(conn)

    def murder_pending(self) -> None:
        """Close the connections whose deadline has passed."""
        now = time.monotonic()
        if now - self._swept >= SWEEP_SECONDS or not self.alive:
            self._swept = now
            for connection in [c for c in self._limits if c.deadline <= now]:
                self._close(connection)

    def _publish(self) -> None:
        self._share.publish(self.nr_conns if self.alive else ABSENT)

    def _context(self) -> Any:
        return ssl_context(self.cfg)

    def _serve(self, connection: Connection) -> None:
        """Let the connection send and receive, and answer at most one request."""
        keepalive = self.cfg.keepalive if self.alive else STOP_KEEPALIVE_LINGER
        progress = connection.advance(keepalive)
        is_answered = progress == "whole" and self._answer(connection)
        if is_answered:
            progress = connection.advance(keepalive)
        self._count(connection)
        if progress == "closed" or (self._held > BUFFERED_BYTES and not self._make_room_for(connection)):
            self._close(connection)
        elif progress == "waiting":
            self._register(connection)
        elif is_answered:
            self._ready.add(connection)  # its next request has arrived already, and waits for its turn
        else:
            connection.hand_over()
            self._limits.mark_busy(connection)
            self._for_threads.add(connection)
            self._start_threads()

    def _answer(self, connection: Connection) -> bool:
        """Answer the request here if possible. If the worker stops, the connection closes afterwards."""
        if not connection.may_go_on:
            return False
        reply = self.app.answer(connection.request, connection.certificate, not self.alive)
        if reply is None:
            return False
        answer, keep = reply
        connection.reply(answer, keep)
        self._limits.mark_served(connection)
        return True

    def _start_threads(self) -> None:
        """Give waiting requests to free threads; addresses take turns."""
        while self._for_threads and self._working < self.cfg.threads:
            self._working += 1
            self.enqueue_req(self._for_threads.take())
            self._for_threads.charge(1.0)

    def _make_room_for(self, connection: Connection) -> bool:
        """Close connections that wait for their clients, the longest waiting first, until the memory suffices."""
        for other in sorted((c for c in self._limits if c.held and c is not connection), key=lambda c: c.deadline):
            self._close(other)
            if self._held <= BUFFERED_BYTES:
                return True
        return False

    def _count(self, connection: Connection) -> None:
        held = connection.held
        self._held += held - connection.counted
        connection.counted = held

    def _register(self, connection: Connection) -> None:
        events = selectors.EVENT_WRITE if connection.wants_to_write else selectors.EVENT_READ
        if not connection.is_registered:
            self.poller.register(connection, events)
            connection.is_registered, connection.events = True, events
        elif connection.events != events:
            self.poller.modify(connection, events)
            connection.events = events

    def _unregister(self, connection: Connection) -> None:
        if connection.is_registered:
            self.poller.unregister(connection)
            connection.is_registered = False

    def _close(self, connection: Connection) -> None:
        self._unregister(connection)
        self._ready.remove(connection)
        self._held -= connection.counted
        self._limits.remove(connection)
        self.nr_conns -= 1
        self._publish()
        connection.close()

    def _cap_keepalive(self, deadline: float) -> None:
        """Bring the deadlines of idle connections forward, for a worker that stops."""
        self._publish()  # it accepts nothing later, so no other worker leaves a connection to it
        for listener in self.sockets:
            # Those that wait came before the end, and may have been left to a worker that ends as well.
            for _ in range(MAX_ACCEPTS):
                if not self._accept_one(listener):
                    break
        for connection in self._limits:
            connection.deadline = min(connection.deadline, deadline)
