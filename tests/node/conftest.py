"""The cluster of the current context, refused by name unless tests may use it. At the end they print a table."""

import json
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from kube.client import Client
from kube.credentials import load_configuration
from tests.node import images
from tests.node.broker import Broker
from tests.node.context import refusal
from tests.node.host import Host
from tests.node.kubectl import kubectl
from tests.node.queues import Queues
from tests.node.site import Site

Server = TypeVar("Server", Broker, Queues, Host)

HERE = Path(__file__).parent
FULL = os.environ.get("E2E_FULL") == "1"
"""Whether the tests use the numbers and durations of the claims, instead of proportionally smaller ones."""


def asked_for(config: pytest.Config) -> bool:
    """Whether the command line names these tests. A run of all tests never includes them."""
    paths = [(config.invocation_params.dir / argument.partition("::")[0]).resolve() for argument in config.args]
    return any(path == HERE or HERE in path.parents for path in paths)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Exclude these tests from a run of all tests."""
    return None if asked_for(config) else True


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a cluster that the tests may not use."""
    if asked_for(config) and (why := refusal()):
        pytest.exit(f"tests/node: {why}", returncode=2)


@pytest.fixture(scope="session")
def client() -> Client:
    """A client with the current context's user."""
    return Client(load_configuration(os.environ.get("KUBECONFIG")))


@pytest.fixture(scope="session")
def worker(worker_id: str) -> str:
    """The prefix of this worker's namespaces. Namespaces of an earlier run may not be gone yet."""
    return f"e2e-{secrets.token_hex(2)}-{worker_id.replace('master', 'w')}"


def _until_stopped(server: Server) -> Iterator[Server]:
    """Yield a server to the tests, then stop it."""
    yield server
    server.stop()


@pytest.fixture(scope="session")
def broker(worker: str) -> Iterator[Broker]:
    """A RabbitMQ of this worker alone, so that all messages in an end queue are this test's."""
    yield from _until_stopped(Broker(f"{worker}-broker"))


@pytest.fixture(scope="session")
def keda() -> None:
    """KEDA. Without it the test is skipped."""
    if not kubectl("get", "crd", "scaledobjects.keda.sh", "--ignore-not-found"):
        pytest.skip("no KEDA on this cluster (E2E_KEDA names its manifests)")


@pytest.fixture(scope="session")
def sqs(worker: str) -> Iterator[Queues]:
    """An SQS server of this worker alone."""
    yield from _until_stopped(Queues(f"{worker}-sqs"))


@pytest.fixture(scope="session")
def host(worker: str) -> Iterator[Host]:
    """The node's processes."""
    yield from _until_stopped(Host(f"{worker}-host"))


@pytest.fixture(scope="session")
def own_image() -> str:
    """A Python image with a numeric user."""
    return images.USER


_numbers = iter(range(1, 10**6))


@pytest.fixture
def generation(request: pytest.FixtureRequest) -> str:
    """The sidecar's generation."""
    return str(getattr(request, "param", "frames"))


@pytest.fixture
def site(worker: str, client: Client, broker: Broker, generation: str) -> Iterator[Site]:
    """A namespace with everything that an actor needs. It is deleted afterwards."""
    name = f"{worker}-{next(_numbers)}"
    kubectl("create", "namespace", name)
    made = Site(client, name, broker, generation)
    made.furnish()
    yield made
    made.close()


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[[object], None]:
    """Collects the test's text for the table at the end."""
    return lambda result: record_property("found", str(result))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tests with times. If E2E_TABLE names a file, also append a line of JSON for each."""
    rows = []
    for outcome in ("passed", "failed", "error", "skipped"):
        for item in terminalreporter.stats.get(outcome, []):
            if "tests/node" in item.nodeid and (item.when == "call" or outcome in ("skipped", "error")):
                result = "; ".join(str(value) for key, value in item.user_properties if key == "found")
                if outcome == "skipped" and isinstance(item.longrepr, tuple):
                    result = item.longrepr[2]
                test = item.nodeid.rpartition("/")[2]
                rows.append({"outcome": outcome, "seconds": item.duration, "test": test, "found": result})
    if rows:
        terminalreporter.section("what was tried on the node")
    for row in sorted(rows, key=lambda r: r["test"]):
        terminalreporter.write_line(f"{row['outcome']:8}{row['seconds']:8.1f} s  {row['test']}  {row['found']}")
    if rows and os.environ.get("E2E_TABLE"):
        with Path(os.environ["E2E_TABLE"]).open("a") as table:
            table.writelines(json.dumps(row) + "\n" for row in rows)
