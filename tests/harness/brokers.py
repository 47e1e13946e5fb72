"""RabbitMQ and an SQS server on loopback, and clients that publish and receive."""

import json
import os
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pika
import urllib3
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, ChannelClosedByBroker

from tests.harness.clusters import ROOT, Process, free_port, wait_for

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Debian's program. The one on the PATH changes to another user first."""
MOTO = ROOT / ".venv" / "moto" / "bin"
"""moto has an environment of its own, because botocore and kubernetes need different versions of python-dateutil."""
USER, PASSWORD = "encoded", "p@ss/w:o#r%d"
"""Characters that need percent-encoding in a URL, as in ``urlSecretRef``."""
PLAIN_USER, PLAIN_PASSWORD = "plain", "plain-password"
"""Characters that are valid in a URL, because released sidecars insert them without encoding."""
MANUAL_USER = MANUAL_PASSWORD = "asya"
"""Credentials of the broker in the manual."""
ACCOUNTS = {USER: PASSWORD, PLAIN_USER: PLAIN_PASSWORD, MANUAL_USER: MANUAL_PASSWORD}
VHOST = "a/b"
BINARY = "ASYA_SIDECAR_BINARY"
"""Variable with the path of a released sidecar of the frames generation, which replaces the one in ``tests/podrun``."""
EXCHANGE = "asya"
"""The topic exchange to which released sidecars publish."""


def why_no_rabbitmq() -> str:
    """Why RabbitMQ cannot start. Empty if it can."""
    return "" if RABBITMQ.exists() and shutil.which("erl") else "no rabbitmq-server (apt-get install rabbitmq-server)"


def why_no_sqs() -> str:
    """Why moto cannot start. Empty if it can."""
    return "" if (MOTO / "moto_server").exists() else f"no moto_server in {MOTO} (make setup)"


class Broker(ABC):
    """A broker with queues."""

    @abstractmethod
    def declare(self, *queues: str) -> None:
        """Create the queues, empty, as sidecars of the frames generations expect them."""

    @abstractmethod
    def exists(self, queue: str) -> bool:
        """Whether the queue exists."""

    @abstractmethod
    def publish(self, queue: str, bodies: list[bytes]) -> None:
        """Send messages."""

    @abstractmethod
    def poll(self, queue: str) -> list[Any]:
        """Take the messages that are in the queue now, or some of them, decoded."""

    def receive(self, queue: str, count: int) -> list[Any]:
        """At least ``count`` messages, and those that arrive within half a second after."""
        messages: list[Any] = []

        def enough() -> bool:
            messages.extend(self.poll(queue))
            return len(messages) >= count

        wait_for(f"{count} messages in {queue}", enough)
        time.sleep(0.5)
        while more := self.poll(queue):
            messages.extend(more)
        return messages

    @abstractmethod
    def stop(self) -> None:
        """Stop the server."""


