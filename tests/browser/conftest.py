"""One browser and one scene for all browser tests."""

from collections.abc import Iterator

import pytest

from tests.browser.chromium import DESKTOP, Browser, browsing, why_no_browser
from tests.browser.scene import Scene, populate, serving
from tests.harness.clusters import Cluster
from tests.harness.operator import Operator
from tests.harness.space import Space


@pytest.fixture(scope="session")
def _browser() -> Iterator[Browser]:
    if missing := why_no_browser():
        pytest.skip(missing)
    with browsing() as started:
        yield started


@pytest.fixture
def browser(_browser: Browser) -> Browser:
    """The browser, with the size of a desktop and a light theme."""
    _browser.resize(DESKTOP)
    _browser.prefer()
    _browser.problems()
    return _browser


@pytest.fixture(scope="session")
def scene(
    _browser: Browser, cluster: Cluster, _operator: Operator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """A dashboard of a namespace with actors in all states."""
    _operator.heal()
    with Space.create(cluster.client(), "dashboard") as space:
        populate(space)
        with serving(cluster, tmp_path_factory.mktemp("dashboard"), space) as served:
            yield served
