"""Scaling from zero and back with real KEDA, with messages counted. A busy pod is never killed."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from kube.objects import Object
from tests.harness.clusters import wait_for
from tests.node.broker import MANAGEMENT, Route
from tests.node.conftest import FULL
from tests.node.kubectl import apply
from tests.node.queues import Queues
from tests.node.site import Site

pytestmark = pytest.mark.usefixtures("keda")
Report = Callable[[object], None]
GENERATIONS = pytest.mark.parametrize("generation", ["frames", "http"], indirect=True)
SCALING = {"enabled": True, "maxReplicas": 5, "pollingInterval": 5, "cooldownPeriod": 20}
LONG_SECONDS, PROCESSING = (300, 330) if FULL else (45, 55)


class Replicas:
    """The replicas of a Deployment over time."""

    def __init__(self, site: Site, name: str) -> None:
        self._site, self._name, self._start_time = site, name, time.monotonic()
        self.steps: list[tuple[int, int]] = []

    def look(self) -> int:
        """The present replicas in its spec."""
        replicas = int((self._site.get("Deployment", self._name) or {"spec": {}})["spec"].get("replicas", -1))
        if not self.steps or self.steps[-1][1] != replicas:
            self.steps.append((round(time.monotonic() - self._start_time), replicas))
        return replicas

    @property
    def most(self) -> int:
        """The largest number."""
        return max(replicas for _, replicas in self.steps)

    def __str__(self) -> str:
        return " ".join(f"{replicas}@{seconds}s" for seconds, replicas in self.steps)


def up_and_down(route: Route, replicas: Replicas, timeout: float) -> None:
    """Wait until all messages are answered and no pod runs."""

    def over() -> bool:
        desired = replicas.look()
        assert not route.collect().missing, f"{route.counted}; {replicas}"
        assert desired == 0, f"{replicas}"
        return True

    wait_for("answers, and zero replicas", over, timeout=timeout, pause=0.5)
    route.collect()


def use_management(site: Site, obj: Object) -> None:
    """Let KEDA use the management API, which also counts messages in hand."""
    obj["spec"]["transport"]["rabbitmq"]["management"] = {"url": f"http://{site.broker.host}:{MANAGEMENT}"}


@GENERATIONS
@pytest.mark.parametrize("protocol", ["amqp", "http"])
def test_from_zero_to_five_and_back(site: Site, report: Report, protocol: str) -> None:
    obj = site.actor("scaled", scaling=SCALING, timeout={"processing": 10})
    if protocol == "http":
        use_management(site, obj)
    route = site.start(obj)
    replicas = Replicas(site, "scaled")
    wait_for("zero replicas", lambda: replicas.look() == 0, timeout=120, pause=0.5)
    route.send({"seconds": 1} for _ in range(120))
    up_and_down(route, replicas, 400)
    report(f"{route.counted}; {replicas}")
    assert replicas.most == 5
    assert not route.counted.failed
    assert not route.counted.doubled


@GENERATIONS
@pytest.mark.parametrize(("protocol", "count"), [("amqp", 1), ("amqp", 10), ("http", 10)])
def test_long_messages_survive_scale_in(site: Site, report: Report, protocol: str, count: int) -> None:
    """Grace period and cooldown follow from the processing time.

    AMQP counts only waiting messages, so KEDA requests fewer pods than there are messages in hand.
    """
    scaling: dict[str, Any] = {"enabled": True, "maxReplicas": 10, "queueLength": 1, "pollingInterval": 5}
    obj = site.actor("long", function="busy", scaling=scaling, timeout={"processing": PROCESSING})
    if protocol == "http":
        use_management(site, obj)
    route = site.start(obj)
    replicas = Replicas(site, "long")
    wait_for("zero replicas", lambda: replicas.look() == 0, timeout=120, pause=0.5)
    route.send({"seconds": LONG_SECONDS} for _ in range(count))
    up_and_down(route, replicas, 4 * PROCESSING + 300)
    report(f"{LONG_SECONDS} s each: {route.counted}; {replicas}")
    assert replicas.most == count or protocol == "amqp"
    assert not route.counted.failed
    assert not route.counted.doubled


def test_from_zero_to_five_and_back_by_sqs(site: Site, sqs: Queues, report: Report) -> None:
    """moto's SQS, with separate credentials for KEDA and the sidecar."""
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    authentication = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": {"name": "moto"},
        "spec": {
            "secretTargetRef": [
                {"parameter": "awsAccessKeyID", "name": "aws", "key": "AWS_ACCESS_KEY_ID"},
                {"parameter": "awsSecretAccessKey", "name": "aws", "key": "AWS_SECRET_ACCESS_KEY"},
            ]
        },
    }
    secret: Object = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "aws"}, "stringData": credentials}
    apply(secret, authentication, namespace=site.name)
    obj = site.actor(
        "scaled",
        transport={
            "type": "sqs",
            "sqs": {"region": sqs.REGION, "queueBaseUrl": sqs.base, "waitTimeSeconds": 1, "visibilityTimeout": 60},
        },
        sidecar={"env": [{"name": name, "value": value} for name, value in credentials.items()]},
        scaling={**SCALING, "authenticationRef": {"name": "moto"}},
        timeout={"processing": 10},
    )
    queue, done = site.queue("scaled"), site.queue("scaled-done")
    sqs.create(queue, done, *(site.queue(end) for end in ("happy-end", "error-end")))
    site.apply(obj)
    site.wait_condition("scaled", "Ready", "True", timeout=180)
    replicas, received = Replicas(site, "scaled"), Counter[str]()
    wait_for("zero replicas", lambda: replicas.look() == 0, timeout=120, pause=0.5)
    count = 120
    route = {"actors": ["scaled", "scaled-done"], "current": 0}
    for n in range(count):
        sqs.send(queue, {"id": str(n), "route": route, "headers": {}, "payload": {"seconds": 1}})

    def over() -> bool:
        desired = replicas.look()
        received.update(message["id"] for message in sqs.take(done))
        assert len(received) == count, f"{len(received)} of {count}; {replicas}"
        assert desired == 0, f"{replicas}"
        return True

    wait_for("answers, and zero replicas", over, timeout=400, pause=0.5)
    received.update(message["id"] for message in sqs.take(done))
    failed = [m for end in ("happy-end", "error-end") for m in sqs.take(site.queue(end))]
    twice = sum(n > 1 for n in received.values())
    report(f"{count} sent, {len(received)} answered ({twice} twice), {len(failed)} failed; {replicas}")
    assert replicas.most == 5
    assert not failed
    assert not twice
