"""RabbitMQ by AMQP, with the connection settings of an actor's sidecar.

One channel holds messages; closing it gives them back to their places in the queue. Another channel publishes with
confirms. A quorum queue counts each return as a delivery. If it has a delivery limit, it removes a message that came
back too often (measured: docs/messages.md). So a message with ``CAREFUL_DELIVERIES`` deliveries is not given back. It
is published again at the end of the queue instead.
"""

import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.credentials import ExternalCredentials, PlainCredentials
from pika.exceptions import (
    AMQPConnectionError,
    AMQPError,
    AuthenticationError,
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    NackError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    UnroutableError,
)
from pika.spec import BasicProperties

from messages.broker import BrokerError, Held

TIMEOUT: Final = 10.0
HEARTBEAT: Final = 300
CAREFUL_DELIVERIES: Final = 2
"""Number of deliveries after which a message of a quorum queue is not given back."""
DELIVERY_COUNT: Final = "x-delivery-count"
PERSISTENT: Final = 2
SYSTEM_CERTIFICATES: Final = "/etc/ssl/certs"
CREATE = "create it, durable and bound to the exchange, or start the actor, whose sidecar declares it (http generation)"


def parameters(env: Mapping[str, str], address: tuple[str, int] | None = None) -> pika.ConnectionParameters:
    """The connection parameters from a sidecar's environment.

    Args:
        env: the environment variables.
        address: host and port of a forwarded port, to use instead of the broker's own. TLS still checks the broker's
            host name.

    Raises:
        BrokerError: if ``ASYA_RABBITMQ_URL`` is not valid.
    """
    url = env.get("ASYA_RABBITMQ_URL")
    if not url:
        host, port = env.get("ASYA_RABBITMQ_HOST") or "localhost", env.get("ASYA_RABBITMQ_PORT") or "5672"
        plain = PlainCredentials(
            env.get("ASYA_RABBITMQ_USERNAME") or "guest", env.get("ASYA_RABBITMQ_PASSWORD") or "guest"
        )
        return _parameters(host.strip("[]"), int(port), "/", plain, None, address)
    try:
        parts = urlsplit(url)
        host, secure = parts.hostname or "", parts.scheme == "amqps"
        port_number = parts.port or (5671 if secure else 5672)
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("amqp", "amqps"):
        raise BrokerError(
            "BadSetting",
            "the URL of RabbitMQ is not valid (it is not shown, because it may hold a password); it must be "
            "amqp(s)://<user>:<password>@<host>:<port>/<vhost>, percent-encoded",
        )
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    credentials: Any = PlainCredentials(unquote(parts.username or "guest"), unquote(parts.password or "guest"))
    if query.get("auth_mechanism") == "external":
        credentials = ExternalCredentials()
    vhost = unquote(parts.path[1:]) or "/"
    context = tls_context(env, query) if secure else None
    return _parameters(host, port_number, vhost, credentials, context, address)


def _parameters(
    host: str,
    port: int,
    vhost: str,
    credentials: Any,
    context: ssl.SSLContext | None,
    address: tuple[str, int] | None,
) -> pika.ConnectionParameters:
    to_host, to_port = address or (host, port)
    return pika.ConnectionParameters(
        to_host,
        to_port,
        vhost,
        credentials=credentials,
        ssl_options=None if context is None else pika.SSLOptions(context, host),
        heartbeat=HEARTBEAT,
        socket_timeout=TIMEOUT,
        stack_timeout=2 * TIMEOUT,
        blocked_connection_timeout=30,
        client_properties={"connection_name": "kubectl asya"},
    )


def tls_context(env: Mapping[str, str], query: Mapping[str, str]) -> ssl.SSLContext:
    """TLS settings as in the sidecar: trust all files of the directories in ``SSL_CERT_DIR``."""
    context = ssl.create_default_context()
    for directory in filter(None, (env.get("SSL_CERT_DIR") or SYSTEM_CERTIFICATES).split(":")):
        for file in sorted(Path(directory).glob("*")):
            if file.is_file():
                with suppress(ssl.SSLError):  # the directory may also hold other files than certificates
                    context.load_verify_locations(file)
    if query.get("certfile") and query.get("keyfile"):
        context.load_cert_chain(query["certfile"], query["keyfile"])
    return context


