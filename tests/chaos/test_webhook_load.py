"""The webhook under clients that are slow, large, wrong and silent, all at once: good ones do not notice."""

import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import orjson
import pytest

from tests.chaos import FULL
from tests.chaos.plant import Plant, planted
from tests.harness.clusters import ROOT, wait_for

pytestmark = pytest.mark.xdist_group("chaos")

SECONDS = 60 if FULL else 6
P99_SECONDS = 0.05 if FULL else 2.0
"""Tests share their machine; only the full form has it to itself."""
GOOD_CLIENTS = 16
PAUSE_SECONDS = 0.02


@pytest.fixture
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """An operator with one actor."""
    with planted(tmp_path_factory.mktemp("load"), real=False, proxied=False) as made:
        made.create(["load"], 1)
        wait_for("the actor", lambda: not made.unconverged())
        yield made


class Good(threading.Thread):
    """A client as an API server is one: a kept-alive connection, a review at a time."""

    def __init__(self, port: int, until: float) -> None:
        super().__init__(daemon=True)
        self._port, self._until = port, until
        self.seconds: list[float] = []
        self.problems: list[str] = []
        pod = {
            "metadata": {"name": "x", "labels": {"asya.io/actor": "actor-0"}},
            "spec": {"containers": [{"name": "app", "image": "app:1", "env": [{"name": "A", "value": "x" * 2000}]}]},
        }
        request = {"uid": "u", "operation": "CREATE", "namespace": "load", "object": pod} | {
            "resource": {"group": "", "version": "v1", "resource": "pods"}
        }
        body = orjson.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
        head = (
            f"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body

    def run(self) -> None:
        """Ask until the time is over."""
        context = ssl._create_unverified_context()
        with context.wrap_socket(socket.create_connection(("127.0.0.1", self._port), 10)) as connection:
            while time.monotonic() < self._until:
                began = time.perf_counter()
                connection.sendall(self._request)
                answer = _answer(connection)
                self.seconds.append(time.perf_counter() - began)
                if b"200 OK" not in answer or b'"patch"' not in answer:
                    self.problems.append(answer[:200].decode(errors="replace"))
                    return
                time.sleep(PAUSE_SECONDS)


def _answer(connection: ssl.SSLSocket) -> bytes:
    """All of one answer."""
    answer = b""
    while True:
        part = connection.recv(65536)
        if not part:
            return answer
        answer += part
        head, found, body = answer.partition(b"\r\n\r\n")
        if found and len(body) >= int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]):
            return answer


def test_good_requests_are_answered_soon_whatever_else_comes(plant: Plant) -> None:
    port = plant.operator.port
    until = time.monotonic() + SECONDS
    rude = subprocess.Popen([sys.executable, "-m", "tests.chaos.rude", str(port), str(SECONDS)], cwd=ROOT)
    time.sleep(1)
    before, processes = plant.usage(), plant.processes()
    good = [Good(port, until) for _ in range(GOOD_CLIENTS)]
    for client in good:
        client.start()
    for client in good:
        client.join(SECONDS + 30)
    rude.wait(30)
    assert [problem for client in good for problem in client.problems] == []
    seconds = sorted(s for client in good for s in client.seconds)
    assert len(seconds) > SECONDS * GOOD_CLIENTS
    p50, p99 = seconds[len(seconds) // 2], seconds[len(seconds) * 99 // 100]
    print(
        f"{len(seconds)} requests: p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms, most {seconds[-1] * 1000:.1f} ms"
    )
    assert p99 < P99_SECONDS
    assert plant.processes() == processes, "a worker died"
    after = plant.usage()
    for name, (_, memory) in after.items():
        assert memory < before[name][1] * 1.5 + 30, (name, before[name], after[name])
