"""Runs the dashboard until Ctrl-C: its watches, a server on 127.0.0.1 alone, and a browser."""

import signal
import socket
import time
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from flask import Flask
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from dashboard.app import Services, make_app
from dashboard.board import AUTOSCALERS, Board, informers
from dashboard.guard import Guard
from dashboard.history import SECONDS as SAMPLE_SECONDS
from dashboard.ports import Ports
from dashboard.rights import why_unreadable
from dashboard.scraper import Scraper
from kube.client import Client
from kube.failures import ApiError
from kube.informer import Informer
from kube.resources import ASYNC_ACTORS
from telemetry import threads

ADDRESS: Final = "127.0.0.1"
SYNC_SECONDS: Final = 15.0
"""For the first list, after which the page is served all the same."""
PROBE_SECONDS: Final = 10.0
"""Between two questions whether the API server is there."""


class CannotStart(Exception):
    """The dashboard cannot be started; the message says why."""


@dataclass(frozen=True)
class Options:
    """What the dashboard is started with."""

    namespace: str
    """Empty for all."""
    port: int
    context: str


class _Quiet(WSGIRequestHandler):
    """Writes no line for each request: their paths hold the token."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


class Dashboard:
    """A dashboard that is ready to serve.

    Raises:
        CannotStart: if AsyncActors cannot be read, or the port is taken.
    """

    def __init__(self, make_client: Callable[[], Client], ports: Ports, options: Options) -> None:
        client, reach = make_client(), make_client()
        self._is_serving = False
        self.board = Board()
        with_autoscalers = _check(client, self.board, options.namespace)
        self._probe = make_client()
        self._informers = informers(client, self.board, options.namespace, with_autoscalers=with_autoscalers)
        scraper = Scraper(client, reach, options.namespace)
        self.services = Services(self.board, scraper, client, reach, ports, options.context, options.namespace)
        self._server, self.guard = _bind(self.services, options.port)

    @property
    def origin(self) -> str:
        """Where it is served."""
        return f"http://{ADDRESS}:{self._server.port}"

    @property
    def url(self) -> str:
        """The address to open, with its token."""
        return f"{self.origin}/{self.guard.token}/"

    def start(self) -> None:
        """Start to watch, and wait for the first lists for a while."""
        for informer in self._informers:
            informer.start()
        deadline = time.monotonic() + SYNC_SECONDS
        for informer in self._informers:
            informer.wait(max(0.0, deadline - time.monotonic()))
        threads.start("samples", self._sample)
        threads.start("probe", self._watch_connection)

    def serve(self) -> None:
        """Serve until interrupted."""
        self._is_serving = True
        self._server.serve_forever(poll_interval=0.1)

    def close(self) -> None:
        """Stop to serve and to watch."""
        if self._is_serving:
            self._server.shutdown()  # which waits for ever for a server that was never started
        self._server.server_close()
        self.services.scraper.stop()
        if self.services.ports.letters is not None:
            self.services.ports.letters.close()
        for informer in self._informers:
            informer.stop()

    def _sample(self) -> None:
        while True:
            self.board.tick()
            time.sleep(SAMPLE_SECONDS)

    def _watch_connection(self) -> None:
        while True:
            self.board.notice("connection", _connection(self._probe, self._informers))
            time.sleep(PROBE_SECONDS)


def _connection(probe: Client, watches: list[Informer]) -> str:
    """Why what is shown may be old; an empty string if it is not."""
    try:
        probe.version()
    except ApiError as error:
        return f"The API server does not answer, so this may be out of date: {error.message}"
    late = [watch.resource.plural for watch in watches if not watch.synced]
    return f"The list of {' and '.join(late)} has not arrived yet" if late else ""


def _check(client: Client, board: Board, namespace: str) -> bool:
    """Whether autoscalers can be read; the page says so if not.

    Raises:
        CannotStart: if AsyncActors cannot be.
    """
    try:
        unreadable = why_unreadable(client, ASYNC_ACTORS, namespace)
        no_lengths = why_unreadable(client, AUTOSCALERS, namespace)
    except ApiError as error:
        raise CannotStart(error.message) from error
    if unreadable.startswith("The API server"):
        raise CannotStart("the cluster knows no AsyncActors: the operator is not installed there")
    if unreadable:
        hint = "" if namespace else ". For one namespace: --namespace NAME"
        raise CannotStart(f"{unreadable[0].lower()}{unreadable[1:]}{hint}")
    if no_lengths:
        board.notice("lengths", f"Lengths of queues are not known. {no_lengths}")
    return not no_lengths


def _bind(services: Services, port: int) -> tuple[BaseWSGIServer, Guard]:
    """A server on the port, or a free one for 0, and its guard, which needs to know the port."""
    listening = socket.socket()
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((ADDRESS, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise CannotStart(f"--port: {port} of {ADDRESS} is taken; choose another, or leave it out") from error
    with listening:  # the server has a descriptor of its own
        server = make_server(
            ADDRESS, port, Flask(__name__), threaded=True, request_handler=_Quiet, fd=listening.fileno()
        )
    guard = Guard(server.port)
    server.app = make_app(services, guard)
    return server, guard


def run(dashboard: Dashboard, say: Callable[[str], None], *, browser: bool) -> None:
    """Serve until Ctrl-C or SIGTERM; end at once then, or once what was started in the cluster is taken away."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        dashboard.start()
        say(f"The dashboard is at {dashboard.url}")
        say("Whoever has this address acts with your rights. Press Ctrl-C to end.")
        if browser and not _opened(f"{dashboard.origin}{dashboard.guard.opening}"):
            say("No browser could be started; open the address yourself")
        dashboard.serve()
    except KeyboardInterrupt:
        pass
    finally:
        dashboard.close()


def _opened(url: str) -> bool:
    try:
        return webbrowser.open(url)
    except webbrowser.Error:
        return False
