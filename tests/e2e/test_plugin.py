"""``kubectl asya send``, ``peek`` and ``dlq`` at real brokers, through a pod and from this machine."""

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from dashboard.acting import BrokerLetters
from messages.broker import Held
from messages.local import LocalSession
from messages.rabbitmq import RabbitMQ as Amqp
from messages.requests import Filter
from tests.e2e.desk import MARKED, Desk, desk, kubeconfig_of, node
from tests.e2e.rig import FULL, TIER
from tests.harness.brokers import PASSWORD, RabbitMQ, why_no_rabbitmq, why_no_sqs
from tests.harness.clusters import Cluster, free_port, wait_for, why_not_real
from tests.harness.operator import Operator
from tests.podrun.node import ProcessNode

pytestmark = [
    pytest.mark.skipif(bool(why_no_rabbitmq()), reason=why_no_rabbitmq()),
    pytest.mark.skipif(bool(why_no_sqs()), reason=why_no_sqs()),
    pytest.mark.parametrize("tier", [TIER], indirect=True),
]
COUNT = 100
by_pod = pytest.mark.skipif(bool(why_not_real()), reason=f"pods need a real control plane: {why_not_real()}")
ALL = ["rabbitmq-http", "rabbitmq-frames", "sqs-http", "sqs-frames"]


@pytest.fixture(scope="module", params=ALL)
def at(request: pytest.FixtureRequest, cluster: Cluster, _operator: Operator) -> Iterator[Desk]:
    """An actor of each generation at each broker."""
    kind, _, generation = str(request.param).partition("-")
    with desk(cluster, request.getfixturevalue(kind), generation) as made:
        yield made


@pytest.fixture(autouse=True)
def _empty(at: Desk) -> None:
    names = ("a", at.dialect.sink, at.dialect.sump)
    at.broker.declare(*(at.queue(name) for name in names))


@pytest.fixture(scope="module")
def pods(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessNode]:
    """A node for the plugin's pods."""
    with node(cluster, tmp_path_factory.mktemp("pods")) as started:
        yield started


def by_id(messages: list[Any]) -> list[Any]:
    return sorted(messages, key=lambda message: int(message["id"][1:]))


# -- in this process ---------------------------------------------------------------------------------


def test_peek_takes_nothing_and_keeps_the_order(at: Desk) -> None:
    bodies = [json.dumps({"id": f"m{n}", "route": at.dialect.route([], "a", []), "payload": n}) for n in range(12)]
    assert [e["id"] for e in at.ask(action="send", bodies=bodies)] == [f"m{n}" for n in range(12)]
    for _ in range(2):
        events = at.ask(action="peek", count=5)
        assert len(events) == 5
        if isinstance(at.broker, RabbitMQ):  # SQS does not promise an order
            assert [json.loads(e["body"])["payload"] for e in events] == [0, 1, 2, 3, 4]
    (length, *_) = at.ask(action="lengths", queues=[at.queue("a"), at.queue("none")])
    assert length["length"] == 12
    received = at.broker.receive(at.queue("a"), 12)
    assert sorted(m["payload"] for m in received) == list(range(12))
    if isinstance(at.broker, RabbitMQ):
        assert [m["payload"] for m in received] == list(range(12))


def test_dead_letters_are_replayed_unchanged_without_loss_or_duplicates(at: Desk) -> None:
    sent = at.fail(COUNT if isinstance(at.broker, RabbitMQ) or FULL else 20)
    others = json.dumps(
        {"id": "m999", "route": at.dialect.route(["b"], "c", []), "payload": {"error": "e", "details": {}}}
    )
    at.broker.publish(at.queue(at.dialect.failed), [others.encode()])
    listed = at.ask(action="dead", filter=Filter(actor="a", error="valueerror"), count=5)
    assert len(listed) == 5
    assert at.ask(action="dead", filter=Filter(actor="a", error="timeout")) == []
    events = at.ask(action="replay", filter=Filter(actor="a"), count=1000)
    assert {(e["kind"], e["queue"]) for e in events if e["kind"] != "progress"} == {("replayed", at.queue("a"))}
    assert by_id(at.broker.receive(at.queue("a"), len(sent))) == sent
    assert at.broker.receive(at.queue(at.dialect.failed), 1) == [json.loads(others)]


