"""The RabbitMQ of examples/minikube in a namespace of the tests, with messages counted at both ends."""

import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

import pika
import urllib3
import yaml
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError

from tests.harness.clusters import ROOT, wait_for
from tests.node.kubectl import Forward, apply, kubectl

USER = PASSWORD = "asya"
EXCHANGE = "asya"
AMQP, MANAGEMENT = 5672, 15672
T = TypeVar("T")


def _publish(channel: BlockingChannel, queue: str, body: bytes, properties: pika.BasicProperties) -> None:
    channel.basic_publish("", queue, body, properties, mandatory=True)


class Broker:
    """One RabbitMQ, reached through kubectl."""

    def __init__(self, namespace: str, adjust: Callable[[list[Any]], object] = len, vhost: str = "/") -> None:
        """Start RabbitMQ.

        Args:
            namespace: a new namespace.
            adjust: changes the example's objects before they are applied.
            vhost: the virtual host of the tests. The user has all rights there.
        """
        self.namespace, self.host, self.vhost = namespace, f"rabbitmq.{namespace}", vhost
        objects = list(yaml.safe_load_all((ROOT / "examples/minikube/rabbitmq.yaml").read_text()))
        for obj in objects:
            if obj["kind"] == "Namespace":
                obj["metadata"]["name"] = namespace
            else:
                obj["metadata"]["namespace"] = namespace
            if obj["kind"] == "Service":
                obj["spec"]["ports"] = [{"name": n, "port": p} for n, p in (("amqp", AMQP), ("http", MANAGEMENT))]
        adjust(objects)
        apply(*objects)
        kubectl("-n", namespace, "rollout", "status", "deployment/rabbitmq", "--timeout=180s", timeout=200)
        self._forward: Forward | None = None
        self._connection: pika.BlockingConnection | None = None
        self._channel: BlockingChannel | None = None
        self._http = urllib3.PoolManager()
        self._call(lambda c: c.exchange_declare(EXCHANGE, "topic", durable=True))

    def _ports(self) -> dict[int, int]:
        if self._forward is None or not self._forward.alive:
            self._forward = Forward(self.namespace, "deployment/rabbitmq", AMQP, MANAGEMENT)
        return self._forward.ports

    def _call(self, do: Callable[[BlockingChannel], T]) -> T:
        """Run a function on a channel. Open a new one if the last has ended: an idle one misses its heartbeats."""
        for attempt in range(5):
            try:
                if self._channel is None or not self._channel.is_open:
                    self._connection = pika.BlockingConnection(
                        pika.ConnectionParameters(
                            "127.0.0.1",
                            self._ports()[AMQP],
                            self.vhost,
                            credentials=pika.PlainCredentials(USER, PASSWORD),
                            heartbeat=0,
                        )
                    )
                    self._channel = self._connection.channel()
                    self._channel.confirm_delivery()
                return do(self._channel)
            except (AMQPError, OSError):
                self._channel = None
                if attempt == 4:
                    raise
                time.sleep(1)
        raise AssertionError("unreachable")

    def declare(self, queue: str, key: str) -> None:
        """Create a durable, empty queue, bound to the topic exchange by ``key``, as sidecars expect it."""

        def do(channel: BlockingChannel) -> None:
            channel.queue_declare(queue, durable=True)
            channel.queue_bind(queue, EXCHANGE, key)
            channel.queue_purge(queue)

        self._call(do)

    def delete(self, *queues: str) -> None:
        """Delete queues."""

        def do(channel: BlockingChannel) -> None:
            for queue in queues:
                channel.queue_delete(queue)

        self._call(do)

    def publish(self, queue: str, bodies: Iterable[bytes]) -> None:
        """Send messages, each confirmed."""
        properties = pika.BasicProperties(delivery_mode=2)
        for body in bodies:
            self._call(partial(_publish, queue=queue, body=body, properties=properties))

    def take(self, queue: str) -> list[Any]:
        """Take the messages that are ready now, decoded."""

        def do(channel: BlockingChannel) -> list[Any]:
            messages: list[Any] = []
            while True:
                method, _properties, body = channel.basic_get(queue, auto_ack=True)
                if method is None or body is None:
                    return messages
                messages.append(json.loads(body))

        return self._call(do)

    def ready(self, queue: str) -> int:
        """Number of messages that wait in a queue, without those at a consumer."""
        return int(self._call(lambda channel: channel.queue_declare(queue, passive=True)).method.message_count)

    def total(self, queue: str) -> int:
        """Number of messages in a queue, including those at a consumer."""
        answer = self._http.request(
            "GET",
            f"http://127.0.0.1:{self._ports()[MANAGEMENT]}/api/queues/{quote(self.vhost, safe='')}/{queue}",
            headers=urllib3.make_headers(basic_auth=f"{USER}:{PASSWORD}"),
        )
        assert answer.status == 200, answer.data
        return int(json.loads(answer.data).get("messages", 0))

    def stop(self) -> None:
        """Delete RabbitMQ."""
        if self._forward is not None:
            self._forward.stop()
        kubectl("delete", "namespace", self.namespace, "--wait=false", "--ignore-not-found")


