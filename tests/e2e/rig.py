"""Actors' pods as processes between a sidecar of each generation and a broker, for the message tests."""

import base64
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kube.objects import Object
from tests.harness.brokers import (
    PLAIN_PASSWORD,
    PLAIN_USER,
    VHOST,
    Broker,
    RabbitMQ,
    Sqs,
    sidecar_command,
    sidecar_environment,
)
from tests.harness.clusters import wait_for, why_not_real
from tests.harness.space import Space, actor
from tests.podrun.pod import Image, Pod

FULL = os.environ.get("MESSAGES") == "full"
"""Whether the long forms run."""
TIER = "sandbox" if why_not_real() else "kube-apiserver"
"""The tier of the message tests."""
REPOSITORY = "ghcr.io/deliveryhero/asya-sidecar"
TAGS = {"frames": "0.1.1", "frames-namespaced": "0.4.0", "http": "1.1.3"}
"""Tags of the sidecar's image. They tell the operator the generation."""
HANDLERS = """
import asyncio, json, os, time

def note(payload):
    with open(os.environ["CALLS"], "a") as calls:
        calls.write("%s\\n" % payload["n"])

def seen(payload):
    return {**payload, "seen": payload.get("seen", []) + [os.environ["STEP"]]}

def step(payload):
    note(payload)
    time.sleep(payload.get("seconds", 0))
    if payload.get("do") == "fail":
        raise ValueError("no good: %s" % payload["n"])
    if payload.get("do") == "nothing":
        return None
    return seen(payload)

async def later(payload):
    await asyncio.sleep(0)
    return step(payload)

def parts(payload):
    for part in range(payload.get("parts", 1)):
        yield {**seen(payload), "part": part}
    if payload.get("do") == "fail":
        raise ValueError("no good: %s" % payload["n"])

def end(payload):
    note(payload)

def again(payload):
    note(payload)
    with open(os.environ["CALLS"]) as calls:
        attempt = len(calls.read().split())
    if attempt == 1 and payload.get("do") == "hang":
        time.sleep(3600)
    if attempt < payload.get("attempts", 1):
        raise ConnectionError("attempt %d" % attempt)
    return {**seen(payload), "attempt": attempt}
"""
ACTORS = {"a": "step", "b": "later", "c": "parts", "end": "end"}
"""A function, an async function, a generator, and an end actor."""


@dataclass(frozen=True)
class Dialect:
    """The form of an envelope for a generation of the sidecar, and the ends of its route."""

    generation: str

    @property
    def is_http(self) -> bool:
        """Whether routes have ``prev``, ``curr`` and ``next``."""
        return self.generation == "http"

    @property
    def sink(self) -> str:
        """The actor that receives messages at the end of their route."""
        return "x-sink" if self.is_http else "happy-end"

    @property
    def sump(self) -> str:
        """The actor that receives messages that could not be handled."""
        return "x-sump" if self.is_http else "error-end"

    @property
    def failed(self) -> str:
        """The actor that receives messages on which a handler failed."""
        return "x-sink" if self.is_http else "error-end"

    def queue(self, namespace: str, name: str) -> str:
        """The queue of an actor."""
        return f"asya-{name}" if self.generation == "frames" else f"asya-{namespace}-{name}"

    def route(self, done: list[str], current: str, todo: list[str]) -> Object:
        """The route of an envelope. ``current`` is empty at its end."""
        if self.is_http:
            return {"prev": done, "curr": current, "next": todo}
        return {"actors": [*done, *([current] if current else []), *todo], "current": len(done)}


@dataclass
class Route:
    """The running pods of the actors, and the broker between them."""

    dialect: Dialect
    kind: str
    """``rabbitmq`` or ``sqs``."""
    broker: Broker
    space: Space
    pods: dict[str, Pod]
    directory: Path

    def queue(self, name: str) -> str:
        """The queue of an actor."""
        return self.dialect.queue(self.space.name, name)

    def send(self, actors: list[str], *payloads: Any) -> None:
        """Publish one message for each payload."""
        first, *rest = actors
        route = self.dialect.route([], first, rest)
        messages = (
            {"id": f"m{n}", "route": route, "headers": {"trace": n}, "payload": payload}
            for n, payload in enumerate(payloads)
        )
        self.broker.publish(self.queue(first), [json.dumps(message).encode() for message in messages])

    def receive(self, name: str, count: int) -> list[Any]:
        """At least ``count`` messages of an actor without a pod, and those that arrive soon after."""
        return self.broker.receive(self.queue(name), count)

    def poll(self, name: str) -> list[Any]:
        """The messages of an actor without a pod that are in its queue now."""
        return self.broker.poll(self.queue(name))

    def calls(self, name: str) -> list[int]:
        """The numbers of the messages with which an actor's function was called."""
        path = self.directory / f"{name}.calls"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def forget(self) -> None:
        """Clear the recorded calls and the end queues."""
        for name in ACTORS:
            (self.directory / f"{name}.calls").unlink(missing_ok=True)
        for name in (self.dialect.sink, self.dialect.sump, "elsewhere"):
            while self.poll(name):
                pass

    def logs(self) -> str:
        """The output of all containers, for the message of a failed test."""
        return "\n".join(f"===== {name}\n{pod.logs()}" for name, pod in self.pods.items())