def test_the_dashboard_lists_dead_letters_and_replays_one_and_then_all(at: Desk) -> None:
    sent = at.fail(6)
    letters = BrokerLetters(at.space.client, lambda client, target: LocalSession(client, target))
    listed = letters.list(at.space.name, "a")
    assert sorted(letter.id for letter in listed) == [f"m{n}" for n in range(6)]
    assert all("ValueError: no good" in letter.error for letter in listed)
    assert letters.lengths(at.space.name, "a")[at.queue(at.dialect.failed)] == 6
    assert letters.replay(at.space.name, "a", ["m1", "m4"]) == "2 replayed"
    assert by_id(at.broker.receive(at.queue("a"), 2)) == [sent[1], sent[4]]
    assert sorted(letter.id for letter in letters.list(at.space.name, "a")) == ["m0", "m2", "m3", "m5"]
    assert letters.replay(at.space.name, "a", None) == "4 replayed"
    assert by_id(at.broker.receive(at.queue("a"), 4)) == [sent[n] for n in (0, 2, 3, 5)]


@pytest.mark.parametrize("at", ["rabbitmq-http"], indirect=True)
def test_a_replay_that_dies_doubles_at_most_one_message_and_loses_none(
    at: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It dies between the broker's confirmation and the removal."""
    sent, removed = at.fail(6), list[object]()
    remove = Amqp.remove

    def die(broker: Amqp, held: Held) -> None:
        if len(removed) == 3:
            raise ConnectionError("killed")
        removed.append(held)
        remove(broker, held)

    monkeypatch.setattr(Amqp, "remove", die)
    with pytest.raises(ConnectionError):
        at.ask(action="replay", count=100)
    replayed, remaining = (at.broker.receive(at.queue(name), 0) for name in ("a", at.dialect.failed))
    assert [m["id"] for m in replayed] == ["m0", "m1", "m2", "m3"]
    assert [m["id"] for m in remaining] == ["m3", "m4", "m5"], "the messages must be in their places"
    assert len(sent) == 6


def test_dead_letters_are_dropped_by_their_error(at: Desk) -> None:
    at.fail(3, "ValueError")
    at.fail(2, "TypeError")
    events = at.ask(action="drop", filter=Filter(error="TypeError"), count=1000)
    assert [e["kind"] for e in events] == ["dropped", "dropped"]
    kept = at.broker.receive(at.queue(at.dialect.failed), 3)
    assert [m["payload"]["details"]["type"] for m in kept] == ["ValueError"] * 3


# -- by the plugin, in a pod -------------------------------------------------------------------------


@by_pod
@pytest.mark.parametrize("at", ALL if FULL else ["rabbitmq-frames"], indirect=True)
def test_the_plugin_sends_peeks_and_replays_by_a_pod(at: Desk, pods: ProcessNode, tmp_path: Path) -> None:
    (tmp_path / "payload.json").write_text(json.dumps({"text": MARKED}))
    sent = at.run("send", "a", "-f", str(tmp_path / "payload.json"), "--route", "a,b", "--id", "m0")
    assert (sent.returncode, sent.stdout) == (0, f"sent m0 to {at.queue('a')}\n"), sent.stderr
    peeked = at.run("peek", "a", "-n", "3", "-o", "json")
    (message,) = json.loads(peeked.stdout)
    assert message["message"]["payload"] == {"text": MARKED}
    assert at.broker.receive(at.queue("a"), 1)[0]["route"] == at.dialect.route([], "a", ["b"])
    failed = at.fail(COUNT)
    replayed = at.run("dlq", "replay", "a")
    assert replayed.returncode == 0, replayed.stderr
    assert len(replayed.stdout.splitlines()) == COUNT
    assert f"{COUNT} replayed" in replayed.stderr
    assert by_id(at.broker.receive(at.queue("a"), COUNT)) == failed
    at.wait_clean()
    printed = "".join(pod.logs() for pod in pods.pods.values())
    for text in (printed, sent.stderr, peeked.stderr, replayed.stdout + replayed.stderr):
        assert MARKED not in text, "the node keeps a pod's log, which must not contain the message"
        assert PASSWORD not in text


@by_pod
@pytest.mark.parametrize("at", ["rabbitmq-http"], indirect=True)
def test_the_dashboard_cleans_up_when_it_ends_during_a_request(at: Desk, pods: ProcessNode) -> None:
    sent = at.fail(600)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    command = at.command("dashboard", "--no-browser")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=at.environment()) as running:
        signal.signal(signal.SIGINT, before)
        assert running.stdout is not None
        url = running.stdout.readline().decode().split()[-1]
        origin = "/".join(url.split("/")[:3])
        arguments = ("POST", f"{url}actors/{at.space.name}/a/replay", {"Origin": origin}, {"all": True})
        threading.Thread(target=_ask, args=arguments, daemon=True).start()
        wait_for("the replay", lambda: replayed_so_far(at))
        running.send_signal(signal.SIGINT)
        _, output = running.communicate(timeout=60)
    assert (running.returncode, output) == (0, b"")
    assert at.left_over() == [], "it ended before it had removed its objects"
    wait_for("its pod to end", lambda: all(pod.complete for pod in pods.pods.values()))
    replayed, remaining = (at.broker.receive(at.queue(name), 0) for name in ("a", at.dialect.failed))
    assert sorted(m["id"] for m in [*replayed, *remaining]) == sorted(m["id"] for m in sent)


