"""One broker of each kind for all message tests."""

from collections.abc import Iterator

import pytest

from tests.harness.brokers import RabbitMQ, Sqs


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """RabbitMQ."""
    started = RabbitMQ(tmp_path_factory.mktemp("rabbitmq") / "broker")
    yield started
    started.stop()


@pytest.fixture(scope="session")
def sqs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sqs]:
    """SQS."""
    started = Sqs(tmp_path_factory.mktemp("sqs") / "broker")
    yield started
    started.stop()
