"""The clusters that the tests run on, and a fresh namespace for each test that needs one."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.chaos import FULL
from tests.harness.brokers import RabbitMQ
from tests.harness.clusters import ASSETS, Cluster, real_version, why_not_real
from tests.harness.kubelet import running
from tests.harness.operator import Operator
from tests.harness.space import Space

settings.register_profile(
    "project",
    max_examples=200 if FULL else 100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],  # the duration depends on the machine
)
settings.load_profile("project")


def pytest_report_header() -> str:
    """List the tiers in use, and the reason for a missing one."""
    missing = why_not_real()
    real = f"skipped: {missing}" if missing else f"kube-apiserver and etcd in {ASSETS}"
    return f"cluster tests: sandbox; real control plane {real}"


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Send tests that share a cluster to the same worker.

    Tests with their own cluster run anywhere.

    Tests that show nothing more on a second tier run on one tier alone. A test marked ``only`` runs on the tier that it
    names. A test marked ``best_tier`` runs on the real control plane, or on the sandbox without one.
    """
    left_out = [item for item in items if _is_left_out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    for item in items:
        if reason := _why_too_old(item):
            item.add_marker(pytest.mark.skip(reason=reason))
        if "cluster" in getattr(item, "fixturenames", ()):
            tier = item.callspec.params["tier"]  # type: ignore[attr-defined]
            item.add_marker(pytest.mark.xdist_group(f"{tier}-{_shared_cluster(item)}"))


def _shared_cluster(item: pytest.Item) -> str:
    """The name of the cluster that a test shares: one for each folder, two for the folder with most tests."""
    folder = item.path.parent.name
    return f"{folder}-2" if folder == "cluster" and item.path.stem >= "test_p" else folder


def _why_too_old(item: pytest.Item) -> str:
    """Why the real control plane is too old for a test marked ``needs_kubernetes``. Empty if it is not."""
    parameters = getattr(item, "callspec", None)
    if parameters is None or parameters.params.get("tier") != "kube-apiserver":
        return ""
    needed = max((mark.args for mark in item.iter_markers("needs_kubernetes")), default=(0, 0))
    if real_version() >= needed:
        return ""
    return f"needs Kubernetes {needed[0]}.{needed[1]}, this is {real_version()[0]}.{real_version()[1]}"


def _is_left_out(item: pytest.Item) -> bool:
    parameters = getattr(item, "callspec", None)
    tier = parameters.params.get("tier") if parameters is not None else None
    if tier is None:
        return False
    if only := item.get_closest_marker("only"):
        return tier not in only.args
    return item.get_closest_marker("best_tier") is not None and tier == "sandbox" and not why_not_real()


@pytest.fixture(
    scope="session",
    params=[
        "sandbox",
        pytest.param("kube-apiserver", marks=pytest.mark.skipif(bool(why_not_real()), reason=why_not_real())),
    ],
)
def tier(request: pytest.FixtureRequest) -> str:
    """The name of each tier."""
    return str(request.param)


@pytest.fixture(scope="session")
def cluster(tier: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster of each tier."""
    with running(tmp_path_factory.mktemp(tier), real=tier != "sandbox") as started:
        yield started


@pytest.fixture(scope="session")
def _operator(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    started = Operator(cluster, tmp_path_factory.mktemp("operator"))
    started.start()
    yield started
    started.stop()


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """RabbitMQ, one for all tests that send messages."""
    started = RabbitMQ(tmp_path_factory.mktemp("rabbitmq") / "broker")
    yield started
    started.stop()


@pytest.fixture
def operator(_operator: Operator) -> Operator:
    """The operator with both processes running. If a test stops one, the next test starts it again."""
    _operator.heal()
    return _operator


@pytest.fixture
def space(cluster: Cluster, operator: Operator) -> Iterator[Space]:
    """A namespace of its own on a cluster with the operator."""
    with Space.numbered(cluster.client(), "test") as made:
        yield made


@pytest.fixture(scope="module")
def space_for_all(cluster: Cluster, _operator: Operator) -> Iterator[Space]:
    """One namespace for all tests of a module. They leave nothing in it."""
    _operator.heal()
    with Space.numbered(cluster.client(), "all") as made:
        yield made


@pytest.fixture
def bare(cluster: Cluster) -> Iterator[Space]:
    """A namespace of its own, with or without an operator."""
    with Space.numbered(cluster.client(), "bare") as made:
        yield made
