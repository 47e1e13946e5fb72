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
API_SECONDS = 5
"""For which an API server waits."""
CROWD = 2000
CROWD_SECONDS = 60 if FULL else 4
CROWD_P99_SECONDS = 0.1 if FULL else 3.0


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """An operator with one actor."""
    with planted(tmp_path_factory.mktemp("load"), real=False, proxied=False) as made:
        made.create(["load"], 1)
        wait_for("the actor", lambda: not made.unconverged())
        yield made


class Good(threading.Thread):
    """A client as an API server is one: a kept-alive connection, or a fresh one each time, and a review at a time."""

    def __init__(self, port: int, until: float, *, fresh: bool = False) -> None:
        super().__init__(daemon=True)
        self._port, self._until, self._fresh = port, until, fresh
        self.seconds: list[float] = []
        self.problems: list[str] = []
        pod = {
            "metadata": {"name": "x", "labels": {"asya.io/actor": "actor-0"}},
            "spec": {"containers": [{"name": "app", "image": "app:1", "env": [{"name": "A", "value": "x" * 2000}]}]},
        }
        request = {"operation": "CREATE", "namespace": "load", "object": pod} | {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "userInfo": {"username": "system:admin"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
        }
        body = orjson.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})
        head = (
            f"POST /mutate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body

    def run(self) -> None:
        """Ask until the time is over."""
        connection = None
        try:
            while time.monotonic() < self._until:
                began = time.perf_counter()
                connection = connection or self._connect()
                connection.sendall(self._request)
                answer = _answer(connection)
                self.seconds.append(time.perf_counter() - began)
                if b"200 OK" not in answer or b'"patch"' not in answer:
                    self.problems.append(answer[:200].decode(errors="replace"))
                    return
                if self._fresh:
                    connection.close()
                    connection = None
                time.sleep(PAUSE_SECONDS)
        except OSError as error:
            self.problems.append(repr(error))
        finally:
            if connection is not None:
                connection.close()

    def _connect(self) -> ssl.SSLSocket:
        context = ssl._create_unverified_context()
        # From another address than rude clients, as an API server is: connections are capped by address.
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self._port), API_SECONDS, ("127.0.0.2", 0)))


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


def test_a_crowd_that_sends_half_of_everything_costs_no_admission(plant: Plant) -> None:
    """Two thousand connections of one address: half-sent requests took all threads."""
    port = plant.operator.port
    arguments = [sys.executable, "-m", "tests.chaos.crowd", str(port), str(CROWD), str(CROWD_SECONDS + 4)]
    crowd = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert crowd.stdout is not None
    try:
        come = crowd.stdout.readline().strip()
        processes, before = plant.processes(), plant.usage()
        until = time.monotonic() + CROWD_SECONDS
        good = [Good(port, until, fresh=n % 2 == 0) for n in range(8)]
        for client in good:
            client.start()
        for client in good:
            client.join(CROWD_SECONDS + 30)
    finally:
        crowd.terminate()
        crowd.wait(10)
    assert [problem for client in good for problem in client.problems] == []
    seconds = sorted(s for client in good for s in client.seconds)
    assert len(seconds) > CROWD_SECONDS * len(good)
    p50, p99 = seconds[len(seconds) // 2], seconds[len(seconds) * 99 // 100]
    p50, p99, most = (seconds[n] * 1000 for n in (len(seconds) // 2, len(seconds) * 99 // 100, -1))
    print(f"{come}, {len(seconds)} admissions: p50 {p50:.1f}, p99 {p99:.1f}, most {most:.1f} ms")
    assert come == f"{CROWD} connections"
    assert p99 < CROWD_P99_SECONDS * 1000
    assert plant.processes() == processes, "a worker died"
    for name, (threads, memory) in plant.usage().items():
        assert threads <= before[name][0] + 4 * len(good), (name, "rude clients hold threads")
        assert memory < before[name][1] * 1.5 + 50, (name, before[name])