class RabbitMQ:
    """One connection; implements :class:`messages.broker.Broker`. Not safe to share between threads."""

    def __init__(self, connect_to: pika.ConnectionParameters) -> None:
        """Connect.

        Raises:
            BrokerError: if the broker does not answer, or refuses the user.
        """
        where = f"RabbitMQ at {connect_to.host}:{connect_to.port}"
        with _explained(where, f"user {getattr(connect_to.credentials, 'username', '(by certificate)')!r}"):
            self._connection = pika.BlockingConnection(connect_to)
        self._where = where
        self._holding: BlockingChannel | None = None
        self._publishing: BlockingChannel | None = None

    def length(self, queue: str) -> int | None:
        """The number of messages that wait in a queue; None if the queue does not exist."""
        channel = self._channel()
        try:
            with _explained(self._where, queue):
                return int(channel.queue_declare(queue, passive=True).method.message_count)
        except BrokerError as error:
            if error.problem == "QueueMissing":
                return None
            raise
        finally:
            _close(channel)

    def dead_letter_queues(self, queue: str) -> tuple[str, ...]:
        """Always empty, because AMQP does not show policies."""
        return ()

    def publish(self, queue: str, body: bytes, key: str = "") -> None:
        """Put a message into a queue by its name. Returns when the broker has confirmed it."""
        self._publish(queue, body, BasicProperties(delivery_mode=PERSISTENT, content_type="application/json"))

    def _publish(self, queue: str, body: bytes, properties: BasicProperties) -> None:
        with _explained(self._where, queue):
            if self._publishing is None or not self._publishing.is_open:
                self._publishing = self._connection.channel()
                self._publishing.confirm_delivery()
            try:
                self._publishing.basic_publish("", queue, body, properties, mandatory=True)
            except UnroutableError:
                raise BrokerError("QueueMissing", f"the queue {queue!r} does not exist: {CREATE}") from None
            except NackError:
                raise BrokerError(
                    "Refused", f"the broker refuses the message for {queue!r}: check whether the queue is full"
                ) from None

    def hold(self, queue: str, most: int) -> Iterator[Held]:
        """Up to ``most`` messages of a queue, held until :meth:`give_back` closes the channel."""
        with _explained(self._where, queue):
            if self._holding is None or not self._holding.is_open:
                self._holding = self._connection.channel()
        for _ in range(most):
            with _explained(self._where, queue):
                method, properties, body = self._holding.basic_get(queue)
            if method is None or properties is None or body is None:
                return
            headers: Any = properties.headers or {}
            count = headers.get(DELIVERY_COUNT)
            kept = {"x-death": headers.get("x-death"), "properties": properties}
            yield Held(queue, method.delivery_tag, body, None if count is None else int(count), kept)

    def is_worn(self, held: Held) -> bool:
        """Whether the quorum queue has counted CAREFUL_DELIVERIES or more."""
        return (held.deliveries or 0) >= CAREFUL_DELIVERIES

    def remove(self, held: Held) -> None:
        """Acknowledge a held message."""
        assert self._holding is not None, "a held message has a channel"
        with _explained(self._where, held.queue):
            self._holding.basic_ack(held.receipt)

    def move_to_end(self, held: Held) -> None:
        """Publish a held message again, with a confirm, then acknowledge it."""
        properties = held.properties["properties"]
        headers = {k: v for k, v in (properties.headers or {}).items() if k != DELIVERY_COUNT}
        properties.headers = headers or None
        self._publish(held.queue, held.body, properties)
        self.remove(held)

    def give_back(self) -> None:
        """Close the channel that holds messages. They return to their places in the queue."""
        if self._holding is not None:
            _close(self._holding)
            self._holding = None

    def watch(self, queues: Mapping[str, str], exchange: str) -> "Arrivals":
        """Watch through a temporary queue with the same bindings, which gets a copy of each message."""
        with _explained(self._where, f"the exchange {exchange!r}"):
            return Arrivals(self._channel(), queues, exchange)

    def close(self) -> None:
        """Close the connection. The broker then gives held messages back."""
        if self._connection.is_open:
            try:
                self._connection.close()
            except AMQPError:
                return  # the connection is closed already

    def _channel(self) -> BlockingChannel:
        with _explained(self._where, "a channel"):
            return self._connection.channel()


