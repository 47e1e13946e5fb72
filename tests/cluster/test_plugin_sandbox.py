"""The plugin's messages on the sandbox, which runs no pods."""

import time

import pytest

from kube.resources import JOBS
from tests.cluster.test_plugin import run
from tests.harness.clusters import Cluster
from tests.harness.space import Space, actor

pytestmark = pytest.mark.only("sandbox")


def test_commands_that_need_a_pod_report_that_none_runs_and_clean_up(space: Space, cluster: Cluster) -> None:
    space.apply(actor("a"))
    space.wait_condition("a", "Ready", "True")
    start_time = time.monotonic()
    peeked = run(cluster, "peek", "a", "--namespace", space.name, "--image", "none")
    assert time.monotonic() - start_time < 20
    assert peeked.returncode == 1
    assert "the sandbox runs no containers" in peeked.stderr
    assert "--local" in peeked.stderr
    assert space.client.list(JOBS, space.name) == []
    logs = run(cluster, "logs", "a", "-n", space.name)
    assert (logs.returncode, "the sandbox runs no containers" in logs.stderr) == (1, True)