def secret(name: str, **data: str) -> Object:
    """A Secret."""
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}


def asya(name: str, function: str, dialect: Dialect, transport: Object, directory: Path, **spec: Any) -> Object:
    """An actor of the route."""
    container = {
        "name": "runtime",
        "image": "app",
        "env": [
            {"name": "STEP", "value": name},
            {"name": "CALLS", "value": str(directory / f"{name}.calls")},
            {"name": "ASYA_HANDLER", "value": f"handlers.{function}"},
        ],
    }
    end = {"endActor": True} if name == "end" else {}
    made = actor(
        name,
        transport=transport,
        sidecar={"image": f"{REPOSITORY}:{TAGS[dialect.generation]}", **end},
        timeout={"processing": 20, "gracefulShutdown": 15},
        workload={"template": {"spec": {"containers": [container]}}},
    )
    made["spec"] |= spec
    return made


def transport_of(broker: Broker) -> Object:
    """The transport of an actor: RabbitMQ by URL if it has a virtual host, else by single fields."""
    if isinstance(broker, Sqs):
        sqs = {"region": Sqs.REGION, "queueBaseUrl": broker.base, "waitTimeSeconds": 1, "visibilityTimeout": 60}
        return {"type": "sqs", "sqs": sqs}
    assert isinstance(broker, RabbitMQ)
    if broker.vhost == VHOST:
        return {"type": "rabbitmq", "rabbitmq": {"urlSecretRef": {"name": "rabbitmq", "key": "url"}}}
    password = {"name": "rabbitmq", "key": "password"}
    parts = {"host": "127.0.0.1", "port": broker.port, "username": PLAIN_USER, "passwordSecretRef": password}
    return {"type": "rabbitmq", "rabbitmq": parts}


def images(directory: Path) -> dict[str, Image]:
    """The images of the pods: this Python with the handlers, and the sidecars by their tags."""
    python = Path(sys.executable).parent
    return {
        "app": Image(environment={"PATH": str(python), "PYTHONPATH": str(directory)}),
        **{
            f"{REPOSITORY}:{tag}": Image(sidecar_command(generation), sidecar_environment())
            for generation, tag in TAGS.items()
        },
    }


def start_pod(space: Space, made: Object, directory: Path) -> Pod:
    """Apply an actor and run its pod, as its Deployment's controller and admission made it."""
    space.apply(made)
    name = made["metadata"]["name"]

    def probe() -> list[Object]:
        return [pod for pod in space.all("Pod") if pod["metadata"]["labels"].get("asya.io/actor") == name]

    (result,) = wait_for(f"the pod of {name}", probe)
    pod = Pod(result, space.client, directory / name, images(directory))
    pod.start()
    return pod


@contextmanager
def running(space: Space, broker: Broker, dialect: Dialect, directory: Path) -> Iterator[Route]:
    """The ready pods of the route. They are stopped at the end."""
    (directory / "handlers.py").write_text(HANDLERS)
    kind = "sqs" if isinstance(broker, Sqs) else "rabbitmq"
    pods: dict[str, Pod] = {}
    route = Route(dialect, kind, broker, space, pods, directory)
    own = [] if dialect.is_http and kind == "rabbitmq" else [*ACTORS, "elsewhere"]
    broker.declare(*(route.queue(name) for name in (*own, dialect.sink, dialect.sump)))
    if isinstance(broker, RabbitMQ):
        space.apply(secret("rabbitmq", password=PLAIN_PASSWORD, url=broker.url))
    try:
        for name, function in ACTORS.items():
            made = asya(name, function, dialect, transport_of(broker), directory)
            pods[name] = start_pod(space, made, directory)
        wait_for_pods(route)
        yield route
    finally:
        stopping = [threading.Thread(target=pod.stop) for pod in pods.values()]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()


@contextmanager
def another(route: Route, name: str, function: str, **spec: Any) -> Iterator[Pod]:
    """One more actor with its pod, for a test with a spec of its own."""
    route.broker.declare(*(() if route.dialect.is_http and route.kind == "rabbitmq" else (route.queue(name),)))
    made = asya(name, function, route.dialect, transport_of(route.broker), route.directory, **spec)
    route.pods[name] = start_pod(route.space, made, route.directory)
    try:
        wait_for_pods(route)
        yield route.pods[name]
    finally:
        route.pods.pop(name).stop()


def wait_for_pods(route: Route) -> None:
    """Wait until all pods are ready, and until sidecars that declare their queues have done so."""
    try:
        wait_for("pods to be ready", lambda: all(pod.ready for pod in route.pods.values()))
        wait_for("queues", lambda: all(route.broker.exists(route.queue(name)) for name in route.pods))
    except AssertionError as error:
        raise AssertionError(f"{error}\n{route.logs()}") from None


def measured(what: str, count: int, began: float) -> None:
    """Print a rate. ``pytest -s`` shows it."""
    seconds = time.monotonic() - began
    print(f"\n{what}: {count} messages in {seconds:.1f} s, {count / seconds:.0f}/s")
