"""A sidecar for tests: moves messages between RabbitMQ or SQS and the runtime's socket.

It knows its environment and the contract of the socket, and shares no code with the operator. It consumes
``asya-<ASYA_ACTOR_NAME>`` one message at a time, hands on to ``asya-<next actor of the route>``, at the end of the
route to ``asya-happy-end`` and what failed to ``asya-error-end``, and only then lets go of what it consumed.
"""

import json
import os
import re
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

DURATION = re.compile(r"(\d+)s")
PAUSE_SECONDS = 0.02
stopping = False


class Transport(Protocol):
    """A broker."""

    def consume(self) -> "tuple[object, bytes] | None":
        """A receipt and a body, or None if there was none for a second."""

    def publish(self, queue: str, body: bytes) -> None:
        """Send, and know that it has arrived."""

    def done(self, receipt: Any) -> None:
        """Let go of a message."""


class RabbitMQ:
    """AMQP 0.9.1, by URL or by parts."""

    def __init__(self, env: "os._Environ[str]", queue: str) -> None:
        import pika

        self._pika, self._queue = pika, queue
        parameters: pika.connection.Parameters
        if env.get("ASYA_RABBITMQ_URL"):
            parameters = pika.URLParameters(env["ASYA_RABBITMQ_URL"])
        else:
            parameters = pika.ConnectionParameters(
                env["ASYA_RABBITMQ_HOST"],
                int(env["ASYA_RABBITMQ_PORT"]),
                credentials=pika.PlainCredentials(env["ASYA_RABBITMQ_USERNAME"], env["ASYA_RABBITMQ_PASSWORD"]),
            )
        connection = pika.BlockingConnection(parameters)
        self._channel = connection.channel()
        self._channel.confirm_delivery()
        self._channel.basic_qos(prefetch_count=1)
        self._messages = self._channel.consume(queue, inactivity_timeout=1)

    def consume(self) -> "tuple[object, bytes] | None":
        method, _properties, body = next(self._messages)
        return None if method is None or body is None else (method.delivery_tag, body)

    def publish(self, queue: str, body: bytes) -> None:
        properties = self._pika.BasicProperties(delivery_mode=2)
        self._channel.basic_publish("", queue, body, properties, mandatory=True)

    def done(self, receipt: Any) -> None:
        self._channel.basic_ack(receipt)


class Sqs:
    """Amazon's queues, or those of a server that speaks the same."""

    def __init__(self, env: "os._Environ[str]", queue: str) -> None:
        import boto3

        self._base, self._queue = env["QUEUE_BASE_URL"], queue
        self._visibility = int(env["ASYA_SQS_VISIBILITY_TIMEOUT"])
        self._wait = int(env["ASYA_SQS_WAIT_TIME_SECONDS"])
        self._client = boto3.client(
            "sqs", region_name=env["ASYA_AWS_REGION"], endpoint_url=env.get("ASYA_SQS_ENDPOINT") or None
        )
        self._received: list[Any] = []

    def consume(self) -> "tuple[object, bytes] | None":
        if not self._received:
            answer = self._client.receive_message(
                QueueUrl=f"{self._base}/{self._queue}",
                MaxNumberOfMessages=10,
                VisibilityTimeout=self._visibility,
                WaitTimeSeconds=self._wait,
            )
            self._received = answer.get("Messages", [])
        if not self._received:
            return None
        message = self._received.pop(0)
        return message["ReceiptHandle"], message["Body"].encode()

    def publish(self, queue: str, body: bytes) -> None:
        self._client.send_message(QueueUrl=f"{self._base}/{queue}", MessageBody=body.decode())

    def done(self, receipt: Any) -> None:
        self._client.delete_message(QueueUrl=f"{self._base}/{self._queue}", ReceiptHandle=receipt)


def ask(path: str, body: bytes, timeout: float) -> bytes:
    """The runtime's answer. One that is restarting is asked again: it answers whatever it has begun with."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(max(0.1, deadline - time.monotonic()))
                client.connect(path)
                client.sendall(struct.pack(">I", len(body)) + body)
                with client.makefile("rb") as stream:
                    head = stream.read(4)
                    if len(head) == 4:
                        return stream.read(struct.unpack(">I", head)[0])
        except (ConnectionError, FileNotFoundError):
            pass
        if time.monotonic() > deadline:
            raise TimeoutError("no answer within ASYA_RUNTIME_TIMEOUT")
        time.sleep(PAUSE_SECONDS)


def handle(transport: Transport, receipt: object, body: bytes, path: str, timeout: float) -> None:
    """Have the runtime answer one message, and send on what it says."""
    message = json.loads(body)
    for result in json.loads(ask(path, body, timeout)):
        if "error" in result:
            transport.publish("asya-error-end", json.dumps({**message, **result}).encode())
            continue
        route = result["route"]
        actors, current = route["actors"], route["current"]
        queue = f"asya-{actors[current]}" if current < len(actors) else "asya-happy-end"
        transport.publish(queue, json.dumps({"id": message["id"], **result}).encode())
    transport.done(receipt)


def main() -> None:
    """Work until SIGTERM."""
    env = os.environ
    directory = env["ASYA_SOCKET_DIR"]
    while not (Path(directory) / "runtime-ready").exists():
        time.sleep(PAUSE_SECONDS)
    matched = DURATION.fullmatch(env["ASYA_RUNTIME_TIMEOUT"])
    assert matched, "ASYA_RUNTIME_TIMEOUT is a Go duration in seconds"

    def stop(*_: object) -> None:
        global stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    transports: dict[str, Callable[[os._Environ[str], str], Transport]] = {"rabbitmq": RabbitMQ, "sqs": Sqs}
    transport = transports[env["ASYA_TRANSPORT"]](env, f"asya-{env['ASYA_ACTOR_NAME']}")
    print("sidecar: consuming", file=sys.stderr, flush=True)
    while not stopping:
        found = transport.consume()
        if found is not None:
            receipt, body = found
            handle(transport, receipt, body, f"{directory}/asya-runtime.sock", float(matched.group(1)))


if __name__ == "__main__":
    main()
