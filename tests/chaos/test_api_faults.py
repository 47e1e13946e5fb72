"""Faults on the way to the API server: pods are still injected, and the cluster soon converges."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kube.resources import ASYNC_ACTORS, DEPLOYMENTS, EVENTS
from tests.chaos import FULL
from tests.chaos.plant import Plant, Traffic, planted
from tests.chaos.proxy import Proxy, RecordedRequest
from tests.harness.clusters import Process, wait_for, why_not_real
from tests.harness.operator import leads

pytestmark = pytest.mark.xdist_group("chaos")

CONVERGED_SECONDS = 30
REQUESTS_A_SECOND = 10
SETTLING_SECONDS = 2.0
"""Faults that every watch notices by itself."""
SHORT = {"cut": 4, "503": 4, "truncated": 3, "watch-410": 3}
LONG = {"cut": 30, "black-hole": 60, "slow": 30, "429": 30, "500": 30, "503": 30, "truncated": 20} | {
    "watch-410": 20,
    "watch-ends": 30,
}
ACTORS = 50
NAMESPACES = [f"chaos-{n}" for n in range(5)]


@pytest.fixture(scope="module", params=["sandbox", "kube-apiserver"] if FULL else ["best"])
def plant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Fifty actors on a cluster of their own."""
    real = request.param == "kube-apiserver" or (request.param == "best" and not why_not_real())
    if real and why_not_real():
        pytest.skip(why_not_real())
    with planted(tmp_path_factory.mktemp("chaos"), real=real, proxied=True) as made:
        made.create(NAMESPACES, ACTORS)
        wait_for("all actors", lambda: not made.unconverged())
        yield made


@pytest.fixture
def traffic(plant: Plant) -> Iterator[Traffic]:
    """Create labelled pods during the test."""
    started = Traffic(plant.cluster.client(), NAMESPACES[0], "actor-0")
    yield started
    started.stop()


def rate(requests: list[RecordedRequest], began: float, seconds: float) -> float:
    """Requests per second, starting soon after ``began``."""
    late = [a for a in requests if a.at > began + SETTLING_SECONDS]
    return len(late) / (seconds - SETTLING_SECONDS)


def converge(plant: Plant) -> None:
    """Check that the cluster converges in time, and that nothing was created twice."""
    messages: list[str] = []

    def converged() -> bool:
        messages[:] = plant.unconverged()
        return not messages

    try:
        wait_for("all to be well", converged, CONVERGED_SECONDS, pause=0.5)
    except AssertionError as error:
        raise AssertionError(f"{error}: {messages[:5]}") from None
    assert plant.duplicates() == []


@pytest.mark.parametrize("fault", LONG if FULL else SHORT)
def test_a_fault_of_the_api(plant: Plant, traffic: Traffic, fault: str) -> None:
    seconds = (LONG if FULL else SHORT)[fault]
    before = plant.usage()
    start_time = time.monotonic()
    plant.proxy.start(fault)
    time.sleep(0.5)
    plant.disturb(list(LONG).index(fault))
    time.sleep(max(0.0, start_time + seconds - time.monotonic()))
    requests = plant.proxy.since(start_time)
    created = traffic.created
    plant.proxy.end()
    converge(plant)
    assert traffic.failures == []
    assert created > seconds / 2, "no pod was created during the fault"
    if fault not in ("slow", "truncated", "watch-410", "watch-ends"):  # the server runs for this long
        assert rate(requests, start_time, seconds) <= REQUESTS_A_SECOND
    no_leak(plant, before)


def no_leak(plant: Plant, before: dict[str, tuple[int, float]]) -> None:
    """Check that no process was replaced, and that none has many more threads or megabytes than before."""

    def as_before() -> bool:
        after = plant.usage()
        assert after.keys() == before.keys()
        for name, (threads, memory) in after.items():
            # A thread pool may not have started all its threads yet.
            assert threads <= before[name][0] + 10, (name, before[name], after[name])
            assert memory <= before[name][1] * 1.25 + 8, (name, before[name], after[name])
        return True

    wait_for("threads and memory as before", as_before, 60, pause=1)


def restart(process: Process) -> None:
    """Stop a process of the cluster, and start it again."""
    process.stop()
    time.sleep(3)
    process.start()


@pytest.mark.skipif(not FULL, reason="only with make chaos")
@pytest.mark.parametrize("which", ["kube-apiserver", "etcd"])
def test_a_restart_of_the_api_server_or_of_etcd(plant: Plant, which: str) -> None:
    if not plant.cluster.real:
        pytest.skip("the sandbox forgets what it held")
    before = plant.usage()
    process = next(p for p in plant.cluster.processes if which in p.command[0])
    restart(process)
    wait_for("the API server", lambda: plant.client.list(ASYNC_ACTORS) and plant.client.list(DEPLOYMENTS))
    plant.disturb(20 + len(which))
    converge(plant)
    no_leak(plant, before)


def test_another_writer_that_insists(plant: Plant, traffic: Traffic) -> None:
    seconds = 30 if FULL else 6
    key = (NAMESPACES[1], "actor-1")
    start_time = time.monotonic()
    rewritten = 0
    while time.monotonic() - start_time < seconds:
        environment = [{"name": "runtime", "image": f"python:3.{rewritten % 2 + 13}"}]
        plant.client.merge_patch(DEPLOYMENTS, *key, {"spec": {"template": {"spec": {"containers": environment}}}})
        rewritten += 1
        if rewritten == 10:
            plant.put((NAMESPACES[2], "actor-2"), 77)
        time.sleep(0.1)
    writes = [
        a
        for a in plant.proxy.since(start_time)
        if a.writes and a.path.partition("?")[0].endswith("deployments/actor-1")
    ]
    assert rewritten > seconds * 2
    assert 3 <= len(writes) <= 14, f"{len(writes)} restorations of {rewritten} changes"
    selector = f"involvedObject.kind=AsyncActor,involvedObject.name={key[1]}"

    def contested() -> bool:
        events = plant.client.list(EVENTS, key[0], fieldSelector=selector)
        return any(
            "Contested" in e["message"] and "keeps changing the Deployment 'actor-1'" in e["message"] for e in events
        )

    wait_for("the Event", contested)
    plant.changes[key] += rewritten
    converge(plant)
    assert traffic.failures == []


@pytest.mark.skipif(not FULL, reason="only with make chaos")
@pytest.mark.parametrize("how", ["killed", "paused"])
def test_there_are_never_two_writers(plant: Plant, tmp_path: Path, how: str) -> None:
    second_proxy = Proxy(plant.cluster.kubeconfig, tmp_path / "proxy")
    second = plant.operator.start_controller(wait=False, kubeconfig=second_proxy.kubeconfig)
    first = plant.operator.controllers[0]
    try:
        wait_for("the second to be ready", lambda: second.get("/readyz").startswith("ok"))
        start_time = time.monotonic()
        if how == "killed":
            first.process.stop(signal.SIGKILL)
        else:
            first.process.send(signal.SIGSTOP)
        plant.disturb(30 + len(how))
        wait_for("the second to lead", lambda: leads(second), 25)
        converge(plant)
        if how == "paused":
            time.sleep(max(0.0, start_time + 30 - time.monotonic()))
            first.process.send(signal.SIGCONT)
            plant.disturb(40)
            time.sleep(5)
            converge(plant)
        takeover_time = min(a.at for a in second_proxy.requests if a.writes)
        assert [a for a in plant.proxy.since(takeover_time) if a.writes] == []
        if how == "paused":
            assert not leads(first)
    finally:
        plant.operator.restart_controller()
        second_proxy.close()
    converge(plant)
