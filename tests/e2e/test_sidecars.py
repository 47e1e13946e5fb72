"""The test sidecar of the http generation as a process with a real RabbitMQ."""

import json
import signal
import socket
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pika
import pytest

from tests.e2e.rig import FULL, TIER
from tests.harness.brokers import EXCHANGE, RabbitMQ, sidecar_command, sidecar_environment, why_no_rabbitmq, why_no_sqs
from tests.harness.clusters import Process, free_port, wait_for
from tests.harness.scripted import Runtime

pytestmark = [
    pytest.mark.skipif(bool(why_no_rabbitmq()), reason=why_no_rabbitmq()),
    pytest.mark.skipif(bool(why_no_sqs()), reason=why_no_sqs()),  # the sidecar runs in moto's environment
    pytest.mark.xdist_group(f"{TIER}-e2e"),  # with the other message tests, which have a broker
]

OWN, SINK, SUMP = "asya-n-a", "asya-n-x-sink", "asya-n-x-sump"


@dataclass
class Rig:
    """A sidecar, a scripted runtime, and the broker."""

    broker: RabbitMQ
    runtime: Runtime
    sidecar: Process
    metrics: int

    def send(self, payload: Any, following: list[str] | None = None) -> None:
        """Publish to the sidecar's own queue."""
        route = {"prev": [], "curr": "a", "next": following or []}
        self.broker.publish(OWN, [json.dumps({"id": "1", "route": route, "payload": payload}).encode()])

    def healthy(self) -> bool:
        """Whether its metrics port answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics}/health", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def exit_code(self) -> int:
        """Its exit code, as soon as it has ended."""
        wait_for("the sidecar to end", lambda: not self.sidecar.running)
        return self.sidecar.stop()


@pytest.fixture
def rig(rabbitmq: RabbitMQ, tmp_path: Path) -> Iterator[Rig]:
    rabbitmq.vhost = "/"
    for queue in (OWN, SINK, SUMP, "asya-n-b"):
        rabbitmq.delete(queue)
    runtime = Runtime(tmp_path / "asya-runtime.sock")
    metrics = free_port()
    env = {
        "ASYA_ACTOR_NAME": "a",
        "ASYA_NAMESPACE": "n",
        "ASYA_TRANSPORT": "rabbitmq",
        "ASYA_RABBITMQ_URL": rabbitmq.url,
        "ASYA_SOCKET_DIR": str(tmp_path),
        "ASYA_METRICS_ADDR": f"127.0.0.1:{metrics}",
        "ASYA_RESILIENCY_ACTOR_TIMEOUT": "1s",
    }
    process = Process([*sidecar_command("http")], tmp_path / "log", {**sidecar_environment(), **env})
    yield Rig(rabbitmq, runtime, process, metrics)
    process.stop(signal.SIGKILL)
    runtime.close()


def start(rig: Rig) -> None:
    """Start the sidecar with a ready runtime."""
    make_ready(rig)
    rig.sidecar.start()


def make_ready(rig: Rig) -> None:
    """Write the file that the runtime writes when it accepts connections."""
    (rig.sidecar.log.parent / "runtime-ready").touch()


def answer(*frames: Any) -> bytes:
    data = json.dumps({"frames": frames}).encode()
    return f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data


def test_it_declares_its_own_queue_and_each_target_and_waits_for_the_runtime(rig: Rig) -> None:
    rig.runtime.answers = [answer({"payload": 1, "route": {"prev": ["a"], "curr": "b", "next": []}})]
    rig.sidecar.start()
    wait_for("health", rig.healthy)
    assert rig.broker.count(OWN) is None
    make_ready(rig)
    wait_for("its queue", lambda: rig.broker.count(OWN) == 0)
    with pika.BlockingConnection(pika.URLParameters(rig.broker.url)) as connection:
        message = {"id": "1", "route": {"prev": [], "curr": "a", "next": ["b"]}, "payload": 0}
        connection.channel().basic_publish(EXCHANGE, "a", json.dumps(message).encode())
    (message,) = rig.broker.receive("asya-n-b", 1)
    assert message["payload"] == 1
    rig.sidecar.send(signal.SIGTERM)
    assert rig.exit_code() == 0


def test_sigterm_during_a_message_ends_it_at_once_and_the_message_is_delivered_again(rig: Rig) -> None:
    gate = threading.Event()

    def hold(_connection: socket.socket) -> None:
        gate.wait(10)

    rig.runtime.otherwise = hold
    start(rig)
    wait_for("its queue", lambda: rig.broker.count(OWN) == 0)
    rig.send(1)
    wait_for("a request", lambda: rig.runtime.requests)
    rig.sidecar.send(signal.SIGTERM)
    assert rig.exit_code() == 0
    gate.set()
    wait_for("the message", lambda: rig.broker.count(OWN) == 1)
    assert (rig.broker.count(SINK), rig.broker.count(SUMP)) == (None, None)


def test_a_timeout_ends_it_and_the_message_is_in_the_sump_and_in_its_queue(rig: Rig) -> None:
    gate = threading.Event()
    rig.runtime.otherwise = lambda _connection: _wait(gate)
    start(rig)
    wait_for("its queue", lambda: rig.broker.count(OWN) == 0)
    rig.send(1)
    assert rig.exit_code() == 1
    gate.set()
    wait_for("the message", lambda: rig.broker.count(OWN) == 1)
    assert rig.broker.count(SUMP) == 1


def _wait(gate: threading.Event) -> None:
    gate.wait(10)


@pytest.mark.parametrize("arguments", [{"x-queue-type": "quorum"}, {"x-max-priority": 3}])
def test_it_consumes_nothing_from_a_queue_of_another_kind_and_stays_alive(rig: Rig, arguments: dict[str, Any]) -> None:
    rig.broker.declare(OWN, **arguments)
    rig.send(1)
    start(rig)
    wait_for("a refusal", lambda: "406" in rig.sidecar.tail())
    assert rig.sidecar.running
    assert rig.healthy()
    assert rig.runtime.requests == []
    assert rig.broker.count(OWN) == 1


def test_for_a_target_of_another_kind_it_calls_the_runtime_repeatedly(rig: Rig) -> None:
    rig.broker.declare("asya-n-b", **{"x-queue-type": "quorum"})
    rig.runtime.otherwise = answer({"payload": 1, "route": {"prev": ["a"], "curr": "b", "next": []}})
    start(rig)
    wait_for("its queue", lambda: rig.broker.count(OWN) == 0)
    rig.send(1, ["b"])
    wait_for("requests", lambda: len(rig.runtime.requests) > 2)
    assert rig.sidecar.running
    assert rig.broker.count("asya-n-b") == 0


@pytest.mark.skipif(not FULL, reason="takes 15 s: MESSAGES=full")
def test_without_a_broker_it_exits(rig: Rig) -> None:
    rig.sidecar.environment["ASYA_RABBITMQ_URL"] = f"amqp://127.0.0.1:{free_port()}/"
    rig.sidecar.start()
    assert rig.exit_code() == 1
