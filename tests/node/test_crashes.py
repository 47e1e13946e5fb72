"""A runtime that dies loses at most the message in hand. All other messages wait in the queue."""

import random
import signal
import time
from collections.abc import Callable

import pytest

from tests.node.conftest import FULL
from tests.node.host import Host
from tests.node.site import Site, restarts

MESSAGES, KILLS, OOMS, REPLICAS = (1000, 20, 5, 5) if FULL else (300, 6, 2, 4)
CRASH_LOOP_SECONDS = 300 if FULL else 60
Report = Callable[[object], None]
GENERATIONS = pytest.mark.parametrize("generation", ["frames", "http"], indirect=True)
RUNTIME, HOLDER = "/opt/asya/asya_runtime.py", " hold"


@GENERATIONS
def test_killed_runtimes_lose_one_message_each(site: Site, host: Host, report: Report) -> None:
    obj = site.actor("crash", workload={"replicas": REPLICAS})
    route = site.start(obj)
    site.wait_ready("crash", REPLICAS)
    ooms = set(random.Random(1).sample(range(MESSAGES // 10, MESSAGES * 9 // 10), OOMS))
    start_time = time.monotonic()
    route.send({"seconds": 0.25, "memory": n in ooms} for n in range(MESSAGES))
    killed = 0
    while killed < KILLS and route.collect().missing:
        uids = [p["metadata"]["uid"] for p in site.ready_pods("crash")]
        for uid in random.sample(uids, min(1, len(uids))):
            killed += len(host.processes(uid, word=RUNTIME, without=HOLDER, send=signal.SIGKILL))
        time.sleep(1)
    counted = route.wait_all(timeout=900)
    deaths = sum(restarts(p) for p in site.pods("crash"))
    report(f"{counted}, {killed} SIGKILLs, {OOMS} OOMs, {deaths} restarts, {time.monotonic() - start_time:.0f} s")
    assert killed == KILLS
    assert not counted.doubled
    assert sum(counted.failed.values()) <= killed + OOMS
    assert len(counted.answered) + len(counted.failed) == MESSAGES


@GENERATIONS
def test_a_function_in_a_crash_loop_keeps_its_queue(site: Site, report: Report) -> None:
    """It starts, dies at its first message, and cannot be imported again."""
    obj = site.actor("loop")
    spec = obj["spec"]["workload"]["template"]["spec"]
    spec["volumes"].append({"name": "state", "emptyDir": {}})
    spec["containers"][0]["volumeMounts"].append({"name": "state", "mountPath": "/state"})
    spec["containers"][0]["env"].append({"name": "ONCE", "value": "/state/started"})
    route = site.start(obj)
    route.send({"exit": 3} if n == 0 else {} for n in range(51))
    time.sleep(CRASH_LOOP_SECONDS)
    counted, left = route.collect(), site.broker.total(route.queue)
    died = sum(restarts(p) for p in site.pods("loop"))
    report(f"{counted}; {left} in the queue after {CRASH_LOOP_SECONDS} s and {died} restarts")
    assert died >= 2, site.overview()
    assert (left, len(counted.failed)) == (50, 1)


@GENERATIONS
def test_a_function_that_never_loads_takes_nothing(site: Site, report: Report) -> None:
    container = {"env": [{"name": "ASYA_HANDLER", "value": "nothing.there"}]}
    route = site.route("never")
    route.send({} for _ in range(50))
    site.apply(site.actor("never", container=container))
    time.sleep(CRASH_LOOP_SECONDS / 2)
    left, died = site.broker.total(route.queue), sum(restarts(p) for p in site.pods("never"))
    report(f"{left} of 50 left after {CRASH_LOOP_SECONDS / 2:g} s and {died} restarts")
    assert died >= 2, site.overview()
    assert left == 50, route.collect()


@GENERATIONS
def test_a_function_that_dies_at_some_messages_loses_only_those(site: Site, report: Report) -> None:
    """Three messages that end the process, and others between them."""
    route = site.start(site.actor("deadly"))
    route.send({"exit": 1} if n in (3, 7, 11) else {"seconds": 0.05} for n in range(40))
    counted = route.wait_all(timeout=300)
    report(counted)
    assert sorted(counted.failed) == ["11", "3", "7"]
    assert len(counted.answered) == 37
    assert not counted.doubled