def replayed_so_far(at: Desk) -> int | None:
    assert isinstance(at.broker, RabbitMQ)
    return at.broker.count(at.queue("a"))


def _ask(method: str, url: str, headers: dict[str, str], body: Any) -> None:
    try:
        urllib3.request(method, url, headers=headers, json=body, retries=False)
    except urllib3.exceptions.HTTPError:
        return  # the dashboard has ended


@by_pod
@pytest.mark.parametrize("at", ["rabbitmq-http"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGINT, *([signal.SIGTERM] if FULL else [])])
def test_a_signal_cleans_up_and_loses_nothing(at: Desk, pods: ProcessNode, number: int) -> None:
    sent = at.fail(600)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        [*at.command("dlq", "replay", "a")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=at.environment()
    ) as running:
        signal.signal(signal.SIGINT, before)
        assert running.stdout is not None
        assert running.stdout.readline().startswith(b"replayed")
        running.send_signal(number)
        running.communicate(timeout=60)
    assert running.returncode == 128 + number
    at.wait_clean()
    wait_for("its pod to end", lambda: all(pod.complete for pod in pods.pods.values()))
    replayed, remaining = (at.broker.receive(at.queue(name), 0) for name in ("a", at.dialect.failed))
    assert len(replayed) < 600, "the plugin ended before the signal"
    assert sorted(m["id"] for m in [*replayed, *remaining]) == sorted(m["id"] for m in sent)


@by_pod
@pytest.mark.skipif(not FULL, reason="takes 70 s: MESSAGES=full")
@pytest.mark.parametrize("at", ["rabbitmq-http"], indirect=True)
def test_a_killed_plugins_objects_are_removed_soon(at: Desk, pods: ProcessNode) -> None:
    at.fail(600)
    with subprocess.Popen(at.command("dlq", "replay", "a"), stdout=subprocess.PIPE, env=at.environment()) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith(b"replayed")
        running.kill()
    assert at.left_over()
    wait_for("its pod to end", lambda: all(pod.complete for pod in pods.pods.values()))
    wait_for("Kubernetes to remove it", lambda: not at.left_over(), timeout=110, pause=1)
    assert len(at.broker.receive(at.queue("a"), 600)) == 600, "the pod must complete the work that it began"


