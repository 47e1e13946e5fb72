"""gunicorn's threaded worker, which also lets go of silent connections when it stops.

An API server opens connections ahead of need, and some never carry a request. The worker closes idle
kept-alive connections soon after it is told to stop, but counts those that were silent from the start
as work in hand and waits for them through its whole grace period.
"""

from typing import Any

from gunicorn.workers.gthread import ThreadWorker


class Worker(ThreadWorker):  # type: ignore[misc]
    """:class:`ThreadWorker` with that one difference."""

    pending_conns: Any

    def _cap_keepalive(self, deadline: float) -> None:
        super()._cap_keepalive(deadline)
        for connection in self.pending_conns:
            connection.timeout = min(connection.timeout, deadline)