@dataclass
class Counted:
    """The messages at the end of a route, by id."""

    sent: int
    answered: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)

    @property
    def missing(self) -> list[str]:
        """Ids of messages without an answer."""
        return [i for i in map(str, range(self.sent)) if i not in self.answered and i not in self.failed]

    @property
    def doubled(self) -> list[str]:
        """Ids of messages with more than one answer."""
        return [i for i, n in self.answered.items() if n > 1]

    def __str__(self) -> str:
        dead, missing, twice = sum(self.failed.values()), len(self.missing), len(self.doubled)
        return f"{self.sent} sent, {len(self.answered)} answered ({twice} twice), {dead} failed, {missing} missing"


class Route:
    """An actor's queue, the next queue of its route, and the queues for failed messages.

    Ids of messages begin with a token of the route. The end queues of all namespaces have the same routing keys in one
    exchange, so they also receive messages of an earlier test, whose pods still end.
    """

    def __init__(self, broker: Broker, generation: str, namespace: str, actor: str) -> None:
        self.broker, self.generation, self.actor = broker, generation, actor
        self.done = f"{actor}-done"
        prefix = "asya-" if generation == "frames" else f"asya-{namespace}-"
        self.queue, self.answers = f"{prefix}{actor}", f"{prefix}{self.done}"
        ends = ("happy-end", "error-end") if generation == "frames" else ("x-sink", "x-sump")
        self._ends = [f"{prefix}{end}" for end in ends]
        self.queues = ((self.queue, actor), (self.answers, self.done), *zip(self._ends, ends, strict=True))
        """Each queue with the key of its binding."""
        for queue, key in self.queues:
            broker.declare(queue, key)
        self.counted = Counted(0)
        self._token = secrets.token_hex(3)

    def send(self, payloads: Iterable[Any]) -> None:
        """Publish one message for each payload. Their ids count from 0."""
        bodies = []
        for payload in payloads:
            bodies.append(json.dumps(self._message(f"{self._token}-{self.counted.sent}", payload)).encode())
            self.counted.sent += 1
        self.broker.publish(self.queue, bodies)

    def _message(self, number: str, payload: Any) -> dict[str, Any]:
        if self.generation == "frames":
            route: dict[str, Any] = {"actors": [self.actor, self.done], "current": 0}
        else:
            route = {"prev": [], "curr": self.actor, "next": [self.done]}
        return {"id": number, "route": route, "headers": {}, "payload": payload}

    def collect(self, *, others: bool = False) -> Counted:
        """Count the messages of this route that have arrived since the last call; with ``others``, those of anyone."""
        for counts, queue in ((self.counted.answered, self.answers), *((self.counted.failed, q) for q in self._ends)):
            for message in self.broker.take(queue):
                token, _, number = str(message.get("id") or "?").partition("-")
                if token in (self._token, "?"):
                    counts[number or token] += 1
                elif others:
                    counts[f"{token}-{number}"] += 1
        return self.counted

    def wait_all(self, timeout: float = 300, pause: float = 0.5) -> Counted:
        """Count until every message has an answer, then count the answers of two more seconds."""
        try:
            wait_for("all messages", lambda: not self.collect().missing, timeout=timeout, pause=pause)
        except AssertionError:
            raise AssertionError(
                f"not within {timeout:g} s: {self.counted}; missing {self.counted.missing[:20]}"
            ) from None
        time.sleep(2)
        return self.collect()

    def close(self) -> None:
        """Delete the queues."""
        self.broker.delete(self.queue, self.answers, *self._ends)
