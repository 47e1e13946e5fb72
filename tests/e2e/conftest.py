"""SQS for all message tests, and the order of these tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.brokers import Sqs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run all tests of a route together, so that its pods start only once.

    The hook gets the tests of the whole session. It moves only those of this folder.
    """
    here = Path(__file__).parent
    places = [n for n, item in enumerate(items) if here in item.path.parents and "route" in _parameters(item)]
    routes = list(dict.fromkeys(_parameters(items[n])["route"] for n in places))
    ordered = sorted((items[n] for n in places), key=lambda item: routes.index(_parameters(item)["route"]))
    for n, item in zip(places, ordered, strict=True):
        items[n] = item


def _parameters(item: pytest.Item) -> dict[str, object]:
    return dict(item.callspec.params) if hasattr(item, "callspec") else {}


@pytest.fixture(scope="session")
def sqs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sqs]:
    """The SQS server."""
    started = Sqs(tmp_path_factory.mktemp("sqs") / "broker")
    yield started
    started.stop()