class Arrivals:
    """A temporary queue with a copy of each message. The broker deletes it with its channel."""

    def __init__(self, channel: BlockingChannel, queues: Mapping[str, str], exchange: str) -> None:
        self._channel = channel
        # The routing key is the actor's name. The generation frames-namespaced uses the queue's name without "asya-".
        self._names = {name: queue for queue, key in queues.items() for name in (key, queue.removeprefix("asya-"))}
        channel.exchange_declare(exchange, "topic", passive=True)
        self._queue = f"asya-wait-{uuid4()}"
        channel.queue_declare(self._queue, exclusive=True, auto_delete=True)
        for key in self._names:
            channel.queue_bind(self._queue, exchange, key)

    def arrivals(self, seconds: float) -> Iterator[tuple[str, bytes]]:
        """Queue and body of each message that arrives within ``seconds``."""
        deadline = time.monotonic() + seconds
        with _explained("RabbitMQ", self._queue):
            for method, _properties, body in self._channel.consume(self._queue, auto_ack=True, inactivity_timeout=0.2):
                if method is not None and body is not None:
                    yield self._names.get(method.routing_key or "", method.routing_key or ""), body
                if time.monotonic() > deadline:
                    return

    def close(self) -> None:
        """Delete the temporary queue."""
        _close(self._channel)


def _close(channel: BlockingChannel) -> None:
    if channel.is_open:
        channel.close()


@contextmanager
def _explained(where: str, subject: str) -> Iterator[None]:
    """Turns pika's errors into BrokerError. The message never has a password.

    Args:
        where: the broker, for messages.
        subject: the queue, exchange or user that the block uses, for messages.
    """
    try:
        yield
    except ChannelClosedByBroker as error:
        raise _of_code(error.reply_code, error.reply_text, subject) from None
    except (ProbableAuthenticationError, AuthenticationError, ProbableAccessDeniedError) as error:
        raise _denied(where, subject, error) from None
    except ConnectionClosedByBroker as error:
        if error.reply_code in (403, 530):
            raise _denied(where, subject, error) from None
        raise BrokerError("Unreachable", f"{where} closed the connection: {error.reply_text}") from None
    except (AMQPConnectionError, OSError) as error:
        reason = error.args[0] if error.args and not isinstance(error, OSError) else error
        raise BrokerError(
            "Unreachable",
            f"{where} does not answer ({_reason(reason)}): check that it runs, and that host and port are right",
        ) from None
    except AMQPError as error:
        raise BrokerError("Refused", f"{where}: {subject}: {error!r}") from None


def _denied(where: str, subject: str, error: Exception) -> BrokerError:
    text = getattr(error, "reply_text", "") or type(error).__name__
    return BrokerError(
        "AccessDenied",
        f"{where} refuses {subject}: {text}. Correct the user and the Secret that spec.transport.rabbitmq names, or "
        "give the user the right to use the virtual host (rabbitmqctl set_permissions)",
    )


def _of_code(code: int, text: str, subject: str) -> BrokerError:
    if code == 404:
        if "exchange" in text:
            return BrokerError("QueueMissing", f"{subject} does not exist: {text}")
        return BrokerError("QueueMissing", f"the queue {subject!r} does not exist: {CREATE}")
    if code == 403:
        return BrokerError(
            "AccessDenied",
            f"the actor's user has no right to {subject!r}: {text}. Give it the right (rabbitmqctl set_permissions)",
        )
    return BrokerError("Refused", f"RabbitMQ refuses the request for {subject!r}: {text}")


def _reason(reason: object) -> str:
    text = str(reason) or type(reason).__name__
    return " ".join(text.split())[:200]
