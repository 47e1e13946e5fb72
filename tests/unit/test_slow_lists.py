"""An API server that takes long over ten thousand actors: lists come in pages, with a time limit of their own."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from kube.client import ASYNC_ACTORS, ApiError, Client
from kube.credentials import plain
from kube.informer import Informer

COUNT = 10_000


class Server:
    """Lists actors in pages, ``seconds`` over all of them, and watches in silence."""

    def __init__(self, seconds: float, *, expires: int = 0, pages: bool = True) -> None:
        self.seconds, self.expires, self.pages, self.limits = seconds, expires, pages, list[int]()


@contextmanager
def serving(server: Server) -> Iterator[Client]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            if "watch" in query:
                time.sleep(2)
                self._answer(200, b"")
                return
            limit = int(query.get("limit", ["0"])[0])
            server.limits.append(limit)
            start = int(query.get("continue", ["0"])[0])
            if start and server.expires:
                server.expires -= 1
                self._answer(410, json.dumps({"reason": "Expired", "message": "too old"}).encode())
                return
            count = min(limit, COUNT - start) if limit and server.pages else COUNT
            time.sleep(server.seconds * count / COUNT)
            items = [
                {"metadata": {"namespace": "x", "name": f"a{n}", "uid": f"{n}"}} for n in range(start, start + count)
            ]
            more = {"continue": str(start + count)} if start + count < COUNT else {}
            self._answer(200, json.dumps({"items": items, "metadata": {"resourceVersion": "9", **more}}).encode())

        def _answer(self, code: int, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_what: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield Client(plain(f"http://127.0.0.1:{http.server_address[1]}"), read_timeout=0.3)
    finally:
        http.shutdown()


def test_ten_thousand_actors_of_a_slow_server_come_in_pages() -> None:
    server = Server(2.0)
    with serving(server) as client:
        informer = Informer(client, ASYNC_ACTORS)
        informer.start()
        assert informer.wait(15)
        assert len(informer.all()) == COUNT
        informer.stop()
    assert set(server.limits) == {500}


def test_one_that_knows_no_pages_has_the_time_that_it_needs() -> None:
    with serving(Server(1.5, pages=False)) as client:
        assert len(client.list(ASYNC_ACTORS)) == COUNT


def test_a_list_that_the_server_has_forgotten_starts_anew() -> None:
    with serving(Server(0.1, expires=1)) as client:
        found = client.list(ASYNC_ACTORS)
    assert len({o["metadata"]["uid"] for o in found}) == len(found) == COUNT


def test_one_that_is_always_forgotten_is_an_error() -> None:
    with serving(Server(0.1, expires=99)) as client, pytest.raises(ApiError) as caught:
        client.list(ASYNC_ACTORS)
    assert caught.value.code == 410
