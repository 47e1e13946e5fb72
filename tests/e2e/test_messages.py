"""An injected pod is right only if messages flow through it: real brokers, real pods' specs, real processes."""

import base64
import json
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kube.client import Object
from tests.harness.brokers import (
    MOTO,
    PASSWORD,
    USER,
    VHOST,
    Broker,
    RabbitMQ,
    Sqs,
    sidecar_environment,
    why_no_rabbitmq,
    why_no_sqs,
)
from tests.harness.clusters import ROOT, Cluster, wait_for, why_not_real
from tests.harness.operator import Operator
from tests.harness.space import Space, actor
from tests.podrun.pod import Image, Pod

pytestmark = pytest.mark.parametrize("tier", ["sandbox" if why_not_real() else "kube-apiserver"], indirect=True)

MESSAGES = {"password": 2000, "url": 2000, "sqs": 500}
"""moto takes 35 ms of its one core for each."""
LARGE = {"password": 9 * 1024 * 1024, "url": 9 * 1024 * 1024, "sqs": 200 * 1024}
"""SQS itself takes no more than 256 KiB."""
HANDLERS = """
import os

def step(payload):
    with open(os.environ["CALLS"], "a") as calls:
        calls.write("%s\\n" % payload["n"])
    return {**payload, "seen": payload.get("seen", []) + [os.environ["STEP"]]}

async def fan(payload):
    return [{**payload, "part": part} for part in range(3)]

def fail(payload):
    raise ValueError("no good: %s" % payload["n"])
"""
ACTORS = {"a": "step", "b": "step", "c": "step", "fan": "fan", "bad": "fail"}


@dataclass
class Route:
    """The actors' pods, running, and the broker between them."""

    kind: str
    broker: Broker
    pods: dict[str, Pod]
    calls: Path

    def send(self, actors: list[str], *payloads: Any) -> None:
        """Publish a message a payload."""
        self.broker.publish(
            f"asya-{actors[0]}",
            [
                json.dumps(
                    {
                        "id": str(n),
                        "route": {"actors": actors, "current": 0},
                        "headers": {"trace": n},
                        "payload": payload,
                    }
                ).encode()
                for n, payload in enumerate(payloads)
            ],
        )


def secret(name: str, **data: str) -> Object:
    """A Secret."""
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}


def asya(name: str, transport: Object, calls: Path) -> Object:
    """An actor of the route."""
    container = {
        "name": "runtime",
        "image": "app",
        "env": [
            {"name": "STEP", "value": name},
            {"name": "CALLS", "value": str(calls)},
            {"name": "ASYA_HANDLER", "value": f"handlers.{ACTORS[name]}"},
        ],
    }
    return actor(
        name,
        transport=transport,
        sidecar={"image": "sidecar", "generation": "frames"},
        timeout={"processing": 20, "gracefulShutdown": 15},
        workload={"template": {"spec": {"containers": [container]}}},
    )


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """One server for both ways to name it."""
    started = RabbitMQ(tmp_path_factory.mktemp("rabbitmq") / "broker")
    yield started
    started.stop()


@pytest.fixture(
    scope="module",
    params=[
        pytest.param("password", marks=pytest.mark.skipif(bool(why_no_rabbitmq()), reason=why_no_rabbitmq())),
        pytest.param("url", marks=pytest.mark.skipif(bool(why_no_rabbitmq()), reason=why_no_rabbitmq())),
        pytest.param("sqs", marks=pytest.mark.skipif(bool(why_no_sqs()), reason=why_no_sqs())),
    ],
)
def route(
    request: pytest.FixtureRequest, cluster: Cluster, _operator: Operator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Route]:
    """Five actors by one transport, their pods as the API server has them run as processes."""
    _operator.heal()
    directory = tmp_path_factory.mktemp("e2e")
    (directory / "handlers.py").write_text(HANDLERS)
    calls = directory / "calls"
    broker: Broker
    if request.param == "sqs":
        broker = sqs = Sqs(directory / "broker")
        transport = {
            "type": "sqs",
            "sqs": {"region": Sqs.REGION, "queueBaseUrl": sqs.base, "waitTimeSeconds": 1, "visibilityTimeout": 60},
        }
    else:
        broker = rabbitmq = request.getfixturevalue("rabbitmq")
        rabbitmq.vhost = VHOST if request.param == "url" else "/"
        by_url = {"urlSecretRef": {"name": "rabbitmq", "key": "url"}}
        by_parts = {
            "host": "127.0.0.1",
            "port": rabbitmq.port,
            "username": USER,
            "passwordSecretRef": {"name": "rabbitmq", "key": "password"},
        }
        transport = {"type": "rabbitmq", "rabbitmq": by_url if request.param == "url" else by_parts}
    broker.declare(*(f"asya-{name}" for name in (*ACTORS, "happy-end", "error-end")))
    python = Path(sys.executable).parent
    images = {
        "app": Image(environment={"PATH": str(python), "PYTHONPATH": str(directory)}),
        "sidecar": Image((str(MOTO / "python"), str(ROOT / "tests/podrun/sidecar.py")), sidecar_environment()),
    }
    pods: dict[str, Pod] = {}
    try:
        with Space.create(cluster.client(), f"e2e-{request.param}") as space:
            if isinstance(broker, RabbitMQ):
                space.apply(secret("rabbitmq", password=PASSWORD, url=broker.url))
            for name in ACTORS:
                space.apply(asya(name, transport, calls))
            for name in ACTORS:
                pods[name] = Pod(_pod_of(space, name), space.client, directory / name, images)
                pods[name].start()
            yield Route(request.param, broker, pods, calls)
    finally:
        for pod in pods.values():
            pod.stop()
        if isinstance(broker, Sqs):
            broker.stop()


