"""An empty cluster, a release of the chart on it, and the resource that the tests of the API use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.shapes import widget_crd
from tests.harness.clusters import Cluster
from tests.harness.kubelet import running
from tests.harness.operator import install_crd
from tests.harness.release import Release
from tests.harness.space import Space


@pytest.fixture
def empty(tier: str, tmp_path: Path) -> Iterator[Cluster]:
    """An empty cluster of its own."""
    with running(tmp_path / "cluster", real=tier != "sandbox") as cluster:
        yield cluster


@pytest.fixture
def release(empty: Cluster, tmp_path: Path) -> Iterator[Release]:
    made = Release(empty, tmp_path / "release")
    yield made
    made.stop()


@pytest.fixture
def place(release: Release) -> Iterator[Space]:
    """A namespace on the release's cluster."""
    with Space.create(release.client, "place") as made:
        yield made


@pytest.fixture(scope="module")
def _widgets(cluster: Cluster) -> None:
    install_crd(cluster.client(), widget_crd())


@pytest.fixture
def widgets(_widgets: None, bare: Space) -> Space:
    return bare