class RabbitMQ(Broker):
    """Debian's RabbitMQ, with some users and two virtual hosts."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.port, self._epmd = free_port(), free_port()
        permissions = {"configure": ".*", "write": ".*", "read": ".*"}
        definitions = {
            "users": [{"name": name, "password": password, "tags": ""} for name, password in ACCOUNTS.items()],
            "vhosts": [{"name": "/"}, {"name": VHOST}],
            "permissions": [
                {**permissions, "user": user, "vhost": vhost} for vhost in ("/", VHOST) for user in ACCOUNTS
            ],
        }
        (directory / "definitions.json").write_text(json.dumps(definitions))
        (directory / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = 127.0.0.1:{self.port}\nload_definitions = {directory / 'definitions.json'}\n"
        )
        (directory / "plugins").write_text("[].\n")
        self._environment = {
            "HOME": str(directory),
            "ERL_EPMD_PORT": str(self._epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
            "RABBITMQ_PID_FILE": str(directory / "pid"),
        }
        self._process = Process([str(RABBITMQ)], directory / "rabbitmq.log", self._environment).start()
        self.vhost = "/"
        self._kept: dict[str, pika.BlockingConnection] = {}
        """Open connections, by virtual host."""
        try:
            wait_for("RabbitMQ", self._up)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._process.tail()}") from None

    @property
    def url(self) -> str:
        """The URL with the password percent-encoded, as ``urlSecretRef`` requires."""
        return f"amqp://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{quote(self.vhost, safe='')}"

    def declare(self, *queues: str, **arguments: Any) -> None:
        """Create the queues, empty, and bind them by their names without ``asya-``."""
        with self._channel() as channel:
            channel.exchange_declare(EXCHANGE, "topic", durable=True)
            for queue in queues:
                channel.queue_declare(queue, durable=True, arguments=arguments)
                channel.queue_purge(queue)
                channel.queue_bind(queue, EXCHANGE, queue.removeprefix("asya-"))

    def delete(self, queue: str) -> None:
        """Remove a queue if it exists."""
        with self._channel() as channel:
            channel.queue_delete(queue)

    def exists(self, queue: str) -> bool:
        """Whether the queue exists."""
        return self.count(queue) is not None

    def count(self, queue: str) -> int | None:
        """Number of messages that wait in a queue, without those at a consumer. None if there is no such queue."""
        with self._channel() as channel:
            try:
                return int(channel.queue_declare(queue, passive=True).method.message_count)
            except ChannelClosedByBroker:
                return None

    def publish(self, queue: str, bodies: list[bytes]) -> None:
        """Send messages."""
        with self._channel() as channel:
            for body in bodies:
                channel.basic_publish("", queue, body)

    def poll(self, queue: str) -> list[Any]:
        """Take the messages that are in the queue now, decoded. Empty if there is no such queue."""
        messages: list[Any] = []
        with self._channel() as channel:
            while True:
                try:
                    method, _properties, body = channel.basic_get(queue, auto_ack=True)
                except ChannelClosedByBroker:
                    return messages
                if method is None or body is None:
                    return messages
                messages.append(json.loads(body))

    def stop(self) -> None:
        """Stop the server."""
        self._process.stop()
        epmd = next(iter(Path("/usr/lib/erlang").glob("erts-*/bin/epmd")), Path("epmd"))
        command = [str(epmd), "-port", str(self._epmd), "-kill"]
        subprocess.run(command, check=False, capture_output=True, timeout=10)

    @contextmanager
    def _channel(self) -> Iterator[BlockingChannel]:
        """A channel of a connection that stays open."""
        if self.vhost not in self._kept:
            self._kept[self.vhost] = self._connect()
        channel = self._kept[self.vhost].channel()
        try:
            yield channel
        finally:
            if channel.is_open:
                channel.close()

    def _connect(self) -> pika.BlockingConnection:
        parameters = pika.URLParameters(self.url)
        parameters.heartbeat = 0
        return pika.BlockingConnection(parameters)

    def _up(self) -> bool:
        assert self._process.running, "RabbitMQ ended"
        try:
            with self._connect():
                return True
        except (AMQPError, OSError):
            return False


class Sqs(Broker):
    """moto's SQS, used through its JSON protocol."""

    REGION, ACCOUNT = "eu-west-1", "123456789012"

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.base = f"{self.endpoint}/{self.ACCOUNT}"
        command = [str(MOTO / "moto_server"), "-H", "127.0.0.1", "-p", str(self.port)]
        self._process = Process(command, directory / "moto.log").start()
        self._pool = urllib3.PoolManager()
        wait_for("moto", self._up)

    def declare(self, *queues: str) -> None:
        """Create the queues anew, because SQS purges a queue at most once a minute."""
        for queue in queues:
            if self.exists(queue):
                self._call("DeleteQueue", QueueUrl=f"{self.base}/{queue}")
            self._call("CreateQueue", QueueName=queue)

    def exists(self, queue: str) -> bool:
        """Whether the queue exists."""
        answer = self._call("ListQueues", QueueNamePrefix=queue)
        return f"{self.base}/{queue}" in (answer.get("QueueUrls") or ())

    def publish(self, queue: str, bodies: list[bytes]) -> None:
        """Send messages, ten in each request."""
        for n in range(0, len(bodies), 10):
            entries = [{"Id": str(i), "MessageBody": body.decode()} for i, body in enumerate(bodies[n : n + 10])]
            self._call("SendMessageBatch", QueueUrl=f"{self.base}/{queue}", Entries=entries)

    def poll(self, queue: str) -> list[Any]:
        """Take up to ten of the messages that are in the queue now, decoded."""
        url = f"{self.base}/{queue}"
        messages = self._call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10).get("Messages") or []
        if messages:
            entries = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(messages)]
            self._call("DeleteMessageBatch", QueueUrl=url, Entries=entries)
        return [json.loads(message["Body"]) for message in messages]

    def stop(self) -> None:
        """Stop the server."""
        self._process.stop()

    def _call(self, action: str, **parameters: Any) -> Any:
        return call_sqs(self._pool, self.endpoint, self.REGION, action, parameters)

    def _up(self) -> bool:
        assert self._process.running, "moto ended"
        try:
            return bool(self._pool.request("GET", f"{self.endpoint}/moto-api/", retries=False).status == 200)
        except urllib3.exceptions.HTTPError:
            return False


def call_sqs(pool: urllib3.PoolManager, endpoint: str, region: str, action: str, parameters: Mapping[str, Any]) -> Any:
    """Call an action of moto's SQS by its JSON protocol. moto does not check the signature."""
    scope = f"test/20260101/{region}/sqs/aws4_request"
    response = pool.request(
        "POST",
        endpoint,
        body=json.dumps(parameters),
        headers={
            "X-Amz-Target": f"AmazonSQS.{action}",
            "Content-Type": "application/x-amz-json-1.0",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none",
        },
    )
    assert response.status == 200, response.data
    return json.loads(response.data or b"{}")


def sidecar_environment() -> dict[str, str]:
    """Environment variables of the test sidecar's image. The credentials stand for the pod's identity."""
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    return {"PATH": os.defpath, "PYTHONPATH": str(ROOT), **credentials}


def sidecar_command(generation: str) -> tuple[str, ...]:
    """The command of the test sidecar of a generation, or of a released binary if a variable names one."""
    binary = os.environ.get(BINARY)
    if binary and generation == "frames":
        return (binary,)
    return (str(MOTO / "python"), "-m", "tests.podrun.sidecar", generation)
