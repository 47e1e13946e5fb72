"""Sends messages through injected pods: real brokers, real pod specs, real processes.

The tests cover every generation of the sidecar, with RabbitMQ and SQS. Tests that do not depend on the broker use one.
``MESSAGES=full`` runs the long forms.
"""

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from messages.envelope import Message, envelope
from messages.local import LocalSession
from messages.target import find_target
from tests.e2e.rig import FULL, TAGS, TIER, Dialect, Route, another, measured, running
from tests.harness.brokers import VHOST, Broker, RabbitMQ, sidecar_environment, why_no_rabbitmq, why_no_sqs
from tests.harness.clusters import Cluster, wait_for
from tests.harness.operator import Operator
from tests.harness.space import Space

pytestmark = pytest.mark.parametrize("tier", [TIER], indirect=True)

BY_RABBITMQ = [
    pytest.param(f"{generation}-rabbitmq", marks=pytest.mark.skipif(bool(why_no_rabbitmq()), reason=why_no_rabbitmq()))
    for generation in TAGS
]
BY_SQS = [
    pytest.param(f"{generation}-sqs", marks=pytest.mark.skipif(bool(why_no_sqs()), reason=why_no_sqs()))
    for generation in TAGS
]
by_any_broker = pytest.mark.parametrize("route", [*BY_RABBITMQ, *BY_SQS], indirect=True)
by_rabbitmq = pytest.mark.parametrize("route", BY_RABBITMQ, indirect=True)

LARGE = {"rabbitmq": 9 * 1024 * 1024, "sqs": 200 * 1024}
"""Bytes. SQS itself accepts at most 256 KiB."""
PARTS = {"rabbitmq": 100, "sqs": 100 if FULL else 10}
"""Messages of a fan-out. moto uses 35 ms of its one core for each."""
MESSAGES = 10_000 if FULL else 2_000
KILLS = 5 if FULL else 1


@pytest.fixture(scope="module")
def route(
    request: pytest.FixtureRequest, cluster: Cluster, _operator: Operator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Route]:
    """Four actors with a sidecar of one generation and one broker."""
    generation, _, kind = str(request.param).rpartition("-")
    _operator.heal()
    broker: Broker = request.getfixturevalue(kind)
    if isinstance(broker, RabbitMQ):
        broker.vhost = "/" if generation == "frames" else VHOST
    with (
        Space.numbered(cluster.client(), f"e2e-{request.param}") as space,
        running(space, broker, Dialect(generation), tmp_path_factory.mktemp("e2e")) as started,
    ):
        yield started


@pytest.fixture(autouse=True)
def _clear(route: Route) -> None:
    route.forget()


@contextmanager
def explained(route: Route) -> Iterator[None]:
    """Print the output of the containers if a test fails."""
    try:
        yield
    except AssertionError as error:
        raise AssertionError(f"{error}\n{route.logs()}") from None


@by_any_broker
def test_a_route_of_a_function_an_async_function_and_a_generator(route: Route) -> None:
    route.send(["a", "b", "c"], {"n": 1, "text": "é ✓"})
    (message,) = route.receive(route.dialect.sink, 1)
    assert message["id"] == "m0"
    assert message["route"] == route.dialect.route(["a", "b", "c"], "", [])
    assert message["payload"] == {"n": 1, "text": "é ✓", "seen": ["a", "b", "c"], "part": 0}
    if route.dialect.is_http:  # the frames generations drop headers
        assert message["headers"] == {"trace": 0}
        assert (message["status"]["phase"], message["status"]["actor"]) == ("succeeded", "c")


