"""The webhook with slow, large, wrong and silent clients at the same time: good clients are not affected."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.chaos import FULL
from tests.chaos.good import CROWD, CROWD_GOOD_CLIENTS, Good, meet_a_crowd
from tests.chaos.plant import Plant, planted
from tests.harness.clusters import ROOT, wait_for

pytestmark = pytest.mark.xdist_group("chaos")

SECONDS = 60 if FULL else 6
P99_SECONDS = 0.05 if FULL else 2.0
"""Tests share their machine. Only the full form has the machine for itself."""
GOOD_CLIENTS = 16
CROWD_SECONDS = 60 if FULL else 4


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """An operator with one actor."""
    with planted(tmp_path_factory.mktemp("load"), real=False, proxied=False) as made:
        made.create(["load"], 1)
        wait_for("the actor", lambda: not made.unconverged())
        yield made


def test_good_requests_stay_fast_among_bad_ones(plant: Plant) -> None:
    port = plant.operator.port
    until = time.monotonic() + SECONDS
    rude = subprocess.Popen([sys.executable, "-m", "tests.chaos.rude", str(port), str(SECONDS)], cwd=ROOT)
    time.sleep(1)
    before, processes = plant.usage(), plant.processes()
    good = [Good(port, until) for _ in range(GOOD_CLIENTS)]
    for client in good:
        client.start()
    for client in good:
        client.join(SECONDS + 30)
    rude.wait(30)
    assert [problem for client in good for problem in client.problems] == []
    seconds = sorted(s for client in good for s in client.seconds)
    assert len(seconds) > SECONDS * GOOD_CLIENTS
    p50, p99 = seconds[len(seconds) // 2], seconds[len(seconds) * 99 // 100]
    print(
        f"{len(seconds)} requests: p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms, most {seconds[-1] * 1000:.1f} ms"
    )
    assert p99 < P99_SECONDS
    assert plant.processes() == processes, "a worker died"
    after = plant.usage()
    for name, (_, memory) in after.items():
        assert memory < before[name][1] * 1.5 + 30, (name, before[name], after[name])


def test_a_crowd_of_half_sent_requests_costs_no_admission(plant: Plant) -> None:
    """Two thousand connections of one address send half requests, which once occupied all threads.

    ``make bench`` measures the response times.
    """
    processes, before = plant.processes(), plant.usage()
    meeting = meet_a_crowd(plant.operator.port, CROWD_SECONDS, arrived=lambda: before.update(plant.usage()))
    print(meeting)
    assert meeting.problems == []
    assert meeting.connected == CROWD
    assert len(meeting.seconds) > CROWD_SECONDS * CROWD_GOOD_CLIENTS
    assert plant.processes() == processes, "a worker died"
    for name, (threads, memory) in plant.usage().items():
        assert threads <= before[name][0] + 4 * CROWD_GOOD_CLIENTS, (name, "rude clients hold threads")
        assert memory < before[name][1] * 1.5 + 50, (name, before[name])
