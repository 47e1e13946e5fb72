"""Connects to the broker that a sidecar's environment names."""

from collections.abc import Mapping

from messages.broker import Broker, BrokerError
from messages.rabbitmq import RabbitMQ, parameters
from messages.sqs import Sqs


def connect(env: Mapping[str, str], address: tuple[str, int] | None = None) -> Broker:
    """A connection to the broker that a sidecar with this environment uses.

    Args:
        env: the sidecar's environment variables.
        address: host and port of a forwarded port, to use instead of the broker's own.

    Raises:
        BrokerError: if the broker cannot be reached, or refuses.
    """
    transport = env.get("ASYA_TRANSPORT")
    if transport == "sqs":
        return Sqs(env, f"http://{address[0]}:{address[1]}" if address is not None else "")
    if transport == "rabbitmq":
        return RabbitMQ(parameters(env, address))
    raise BrokerError("BadSetting", f"ASYA_TRANSPORT: must be rabbitmq or sqs; found {transport!r}")