def _pod_of(space: Space, name: str) -> Object:
    """The pod of an actor, as its Deployment's controller made it and admission left it."""

    def probe() -> list[Object]:
        return [pod for pod in space.all("Pod") if pod["metadata"]["labels"].get("asya.io/actor") == name]

    (pod,) = wait_for(f"the pod of {name}", probe)
    return pod


def test_a_route_of_three(route: Route) -> None:
    route.send(["a", "b", "c"], {"n": 1, "text": "é ✓"})
    (message,) = route.broker.receive("asya-happy-end", 1)
    assert message == {
        "id": "0",
        "route": {"actors": ["a", "b", "c"], "current": 3},
        "headers": {"trace": 0},
        "payload": {"n": 1, "text": "é ✓", "seen": ["a", "b", "c"]},
    }


def test_the_answer_arrives_in_the_next_queue(route: Route) -> None:
    route.broker.declare("asya-elsewhere")
    route.send(["a", "elsewhere"], {"n": 2})
    (message,) = route.broker.receive("asya-elsewhere", 1)
    assert (message["route"]["current"], message["payload"]["seen"]) == (1, ["a"])


def test_fan_out(route: Route) -> None:
    route.send(["fan", "b"], {"n": 3})
    messages = route.broker.receive("asya-happy-end", 3)
    assert sorted(m["payload"]["part"] for m in messages) == [0, 1, 2]
    assert all(m["payload"]["seen"] == ["b"] for m in messages)


def test_an_error_ends_in_the_error_queue(route: Route) -> None:
    route.send(["bad", "b"], {"n": 4})
    (message,) = route.broker.receive("asya-error-end", 1)
    assert message["error"] == "processing_error"
    assert message["details"]["message"] == "no good: 4"
    assert "handlers.py" in message["details"]["traceback"]
    assert message["payload"] == {"n": 4}


def test_a_large_payload(route: Route) -> None:
    text = "x" * LARGE[route.kind]
    route.send(["a"], {"n": 5, "text": text})
    (message,) = route.broker.receive("asya-happy-end", 1)
    assert message["payload"]["text"] == text


def test_no_message_is_lost_or_doubled_while_the_runtime_is_restarted_twice(route: Route) -> None:
    pod = route.pods["a"]
    route.calls.write_text("")
    before = pod.restarts["runtime"]
    count = MESSAGES[route.kind]
    terminations = [count // 6, count // 2]
    sent, received = 0, list[int]()

    def all_there() -> bool:
        nonlocal sent
        if sent < count and sent - len(received) < 200:
            route.send(["a"], *({"n": n} for n in range(sent, sent + 100)))
            sent += 100
        received.extend(m["payload"]["n"] for m in route.broker.poll("asya-happy-end"))
        if terminations and len(received) > terminations[0] and pod.restarts["runtime"] == before + len(done):
            done.append(terminations.pop(0))
            pod.signal("runtime", signal.SIGTERM)
        return len(received) >= count

    done: list[int] = []
    wait_for("all messages", all_there, pause=0)
    received.extend(m["payload"]["n"] for m in route.broker.receive("asya-happy-end", 0))
    assert Counter(received) == Counter(range(count))
    assert Counter(map(int, route.calls.read_text().split())) == Counter(range(count))
    assert pod.restarts == {"runtime": before + 2, "sidecar": 0}, pod.log("sidecar")
