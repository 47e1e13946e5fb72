"""The brokers as released sidecars use them. Parameters select the differences between generations."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

CONNECT_PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts to connect to RabbitMQ at start. After the last one the sidecar exits with 1."""
RETRY_SECONDS = 1.0
"""Seconds between two attempts to consume a queue that is missing or has the wrong properties."""

Log = Callable[[str], None]


class DelayNotSupported(Exception):
    """The broker cannot delay a message."""


class SendFailed(Exception):
    """A message could not be sent. The broker must deliver the consumed message again."""


class Disconnected(Exception):
    """The connection to the broker is lost."""


@dataclass(frozen=True)
class Received:
    """A consumed message, and the handle to acknowledge it."""

    receipt: Any
    body: bytes


class Transport(Protocol):
    """A broker."""

    def consume(self) -> Received | None:
        """A message, or None if none arrived for a while."""

    def send(self, queue: str, key: str, body: bytes, delay: float = 0.0) -> None:
        """Send to a queue. RabbitMQ identifies it by a routing key."""

    def acknowledge(self, received: Received) -> None:
        """Acknowledge a message."""

    def requeue(self, received: Received) -> None:
        """Give a message back to the broker."""


class RabbitMQ:
    """AMQP 0.9.1. User name and password are inserted into a URL without encoding, as in released sidecars."""

    def __init__(
        self,
        env: Mapping[str, str],
        queue: str,
        key: str,
        log: Log,
        *,
        declares: bool,
        reconnects: bool,
        pauses: tuple[float, ...] = CONNECT_PAUSES,
    ) -> None:
        self._queue, self._key, self._log = queue, key, log
        self._declares, self._reconnects, self._pauses = declares, reconnects, pauses
        self._exchange = env.get("ASYA_RABBITMQ_EXCHANGE") or "asya"
        self._prefetch = int(env.get("ASYA_RABBITMQ_PREFETCH") or 1)
        self._url = env.get("ASYA_RABBITMQ_URL") or "amqp://{}:{}@{}:{}/".format(
            env.get("ASYA_RABBITMQ_USERNAME") or "guest",
            env.get("ASYA_RABBITMQ_PASSWORD") or "guest",
            env.get("ASYA_RABBITMQ_HOST") or "localhost",
            env.get("ASYA_RABBITMQ_PORT") or "5672",
        )
        self._consuming = False
        self._connect()

    def _connect(self) -> None:
        import pika
        from pika.exceptions import AMQPError

        self._pika, self._error = pika, AMQPError
        for pause in (*self._pauses, None):
            try:
                parameters = pika.URLParameters(self._url)
                # pika sends no heartbeats while the sidecar waits for the runtime, and the broker would close the
                # connection. Released sidecars send them all the time.
                parameters.heartbeat = 0
                self._connection = pika.BlockingConnection(parameters)
                break
            except (AMQPError, OSError) as error:
                if pause is None:
                    raise Disconnected(f"RabbitMQ cannot be reached: {error!r}") from None
                time.sleep(pause)
        self._open()

    def _open(self) -> None:
        self._channel = self._connection.channel()
        self._channel.basic_qos(prefetch_count=self._prefetch)
        self._channel.exchange_declare(self._exchange, "topic", durable=True)
        self._consuming = False

    def _ensure(self, queue: str, key: str) -> None:
        """Declare a queue and bind it. The frames generations only check that it exists."""
        if self._declares:
            self._channel.queue_declare(queue, durable=True)
            self._channel.queue_bind(queue, self._exchange, routing_key=key)
        else:
            self._channel.queue_declare(queue, passive=True)

    def consume(self) -> Received | None:
        try:
            if not self._consuming:
                self._ensure(self._queue, self._key)
                self._messages = self._channel.consume(self._queue, inactivity_timeout=1)
                self._consuming = True
                self._log(f"consuming {self._queue}")
            method, _properties, body = next(self._messages)
        except self._error as error:
            self._recover(error)
            return None
        return None if method is None or body is None else Received(method.delivery_tag, body)

    def _recover(self, error: Exception) -> None:
        """Open a closed channel again. After a lost connection, the http generation waits for ever."""
        self._log(f"cannot consume {self._queue}: {error!r}")
        time.sleep(RETRY_SECONDS)
        if self._connection.is_open:
            self._open()
        elif self._reconnects:
            self._connect()

    def send(self, queue: str, key: str, body: bytes, delay: float = 0.0) -> None:
        if delay:
            raise DelayNotSupported("RabbitMQ")
        properties = self._pika.BasicProperties(delivery_mode=2, content_type="application/json")
        try:
            self._ensure(queue, key)
            self._channel.basic_publish(self._exchange, key, body, properties)
        except self._error as error:
            if self._connection.is_open and not self._channel.is_open:
                self._open()  # the broker delivers messages again that the closed channel had not acknowledged
            raise SendFailed(f"{queue}: {error!r}") from None

    def acknowledge(self, received: Received) -> None:
        self._channel.basic_ack(received.receipt)

    def requeue(self, received: Received) -> None:
        if self._consuming:
            self._channel.basic_nack(received.receipt, requeue=True)


class Sqs:
    """Amazon's queues, or those of a compatible server. It handles one message at a time."""

    def __init__(self, env: Mapping[str, str], queue: str, log: Log) -> None:
        import boto3

        self._queue, self._log = queue, log
        self._visibility = int(env.get("ASYA_SQS_VISIBILITY_TIMEOUT") or 300)
        self._wait = int(env.get("ASYA_SQS_WAIT_TIME_SECONDS") or 20)
        self._client = boto3.client(
            "sqs",
            region_name=env.get("ASYA_AWS_REGION") or "us-east-1",
            endpoint_url=env.get("ASYA_SQS_ENDPOINT") or None,
        )
        self._urls: dict[str, str] = {}

    def _url(self, queue: str) -> str:
        if queue not in self._urls:
            self._urls[queue] = self._client.get_queue_url(QueueName=queue)["QueueUrl"]
        return self._urls[queue]

    def consume(self) -> Received | None:
        messages = self._client.receive_message(
            QueueUrl=self._url(self._queue),
            MaxNumberOfMessages=1,
            VisibilityTimeout=self._visibility,
            WaitTimeSeconds=self._wait,
        ).get("Messages")
        return Received(messages[0]["ReceiptHandle"], messages[0]["Body"].encode()) if messages else None

    def send(self, queue: str, key: str, body: bytes, delay: float = 0.0) -> None:
        self._client.send_message(QueueUrl=self._url(queue), MessageBody=body.decode(), DelaySeconds=int(delay))

    def acknowledge(self, received: Received) -> None:
        self._client.delete_message(QueueUrl=self._url(self._queue), ReceiptHandle=received.receipt)

    def requeue(self, received: Received) -> None:
        self._client.change_message_visibility(
            QueueUrl=self._url(self._queue), ReceiptHandle=received.receipt, VisibilityTimeout=0
        )


def open_transport(
    env: "os._Environ[str]", queue: str, key: str, log: Log, *, declares: bool, reconnects: bool
) -> Transport:
    """The broker in ``ASYA_TRANSPORT``.

    Raises:
        Disconnected: if RabbitMQ cannot be reached.
    """
    if env["ASYA_TRANSPORT"] == "sqs":
        return Sqs(env, queue, log)
    return RabbitMQ(env, queue, key, log, declares=declares, reconnects=reconnects)
