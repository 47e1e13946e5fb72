"""Shares one worker between addresses, so that an address with many connections only slows down itself.

`ConnectionLimits` decides which connection closes when there are too many. `Turns` decides which ready connection is
served next. Both count by address, because a client can open any number of connections and an API server opens few.
"""

from __future__ import annotations

import heapq
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webhook.connections import Connection

Line = tuple[str, bool]
"""An address, and whether its connections were answered before."""
REMEMBERED_LINES = 4096
"""Number of lines whose used time is remembered. Above it, the worker forgets lines without a connection."""


class ConnectionLimits:
    """All connections of a worker. It chooses the connection that closes when a new one exceeds a limit.

    The choice is the oldest connection of the fullest address. Connections that were never answered go first.
    A connection whose request is being answered never goes.
    """

    def __init__(self, per_peer: int, total: int) -> None:
        self._per_peer, self._total = per_peer, total
        self._idle: dict[str, tuple[dict[Connection, None], dict[Connection, None]]] = {}
        """By address: connections that were never answered, and connections that were. The first of each is oldest."""
        self._busy: dict[str, int] = {}
        self.count = 0

    def __iter__(self) -> Iterator[Connection]:
        """The connections that wait for their clients."""
        for new, proven in self._idle.values():
            yield from new
            yield from proven

    def admit(self, connection: Connection) -> Connection | None:
        """Add a connection. Returns the connection that must close, if any; it can be the new one."""
        self.count += 1
        self.mark_idle(connection)
        if self._size(connection.peer) > self._per_peer:
            return self._first(connection.peer, connection)
        return self._first(max(self._idle, key=self._size), connection) if self.count > self._total else None

    def mark_idle(self, connection: Connection) -> None:
        """From now on the connection waits for its client."""
        groups = self._idle.setdefault(connection.peer, ({}, {}))
        groups[connection.is_proven][connection] = None

    def mark_served(self, connection: Connection) -> None:
        """The event loop has answered the connection: of its address, it closes last."""
        self._forget(connection)
        self.mark_idle(connection)

    def mark_busy(self, connection: Connection) -> None:
        """A thread answers the connection's request, so the connection must not close."""
        self._forget(connection)
        self._busy[connection.peer] = self._busy.get(connection.peer, 0) + 1

    def mark_answered(self, connection: Connection) -> None:
        """The thread has answered."""
        remaining = self._busy.pop(connection.peer) - 1
        if remaining:
            self._busy[connection.peer] = remaining
        self.mark_idle(connection)

    def remove(self, connection: Connection) -> None:
        """The connection is closed."""
        self._forget(connection)
        self.count -= 1

    def _forget(self, connection: Connection) -> None:
        new, proven = self._idle.get(connection.peer, ({}, {}))
        new.pop(connection, None)
        proven.pop(connection, None)
        if not new and not proven:
            self._idle.pop(connection.peer, None)

    def _size(self, peer: str) -> int:
        new, proven = self._idle.get(peer, ({}, {}))
        return len(new) + len(proven) + self._busy.get(peer, 0)

    def _first(self, peer: str, newest: Connection) -> Connection:
        """The connection of ``peer`` that closes first; ``newest`` only if it is the only one."""
        new, proven = self._idle[peer]
        return next((c for c in (*islice(new, 2), *islice(proven, 1)) if c is not newest), newest)


class Turns:
    """Connections that wait to be served. Addresses get equal time, whatever number of connections they have.

    Each address has two lines: one for connections that were answered before, one for the others. So the kept-alive
    connections of an API server do not wait for handshakes that come from its own address. The next turn goes to the
    line that used the least time (start-time fair queueing, as in network schedulers). A line that was empty starts
    with the time of the line that was served last: idle time is not saved up.

    Not safe to use from several threads.
    """

    def __init__(self) -> None:
        self._lines: dict[Line, dict[Connection, None]] = {}
        """The lines that are in the heap, and the line that is being served. A line can be empty."""
        self._heap: list[tuple[float, Line]] = []
        self._used: dict[Line, float] = {}
        self._start = 0.0
        """The used time of the line that was served last, before that turn."""
        self._served: Line = ("", False)
        self._count = 0

    def __bool__(self) -> bool:
        """Whether any connection waits."""
        return self._count > 0

    def add(self, connection: Connection) -> None:
        """Put the connection at the end of its line, unless it waits already."""
        key = connection.peer, connection.is_proven
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = {}
            heapq.heappush(self._heap, (max(self._used.get(key, 0.0), self._start), key))
        if connection not in line:
            line[connection] = None
            self._count += 1

    def remove(self, connection: Connection) -> None:
        """Take the connection out, if it waits."""
        for is_proven in (False, True):
            line = self._lines.get((connection.peer, is_proven), {})
            if connection in line:
                del line[connection]
                self._count -= 1

    def take(self) -> Connection:
        """Take out the connection whose turn it is. Call :meth:`charge` before the next call.

        Raises:
            IndexError: if no connection waits.
        """
        while True:
            self._start, self._served = heapq.heappop(self._heap)
            line = self._lines[self._served]
            if line:
                connection = next(iter(line))
                del line[connection]
                self._count -= 1
                return connection
            del self._lines[self._served]

    def charge(self, cost: float) -> None:
        """Add ``cost`` to the line of the connection that was taken last; in seconds, or any unit that all share."""
        used = self._used[self._served] = self._start + cost
        if self._lines[self._served]:
            heapq.heappush(self._heap, (used, self._served))
        else:
            del self._lines[self._served]
        if len(self._used) > REMEMBERED_LINES:
            self._used = {key: time for key, time in self._used.items() if key in self._lines}
