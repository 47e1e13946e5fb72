"""An API server that takes long over ten thousand actors: lists come in pages, with a time limit of their own."""

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
    """Lists actors in pages, ``seconds`` over all of them; each of the first ``expires`` further pages is too old."""

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
    """Ten thousand actors, put past admission, which would take its time."""
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


def test_ten_thousand_actors_of_a_slow_server_come_in_pages(api: Api) -> None:
    server = Server(2.0)
    with serving(api, server) as client:
        informer = Informer(client, ASYNC_ACTORS)
        informer.start()
        assert informer.wait(15)
        assert len(informer.all()) == COUNT
        informer.stop()
    assert set(server.limits) == {500}


def test_one_that_knows_no_pages_has_the_time_that_it_needs(api: Api) -> None:
    with serving(api, Server(1.5, pages=False)) as client:
        assert len(client.list(ASYNC_ACTORS)) == COUNT


def test_a_list_that_the_server_has_forgotten_starts_anew(api: Api) -> None:
    with serving(api, Server(0.1, expires=1)) as client:
        objects = client.list(ASYNC_ACTORS)
    assert len({o["metadata"]["uid"] for o in objects}) == len(objects) == COUNT


def test_one_that_is_always_forgotten_is_an_error(api: Api) -> None:
    with serving(api, Server(0.1, expires=99)) as client, pytest.raises(ApiError) as caught:
        client.list(ASYNC_ACTORS)
    assert caught.value.code == 410