@by_pod
@pytest.mark.parametrize("at", ["rabbitmq-http"], indirect=True)
def test_rights_are_the_callers(at: Desk, pods: ProcessNode, tmp_path: Path) -> None:
    viewer = at.run("peek", "a", kubeconfig=kubeconfig_of(at, tmp_path, "view"))
    assert viewer.returncode == 1
    assert f"you may not create jobs.batch in the namespace '{at.space.name}'" in viewer.stderr
    assert f"kubectl auth can-i create jobs.batch --namespace {at.space.name}" in viewer.stderr
    editor = at.run("peek", "a", kubeconfig=kubeconfig_of(at, tmp_path, "edit"))
    assert (editor.returncode, "no messages wait" in editor.stderr) == (0, True), editor.stderr
    at.wait_clean()


@pytest.mark.parametrize("at", ["rabbitmq-http"], indirect=True)
def test_missing_objects_are_named(at: Desk) -> None:
    assert isinstance(at.broker, RabbitMQ)
    at.broker.delete(at.queue("a"))
    missing = at.run("peek", "a", "--local")
    assert missing.returncode == 1
    assert f"error: the queue '{at.queue('a')}' does not exist: create it" in missing.stderr
    nobody = at.run("send", "nobody", "-f", "-", "--local", stdin="1")
    assert f'asyncactors.asya.io "nobody" not found in namespace "{at.space.name}"' in nobody.stderr
    unread = at.run("send", "a", "-f", "-", stdin="{")
    assert "-: is not valid JSON: " in unread.stderr
    at.space.client.delete(_secrets(), at.space.name, "rabbitmq")
    try:
        secret = at.run("peek", "a", "--local")
        assert f"the Secret 'rabbitmq' does not exist in the namespace '{at.space.name}'" in secret.stderr
    finally:
        _restore(at)
    assert "Traceback" not in missing.stderr + nobody.stderr + unread.stderr + secret.stderr


@pytest.mark.parametrize("at", ["rabbitmq-http"], indirect=True)
def test_a_wrong_password_and_a_missing_broker_are_named_without_the_password(at: Desk) -> None:
    from messages.broker import BrokerError
    from messages.connection import connect

    assert isinstance(at.broker, RabbitMQ)
    for url, problem in (
        (f"amqp://asya:{MARKED}@127.0.0.1:{at.broker.port}/", "AccessDenied"),
        (f"amqp://asya:{MARKED}@127.0.0.1:{free_port()}/", "Unreachable"),
        (f"{at.broker.url}-none", "AccessDenied"),
    ):
        with pytest.raises(BrokerError) as raised:
            connect({"ASYA_TRANSPORT": "rabbitmq", "ASYA_RABBITMQ_URL": url})
        assert raised.value.problem == problem
        assert MARKED not in str(raised.value)
        assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize("at", ["rabbitmq-frames"], indirect=True)
def test_a_quorum_queue_loses_nothing_however_often_messages_are_read(at: Desk) -> None:
    """Its delivery limit would remove messages that returned too often."""
    assert isinstance(at.broker, RabbitMQ)
    queue = at.queue("a")
    at.broker.delete(queue)
    at.broker.declare(queue, **{"x-queue-type": "quorum", "x-delivery-limit": 3})
    try:
        at.ask(action="send", bodies=[json.dumps({"id": f"m{n}"}) for n in range(4)])
        kinds = [[e["kind"] for e in at.ask(action="peek", count=4)] for _ in range(12)]
        assert "moved" in kinds[2]
        assert sorted(m["id"] for m in at.broker.receive(queue, 4)) == ["m0", "m1", "m2", "m3"]
    finally:
        at.broker.delete(queue)


def _secrets() -> Any:
    from kube.resources import SECRETS

    return SECRETS


def _restore(at: Desk) -> None:
    from tests.e2e.rig import secret

    assert isinstance(at.broker, RabbitMQ)
    at.space.apply(secret("rabbitmq", url=at.broker.url))
