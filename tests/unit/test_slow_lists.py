"""An API server that is slow with ten thousand actors: lists come in pages, each with a time limit of its own."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from crds.manifest import manifest
from kube.client import Client
from kube.credentials import without_tls
from kube.failures import ApiError
from kube.informer import Informer
from kube.resources import ASYNC_ACTORS
from sandbox.api import Api, Call
from sandbox.errors import Failure
from sandbox.http import Server as Sandbox
from sandbox.pages import Pages
from tests.harness.operator import CRDS

COUNT = 10_000


class Server(Pages):
    """Lists actors in pages, in ``seconds`` for all. It answers 410 for the first ``expires`` further pages."""

    def __init__(self, seconds: float, *, expires: int = 0, pages: bool = True) -> None:
        super().__init__()
        self.seconds, self.expires, self.pages, self.limits = seconds, expires, pages, list[int]()

    def page(self, items: list[Any], version: str, query: dict[str, str]) -> tuple[list[Any], dict[str, Any]]:
        self.limits.append(int(query.get("limit", "0")))
        if "continue" in query and self.expires:
            self.expires -= 1
            raise Failure(410, "too old")
        result, metadata = super().page(items, version, query if self.pages else {})
        time.sleep(self.seconds * len(result) / COUNT)
        return result, metadata


@pytest.fixture(scope="module")
def api() -> Api:
    """Ten thousand actors, stored without admission, which would take too long."""
    made = Api()
    made.create(made.type("apiextensions.k8s.io", "v1", CRDS.plural), "", manifest(), Call())
    for n in range(COUNT):
        metadata = {"namespace": "x", "name": f"a{n}", "uid": f"{n}"}
        actor = {"apiVersion": ASYNC_ACTORS.api_version, "kind": ASYNC_ACTORS.kind, "metadata": metadata}
        made.store.put("asyncactors.asya.io", ("x", f"a{n}"), actor, expect=None)
    return made


@contextmanager
def serving(api: Api, server: Server) -> Iterator[Client]:
    sandbox = Sandbox(("127.0.0.1", 0), api)
    sandbox.pages = server
    threading.Thread(target=sandbox.serve_forever, daemon=True).start()
    try:
        yield Client(without_tls(f"http://127.0.0.1:{sandbox.server_address[1]}"), read_timeout=0.3)
    finally:
        sandbox.shutdown()


def test_ten_thousand_actors_of_a_slow_server_are_read_in_pages(api: Api) -> None:
    server = Server(2.0)
    with serving(api, server) as client:
        informer = Informer(client, ASYNC_ACTORS)
        informer.start()
        assert informer.wait(15)
        assert len(informer.all()) == COUNT
        informer.stop()
    assert set(server.limits) == {500}


def test_a_server_without_pages_gets_enough_time(api: Api) -> None:
    with serving(api, Server(1.5, pages=False)) as client:
        assert len(client.list(ASYNC_ACTORS)) == COUNT


def test_an_expired_list_starts_again(api: Api) -> None:
    with serving(api, Server(0.1, expires=1)) as client:
        objects = client.list(ASYNC_ACTORS)
    assert len({o["metadata"]["uid"] for o in objects}) == len(objects) == COUNT


def test_a_list_that_always_expires_is_an_error(api: Api) -> None:
    with serving(api, Server(0.1, expires=99)) as client, pytest.raises(ApiError) as caught:
        client.list(ASYNC_ACTORS)
    assert caught.value.code == 410
