"""From a sidecar's environment to its broker."""

from collections.abc import Mapping

from messages.broker import Broker, BrokerError
from messages.rabbitmq import RabbitMQ, parameters
from messages.sqs import Sqs


def connect(env: Mapping[str, str], address: tuple[str, int] | None = None) -> Broker:
    """The broker that a sidecar with this environment would use.

    Args:
        env: the sidecar's variables.
        address: where to connect to instead, if a forwarded port stands for the broker's host.

    Raises:
        BrokerError: if it cannot be reached, or refuses.
    """
    transport = env.get("ASYA_TRANSPORT")
    if transport == "sqs":
        return Sqs(env, f"http://{address[0]}:{address[1]}" if address is not None else "")
    if transport == "rabbitmq":
        return RabbitMQ(parameters(env, address))
    raise BrokerError("BadSetting", f"ASYA_TRANSPORT: must be rabbitmq or sqs; found {transport!r}")
