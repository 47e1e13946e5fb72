"""RabbitMQ and an SQS that is not Amazon's, started on loopback, and clients that publish and receive."""

import json
import os
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pika
import urllib3
from pika.exceptions import AMQPError

from tests.harness.clusters import ROOT, Process, free_port, wait_for

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Debian's. What is in the path changes to another user first."""
MOTO = ROOT / ".venv" / "moto" / "bin"
"""An environment of its own, since botocore and kubernetes want different versions of python-dateutil."""
USER, PASSWORD = "asya", "p@ss/w:o#r%d"
VHOST = "a/b"


def why_no_rabbitmq() -> str:
    """Why RabbitMQ cannot be started, or an empty string."""
    return "" if RABBITMQ.exists() and shutil.which("erl") else "no rabbitmq-server (apt-get install rabbitmq-server)"


def why_no_sqs() -> str:
    """Why moto cannot be started, or an empty string."""
    return "" if (MOTO / "moto_server").exists() else f"no moto_server in {MOTO} (make setup)"


class Broker(ABC):
    """A broker with queues."""

    @abstractmethod
    def declare(self, *queues: str) -> None:
        """Make the queues, empty."""

    @abstractmethod
    def publish(self, queue: str, bodies: list[bytes]) -> None:
        """Send messages."""

    @abstractmethod
    def poll(self, queue: str) -> list[Any]:
        """The messages that are there now, or some of them, decoded and taken out."""

    def receive(self, queue: str, count: int) -> list[Any]:
        """At least ``count`` messages, and what comes within half a second after."""
        found: list[Any] = []

        def enough() -> bool:
            found.extend(self.poll(queue))
            return len(found) >= count

        wait_for(f"{count} messages in {queue}", enough)
        time.sleep(0.5)
        while more := self.poll(queue):
            found.extend(more)
        return found

    @abstractmethod
    def stop(self) -> None:
        """Stop the server."""


class RabbitMQ(Broker):
    """Debian's RabbitMQ, with a user and two virtual hosts."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.port, self._epmd = free_port(), free_port()
        permissions = {"user": USER, "configure": ".*", "write": ".*", "read": ".*"}
        definitions = {
            "users": [{"name": USER, "password": PASSWORD, "tags": ""}],
            "vhosts": [{"name": "/"}, {"name": VHOST}],
            "permissions": [{**permissions, "vhost": vhost} for vhost in ("/", VHOST)],
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
        try:
            wait_for("RabbitMQ", self._up)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._process.tail()}") from None

    @property
    def url(self) -> str:
        """With the password percent-encoded, as ``urlSecretRef`` wants it."""
        return f"amqp://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{quote(self.vhost, safe='')}"

    def declare(self, *queues: str) -> None:
        """Make the queues, empty."""
        with self._connect() as connection:
            for queue in queues:
                connection.channel().queue_declare(queue, durable=True)
                connection.channel().queue_purge(queue)

    def publish(self, queue: str, bodies: list[bytes]) -> None:
        """Send messages."""
        with self._connect() as connection:
            channel = connection.channel()
            for body in bodies:
                channel.basic_publish("", queue, body)

    def poll(self, queue: str) -> list[Any]:
        """The messages that are there now, decoded and taken out."""
        found: list[Any] = []
        with self._connect() as connection:
            channel = connection.channel()
            while True:
                method, _properties, body = channel.basic_get(queue, auto_ack=True)
                if method is None or body is None:
                    return found
                found.append(json.loads(body))

    def stop(self) -> None:
        """Stop the server."""
        self._process.stop()
        epmd = next(iter(Path("/usr/lib/erlang").glob("erts-*/bin/epmd")), Path("epmd"))
        command = [str(epmd), "-port", str(self._epmd), "-kill"]
        subprocess.run(command, check=False, capture_output=True, timeout=10)

    def _connect(self) -> pika.BlockingConnection:
        return pika.BlockingConnection(pika.URLParameters(self.url))

    def _up(self) -> bool:
        assert self._process.running, "RabbitMQ ended"
        try:
            with self._connect():
                return True
        except (AMQPError, OSError):
            return False


class Sqs(Broker):
    """moto's SQS, by its JSON protocol."""

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
        """Make the queues, empty."""
        for queue in queues:
            self._call("CreateQueue", QueueName=queue)
            self._call("PurgeQueue", QueueUrl=f"{self.base}/{queue}")

    def publish(self, queue: str, bodies: list[bytes]) -> None:
        """Send messages, ten a request."""
        for n in range(0, len(bodies), 10):
            entries = [{"Id": str(i), "MessageBody": body.decode()} for i, body in enumerate(bodies[n : n + 10])]
            self._call("SendMessageBatch", QueueUrl=f"{self.base}/{queue}", Entries=entries)

    def poll(self, queue: str) -> list[Any]:
        """Up to ten of the messages that are there now, decoded and taken out."""
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
        scope = f"test/20260101/{self.REGION}/sqs/aws4_request"
        answer = self._pool.request(
            "POST",
            self.endpoint,
            body=json.dumps(parameters),
            headers={
                "X-Amz-Target": f"AmazonSQS.{action}",
                "Content-Type": "application/x-amz-json-1.0",
                "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none",
            },
        )
        assert answer.status == 200, answer.data
        return json.loads(answer.data or b"{}")

    def _up(self) -> bool:
        assert self._process.running, "moto ended"
        try:
            return bool(self._pool.request("GET", f"{self.endpoint}/moto-api/", retries=False).status == 200)
        except urllib3.exceptions.HTTPError:
            return False


def sidecar_environment() -> dict[str, str]:
    """What the test sidecar's image brings; the credentials stand for the pod's identity."""
    return {"PATH": os.defpath, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