@pytest.mark.parametrize("route", [*BY_RABBITMQ, *(BY_SQS if FULL else BY_SQS[-1:])], indirect=True)
def test_the_plugin_waits_for_the_answer_and_takes_no_message_of_others(
    route: Route, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in sidecar_environment().items():
        monkeypatch.setenv(name, value) if name.startswith("AWS_") else None
    route.send(["a", "b", "c"], {"n": 90})
    (other,) = route.receive(route.dialect.sink, 1)
    route.broker.publish(route.queue(route.dialect.sink), [json.dumps(other).encode()])
    target = find_target(route.space.client, route.space.name, "a")
    assert (target.generation, target.queue) == (route.dialect.generation, route.queue("a"))
    for name, payload, failed in (("w1", {"n": 91}, False), ("w2", {"n": 92, "do": "fail"}, True)):
        body = json.dumps(envelope(target.generation, ["a", "b"], payload, name))
        request = target.request(action="send", bodies=[body], wait_for=[name], seconds=30)
        start_time = time.monotonic()
        sent, answer = LocalSession(route.space.client, target).run(request)
        message = Message(answer["body"].encode(), answer["is_dead"])
        assert (sent["id"], message.message_id, bool(message.error)) == (name, name, failed)
        assert time.monotonic() - start_time < 15
    ended = [m["id"] for end in (route.dialect.sink, route.dialect.sump) for m in route.receive(end, 0)]
    assert sorted(ended) == sorted([other["id"], "w1", "w2"])


@by_any_broker
def test_a_generator_fans_out(route: Route) -> None:
    count = PARTS[route.kind]
    route.send(["c", "elsewhere"], {"n": 3, "parts": count})
    messages = route.receive("elsewhere", count)
    assert sorted(m["payload"]["part"] for m in messages) == list(range(count))
    assert len({m["id"] for m in messages}) == count
    assert {m.get("parent_id") for m in messages} == {None, "m0"}
    assert all(m["route"] == route.dialect.route(["c"], "elsewhere", []) for m in messages)


@by_any_broker
def test_an_error_goes_to_the_end_for_errors(route: Route) -> None:
    route.send(["a", "b"], {"n": 4, "do": "fail"})
    (message,) = route.receive(route.dialect.failed, 1)
    failure = message["payload"]
    assert (failure["error"], failure["original_payload"]) == ("processing_error", {"n": 4, "do": "fail"})
    details = failure["details"]
    assert (details["message"], details["type"]) == ("no good: 4", "ValueError")
    assert "handlers.py" in details["traceback"]
    assert message["route"] == route.dialect.route([], "a", ["b"])
    if route.dialect.is_http:
        assert "Exception" in details["mro"]
        assert message["status"]["phase"] == "failed"


@by_rabbitmq
def test_a_generator_that_fails_after_some_parts(route: Route) -> None:
    route.send(["c", "elsewhere"], {"n": 4, "parts": 2, "do": "fail"})
    (message,) = route.receive(route.dialect.failed, 1)
    assert message["payload"]["details"]["message"] == "no good: 4"
    parts = 2 if route.dialect.is_http else 0  # frames are answered together, and an error is the whole answer
    assert len(route.poll("elsewhere")) == parts


@by_any_broker
def test_none_ends_the_route(route: Route) -> None:
    route.send(["a", "b"], {"n": 5, "do": "nothing"})
    (message,) = route.receive(route.dialect.sink, 1)
    assert message["payload"] == {"n": 5, "do": "nothing"}
    assert message["route"] == route.dialect.route([], "a", ["b"])
    assert route.calls("b") == []


@by_any_broker
def test_a_large_payload(route: Route) -> None:
    text = "x" * LARGE[route.kind]
    route.send(["a"], {"n": 6, "text": text})
    (message,) = route.receive(route.dialect.sink, 1)
    assert message["payload"]["text"] == text


@by_any_broker
def test_an_end_actor_sends_nothing_on(route: Route) -> None:
    route.send(["end", "b"], {"n": 7})
    wait_for("the call", lambda: route.calls("end") == [7])
    time.sleep(0.3)
    assert [route.poll(name) for name in (route.dialect.sink, route.dialect.sump)] == [[], []]


@by_rabbitmq
def test_no_message_is_lost_or_doubled_while_the_runtime_restarts_twice(route: Route) -> None:
    pod, began = route.pods["a"], time.monotonic()
    before = dict(pod.restarts)
    terminations, done = [MESSAGES // 6, MESSAGES // 2], list[int]()
    sent, received = 0, list[int]()

    def all_there() -> bool:
        nonlocal sent
        if sent < MESSAGES and sent - len(received) < 400:
            route.send(["a"], *({"n": n} for n in range(sent, sent + 200)))
            sent += 200
        received.extend(m["payload"]["n"] for m in route.poll(route.dialect.sink))
        if (
            terminations
            and len(received) > terminations[0]
            and pod.restarts["runtime"] == before["runtime"] + len(done)
        ):
            done.append(terminations.pop(0))
            pod.signal("runtime", signal.SIGTERM)
        return len(received) >= MESSAGES

    with explained(route):
        wait_for("all messages", all_there, timeout=300, pause=0.02)
    measured(f"{route.dialect.generation}, restarted twice", MESSAGES, began)
    received.extend(m["payload"]["n"] for m in route.receive(route.dialect.sink, 0))
    assert Counter(received) == Counter(range(MESSAGES))
    assert Counter(route.calls("a")) == Counter(range(MESSAGES))
    assert route.poll(route.dialect.sump) == []
    assert pod.restarts == {**before, "runtime": before["runtime"] + 2}, pod.logs()


@by_rabbitmq
def test_a_killed_runtime_loses_at_most_the_message_in_hand(route: Route) -> None:
    pod, count = route.pods["b"], 100 * KILLS
    before = dict(pod.restarts)
    route.send(["b"], *({"n": n, "seconds": 0.005} for n in range(count)))
    good, bad, kills = list[int](), list[int](), 0

    def all_there() -> bool:
        nonlocal kills
        good.extend(m["payload"]["n"] for m in route.poll(route.dialect.sink))
        bad.extend(m["payload"]["original_payload"]["n"] for m in route.poll(route.dialect.sump))
        if kills < KILLS and len(good) > 100 * kills + 30 and pod.restarts["runtime"] == before["runtime"] + kills:
            pod.signal("runtime", signal.SIGKILL)
            kills += 1
        return len(good) + len(bad) >= count

    with explained(route):
        wait_for("all messages", all_there, pause=0.02)
    assert sorted(good + bad) == list(range(count))
    assert len(bad) <= KILLS
    assert pod.restarts == {**before, "runtime": before["runtime"] + KILLS}


@pytest.mark.parametrize("route", BY_SQS[-1:], indirect=True)
def test_a_policy_retries_a_message(route: Route) -> None:
    policies = {"default": {"maxAttempts": 3, "backoff": "constant", "initialDelay": "0s"}}
    with another(route, "retry", "again", resiliency={"policies": policies}):
        route.send(["retry"], {"n": 8, "attempts": 3})
        (message,) = route.receive("x-sink", 1)
        assert (message["payload"]["attempt"], message["status"]["phase"]) == (3, "succeeded")
        route.send(["retry"], {"n": 9, "attempts": 100})
        (message,) = route.receive("x-sink", 1)
        assert (message["status"]["phase"], message["status"]["reason"]) == ("failed", "PolicyExhausted")
        assert route.calls("retry") == [8, 8, 8, 9, 9, 9]
        assert message["payload"]["details"]["mro"][:2] == ["ConnectionError", "OSError"]


@pytest.mark.skipif(not FULL, reason="takes 15 s: MESSAGES=full")
@by_rabbitmq
def test_a_handler_that_hangs_costs_its_message_one_time_limit(route: Route) -> None:
    with another(route, "slow", "again", timeout={"processing": 6}) as pod, explained(route):
        route.send(["slow"], {"n": 10, "do": "hang"})
        (message,) = route.receive(route.dialect.sink, 1)
        assert message["payload"]["attempt"] == 2
        assert pod.containers["runtime"].exits == [3]
        assert set(pod.containers["sidecar"].exits) == {1}
        assert len(route.poll(route.dialect.sump)) == len(pod.containers["sidecar"].exits)


@by_rabbitmq
def test_a_pod_that_is_deleted_finishes_the_message_in_hand(route: Route) -> None:
    """The last test of a route, because it deletes the route's pod."""
    if not route.dialect.is_http and not FULL:
        pytest.skip("such a sidecar takes 10 s to end: MESSAGES=full")
    pod, count = route.pods.pop("b"), 20
    route.send(["b"], *({"n": n, "seconds": 0.2} for n in range(count)))
    wait_for("some messages", lambda: len(route.calls("b")) > 3)
    with explained(route):
        pod.stop()
    received = [m["payload"]["n"] for m in route.receive(route.dialect.sink, 1)]
    assert sorted(received) == sorted(route.calls("b"))
    assert len(set(received)) == len(received)
    waiting = [m["payload"]["n"] for m in route.poll("b")]
    assert sorted(received + waiting) == list(range(count)), pod.logs()
    assert route.poll(route.dialect.sump) == []
    assert {c.exits[-1] for c in pod.containers.values()} == {0}, pod.logs()
