"""Runs the dashboard until Ctrl-C: its watches, a server on 127.0.0.1 only, and a browser."""

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
"""How long a start waits for the first lists. Then the page is served without them."""
PROBE_SECONDS: Final = 10.0
"""Seconds between two checks of the connection to the API server."""


class CannotStart(Exception):
    """The dashboard cannot start. The message says why."""


@dataclass(frozen=True)
class Options:
    """The options of ``kubectl asya dashboard``."""

    namespace: str
    """Empty for all."""
    port: int
    """0 for a free port."""
    context: str
    """The kubeconfig's context, for the page's header."""


class _Quiet(WSGIRequestHandler):
    """Does not log requests, because their paths contain the token."""

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
        """The server's address, without a path."""
        return f"http://{ADDRESS}:{self._server.port}"

    @property
    def url(self) -> str:
        """The address to open, with its token."""
        return f"{self.origin}/{self.guard.token}/"

    def start(self) -> None:
        """Start the watches, and wait up to SYNC_SECONDS for their first lists."""
        for informer in self._informers:
            informer.start()
        deadline = time.monotonic() + SYNC_SECONDS
        for informer in self._informers:
            informer.wait(max(0.0, deadline - time.monotonic()))
        threads.start("samples", self._sample)
        threads.start("probe", self._watch_connection)

    def serve(self) -> None:
        """Serve until :meth:`close` is called or a signal interrupts it."""
        self._is_serving = True
        self._server.serve_forever(poll_interval=0.1)

    def close(self) -> None:
        """Stop the server, the watches and the sessions."""
        if self._is_serving:
            self._server.shutdown()  # waits forever if the server was never started
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
    """Why the page may be out of date; empty if it is not."""
    try:
        probe.version()
    except ApiError as error:
        return f"The API server does not answer, so this page may be out of date: {error.message}"
    late = [watch.resource.plural for watch in watches if not watch.is_synced]
    return f"The list of {' and '.join(late)} has not arrived yet" if late else ""


def _check(client: Client, board: Board, namespace: str) -> bool:
    """Check the caller's rights; returns whether autoscalers can be read. If not, the page gets a notice.

    Raises:
        CannotStart: if AsyncActors cannot be read.
    """
    try:
        unreadable = why_unreadable(client, ASYNC_ACTORS, namespace)
        no_lengths = why_unreadable(client, AUTOSCALERS, namespace)
    except ApiError as error:
        raise CannotStart(error.message) from error
    if unreadable.startswith("The API server"):
        raise CannotStart("the cluster does not serve AsyncActors: install the operator first")
    if unreadable:
        hint = "" if namespace else ". For one namespace: --namespace NAME"
        raise CannotStart(f"{unreadable[0].lower()}{unreadable[1:]}{hint}")
    if no_lengths:
        board.notice("lengths", f"The lengths of queues are unknown. {no_lengths}")
    return not no_lengths


def _bind(services: Services, port: int) -> tuple[BaseWSGIServer, Guard]:
    """A server on the port (0: a free one), and its guard, which needs the port's number.

    Raises:
        CannotStart: if the port is taken.
    """
    listening = socket.socket()
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((ADDRESS, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise CannotStart(f"--port: {port} of {ADDRESS} is taken; choose another, or omit the option") from error
    with listening:  # the server duplicates the descriptor
        server = make_server(
            ADDRESS, port, Flask(__name__), threaded=True, request_handler=_Quiet, fd=listening.fileno()
        )
    guard = Guard(server.port)
    server.app = make_app(services, guard)
    return server, guard


def run(dashboard: Dashboard, say: Callable[[str], None], *, browser: bool) -> None:
    """Serve until Ctrl-C or SIGTERM, then delete what the dashboard created in the cluster.

    Args:
        dashboard: the dashboard.
        say: prints a line for the user.
        browser: whether to start a browser.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        dashboard.start()
        say(f"The dashboard is at {dashboard.url}")
        say("Everyone with this address acts with your rights. Press Ctrl-C to end.")
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
