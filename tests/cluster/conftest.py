"""The fixtures of the tests of the API."""

import pytest

from tests.cluster.shapes import widget_crd
from tests.harness.clusters import Cluster
from tests.harness.operator import install_crd
from tests.harness.space import Space


@pytest.fixture(scope="module")
def _widgets(cluster: Cluster) -> None:
    install_crd(cluster.client(), widget_crd())


@pytest.fixture
def widgets(_widgets: None, bare: Space) -> Space:
    return bare
