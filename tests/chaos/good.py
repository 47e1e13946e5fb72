"""Clients that behave like an API server, while rude clients use the webhook."""

import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from tests.harness.clusters import ROOT

PAUSE_SECONDS = 0.02
API_SECONDS = 5
"""Seconds that an API server waits for a response."""
CROWD = 2000
CROWD_GOOD_CLIENTS = 8


class Good(threading.Thread):
    """A client like an API server: one review at a time, on a kept-alive connection or on a new one each time."""

    def __init__(
        self, port: int, until: float, *, reconnects: bool = False, actor: str = "actor-0", namespace: str = "load"
    ) -> None:
        super().__init__(daemon=True)
        self._port, self._until, self._reconnects = port, until, reconnects
        self.seconds: list[float] = []
        self.problems: list[str] = []
        pod = {
            "metadata": {"name": "x", "labels": {"asya.io/actor": actor}},
            "spec": {"containers": [{"name": "app", "image": "app:1", "env": [{"name": "A", "value": "x" * 2000}]}]},
        }
        request = {"operation": "CREATE", "namespace": namespace, "object": pod} | {
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
        """Send reviews until the time is over."""
        connection = None
        try:
            while time.monotonic() < self._until:
                start_time = time.perf_counter()
                connection = connection or self._connect()
                connection.sendall(self._request)
                answer = _answer(connection)
                self.seconds.append(time.perf_counter() - start_time)
                if b"200 OK" not in answer or b'"patch"' not in answer:
                    self.problems.append(answer[:200].decode(errors="replace"))
                    return
                if self._reconnects:
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
        # The address differs from the rude clients', as an API server's does: the webhook limits connections by
        # address.
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self._port), API_SECONDS, ("127.0.0.2", 0)))


def _answer(connection: ssl.SSLSocket) -> bytes:
    """Read a whole response."""
    answer = b""
    while True:
        part = connection.recv(65536)
        if not part:
            return answer
        answer += part
        head, end, body = answer.partition(b"\r\n\r\n")
        if end and len(body) >= int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]):
            return answer


@dataclass(frozen=True)
class Meeting:
    """The results of the good clients during a crowd."""

    connected: int
    """Number of rude connections."""
    seconds: list[float]
    """Milliseconds of each admission, the fastest first."""
    problems: list[str]

    def share(self, part: float) -> float:
        """The milliseconds that this share of the admissions did not exceed."""
        return self.seconds[min(len(self.seconds) - 1, int(len(self.seconds) * part))] * 1000

    def __str__(self) -> str:
        figures = f"p50 {self.share(0.5):.1f}, p99 {self.share(0.99):.1f}, most {self.share(1):.1f} ms"
        return (
            f"{self.connected} rude connections, {len(self.seconds)} admissions, {len(self.problems)} failed: {figures}"
        )


def meet_a_crowd(
    port: int, seconds: float, actor: str = "actor-0", namespace: str = "load", arrived: Callable[[], None] = print
) -> Meeting:
    """Run good clients for this many seconds among :data:`CROWD` rude ones.

    Half of the good clients connect anew for each request. ``arrived`` is called when the whole crowd has connected.
    """
    arguments = [sys.executable, "-m", "tests.chaos.crowd", str(port), str(CROWD), str(seconds + 4)]
    crowd = subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert crowd.stdout is not None
    try:
        connected = int(crowd.stdout.readline().split()[0])
        arrived()
        until = time.monotonic() + seconds
        good = [
            Good(port, until, reconnects=n % 2 == 0, actor=actor, namespace=namespace)
            for n in range(CROWD_GOOD_CLIENTS)
        ]
        for client in good:
            client.start()
        for client in good:
            client.join(seconds + 30)
    finally:
        crowd.terminate()
        crowd.wait(10)
    return Meeting(
        connected,
        sorted(s for client in good for s in client.seconds),
        [problem for client in good for problem in client.problems],
    )
