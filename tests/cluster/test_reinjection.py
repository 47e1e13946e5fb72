"""A changed default of the operator reaches two hundred workloads, a few at a time and each once."""

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from controller.rules.rolling import is_rolled_out
from kube.informer import Informer
from kube.objects import Object
from kube.resources import DEPLOYMENTS
from tests.cluster.labelling import sidecar_of, workload
from tests.cluster.test_operations import expire_lease
from tests.cluster.watching import ready
from tests.harness.clusters import wait_for
from tests.harness.operator import Operator
from tests.harness.space import Space, actor

COUNT, PLACES = 200, 8
IMAGE = "ghcr.io/example/sidecar:2"


@pytest.fixture
def upgraded(operator: Operator) -> Iterator[Operator]:
    """An operator whose settings a test can change."""
    yield operator
    operator.environment.clear()
    operator.stop_controllers()
    operator.stop_webhook()
    operator.heal()


class Observer:
    """Lists, in the order of their versions, the Deployments with a rollout because of the new image.

    It uses a watch. Listing two hundred Deployments repeatedly would take the processor time that the operator needs.
    """

    def __init__(self, space: Space) -> None:
        self.most = 0
        self._new: dict[str, bool] = {}
        """For each Deployment with the new image, whether its rollout is complete."""
        self._lock = threading.Lock()
        self._informer = Informer(space.client, DEPLOYMENTS, self._changed, namespace=space.name)
        self._informer.start()
        assert self._informer.wait(10)

    def _changed(self, deployment: Object, deleted: bool) -> None:
        name = deployment["metadata"]["name"]
        with self._lock:
            if (sidecar_of(deployment) or {}).get("image") == IMAGE:
                self._new[name] = is_rolled_out(deployment)
            else:
                self._new.pop(name, None)
            self.most = max(self.most, len(self._new) - sum(self._new.values()))

    def done(self) -> int:
        """The number of completed rollouts."""
        with self._lock:
            return sum(self._new.values())

    def stop(self) -> None:
        self._informer.stop()


def outdated(space: Space) -> list[str]:
    return [
        d["metadata"]["name"]
        for d in space.all("Deployment")
        if (sidecar_of(d) or {"image": ""})["image"] != IMAGE or not is_rolled_out(d)
    ]


@pytest.mark.only("sandbox")  # test_rollouts.py has an upgrade on both tiers
def test_a_new_default_image_reaches_two_hundred_workloads(space: Space, upgraded: Operator) -> None:
    actors = [f"a{n}" for n in range(4)]
    for name in actors:
        space.apply(actor(name))
    for name in actors:
        ready(space, name)
    foreign = COUNT - len(actors)

    def make(n: int) -> None:
        obj = workload("Deployment", f"x{n}", actors[n % len(actors)])
        obj["spec"]["replicas"] = 1
        space.apply(obj)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(foreign)))
    wait_for("all to run", lambda: all(is_rolled_out(d) for d in space.all("Deployment")), 120, pause=2)
    observer = Observer(space)
    upgraded.environment |= {"ASYA_SIDECAR_IMAGE": IMAGE, "ASYA_REINJECTION_PARALLEL": str(PLACES)}
    upgraded.stop_controllers()
    upgraded.stop_webhook()
    upgraded.start_webhook()
    upgraded.start_controller()
    wait_for("half of them", lambda: observer.done() > COUNT / 2, 120)
    outdated_count = sum((space.get("AsyncActor", n) or {})["status"]["outdatedWorkloads"] for n in actors)
    upgraded.stop_controllers(signal.SIGKILL)
    expire_lease(upgraded)
    assert 0 < outdated_count < COUNT
    upgraded.start_controller()
    wait_for("all of them", lambda: observer.done() == COUNT, 120)
    assert not outdated(space)
    wait_for(
        "nothing left to do",
        lambda: all((space.get("AsyncActor", n) or {})["status"]["outdatedWorkloads"] == 0 for n in actors),
    )
    observer.stop()
    assert 1 <= observer.most <= PLACES
    assert len(space.all("Deployment")) == COUNT
    assert len(space.all("ReplicaSet")) == 2 * COUNT, "a Deployment had more than one rollout"
