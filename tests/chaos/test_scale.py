"""A thousand actors in fifty namespaces: duration of a start, memory, and no requests at rest."""

import time
from collections.abc import Iterator

import pytest

from tests.chaos import FULL
from tests.chaos.plant import Plant, planted
from tests.harness.clusters import wait_for, why_not_real

pytestmark = [
    pytest.mark.xdist_group("chaos"),
    pytest.mark.skipif(not FULL, reason="only with make chaos"),
]

NAMESPACES, ACTORS = 50, 1000
READY_SECONDS, MEGABYTES, REST_SECONDS, REQUESTS_A_SECOND = 60, 250, 60, 2


@pytest.fixture(
    params=["sandbox", pytest.param("kube-apiserver", marks=pytest.mark.skipif(bool(why_not_real()), reason=""))]
)
def plant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """An operator without actors."""
    real = request.param == "kube-apiserver"
    with planted(tmp_path_factory.mktemp("scale"), real=real, proxied=False) as made:
        yield made


def test_a_thousand_actors(plant: Plant) -> None:
    start_time = time.monotonic()
    plant.create([f"chaos-{n}" for n in range(NAMESPACES)], ACTORS)
    wait_for("all actors", lambda: not plant.unconverged(), 300, pause=2)
    print(f"converged {time.monotonic() - start_time:.1f} s after the first create")
    # A start through a proxy that records every request.
    plant.operator.stop_controllers()
    plant.operator.stop_webhook()
    plant.operator.kubeconfig = plant.proxy.kubeconfig
    start_time = time.monotonic()
    plant.operator.start_webhook()
    controller = plant.operator.start_controller()
    wait_for("the controller to be ready", lambda: controller.get("/readyz") == "ok\n", READY_SECONDS)
    empty = "asya_controller_workqueue_depth 0.0"
    wait_for("the queue to be empty", lambda: empty in controller.get("/metrics"), READY_SECONDS)
    started = time.monotonic() - start_time
    assert started < READY_SECONDS
    time.sleep(5)
    rest = time.monotonic()
    time.sleep(REST_SECONDS)
    requests = plant.proxy.since(rest)
    usage = plant.usage()
    print(f"started in {started:.1f} s; at rest {len(requests) / REST_SECONDS:.2f} requests a second; {usage}")
    assert [a for a in requests if a.writes] == []
    assert len(requests) / REST_SECONDS < REQUESTS_A_SECOND
    assert all(memory < MEGABYTES for _, memory in usage.values())
    assert plant.duplicates() == []
