"""Jobs of users and of KEDA end when their work is done, and lose no message."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from kube.objects import Object
from kube.resources import JOBS
from tests.harness.clusters import wait_for
from tests.harness.space import example
from tests.node.conftest import FULL
from tests.node.site import Site, condition

Report = Callable[[object], None]
GENERATIONS = pytest.mark.parametrize("generation", ["frames", "http"], indirect=True)
ROUNDS, MESSAGES = (10, 30) if FULL else (1, 15)


class Jobs:
    """Every Job that ever existed in a namespace, because KEDA deletes the oldest completed ones."""

    def __init__(self, site: Site) -> None:
        self._site, self.ends = site, dict[str, str]()

    def look(self) -> dict[str, str]:
        """The result of each Job by uid: Complete, Failed or empty."""
        for job in self._site.client.list(JOBS, self._site.name):
            failed, complete = condition(job, "Failed") == "True", condition(job, "Complete") == "True"
            self.ends[job["metadata"]["uid"]] = "Failed" if failed else "Complete" if complete else ""
        return self.ends

    def count(self, end: str) -> int:
        """The number of Jobs with this result."""
        return sum(value == end for value in self.look().values())


def as_here(site: Site, obj: Any) -> Any:
    """An example's actor with the broker, sidecar, function and size of these tests."""
    ours = site.actor(obj["metadata"]["name"], function="work")["spec"]
    template, test_spec = obj["spec"]["workload"]["template"]["spec"], ours["workload"]["template"]["spec"]
    (container,), (runtime,) = template["containers"], test_spec["containers"]
    kept = {key: value for key, value in runtime.items() if key != "name"}
    template.update(containers=[{**container, **kept}], volumes=test_spec["volumes"])
    obj["spec"].update(transport=ours["transport"], sidecar=ours["sidecar"], queueName=ours["queueName"])
    return obj


@GENERATIONS
@pytest.mark.usefixtures("keda")
def test_the_example_of_a_scaled_job(site: Site, report: Report) -> None:
    obj = as_here(site, example("scaled-job"))
    obj["spec"]["scaling"]["pollingInterval"] = 5
    name = obj["metadata"]["name"]
    route, jobs = site.start(obj), Jobs(site)
    start_time = time.monotonic()
    for number in range(1, ROUNDS + 1):
        route.send({"seconds": 2} for _ in range(MESSAGES))

        def all_done(number: int = number) -> bool:
            assert not route.collect().missing, f"{route.counted}, {jobs.ends}"
            assert jobs.count("Complete") >= number * MESSAGES, jobs.ends
            return True

        wait_for(f"round {number}", all_done, timeout=240, pause=1)
    wait_for("all Jobs to end", lambda: jobs.count("") == 0, timeout=180, pause=1)
    counted = route.collect()
    report(
        f"{ROUNDS} rounds: {counted}, {jobs.count('Complete')} Jobs complete, {jobs.count('Failed')} failed, "
        f"{time.monotonic() - start_time:.0f} s",
    )
    assert not counted.failed
    assert not counted.doubled
    assert jobs.count("Failed") == 0
    assert site.condition(name, "Ready")["status"] == "True"


@GENERATIONS
@pytest.mark.parametrize("job", [{"messages": 5}, {"idleSeconds": 10}], ids=["after-its-messages", "when-idle"])
def test_a_job_of_its_own_ends(site: Site, report: Report, job: Object) -> None:
    route = site.route("once")
    route.send({"seconds": 0.2} for _ in range(5))
    start_time = time.monotonic()
    site.apply(site.actor("once", workload={"type": "Job", "job": job}))
    jobs = Jobs(site)
    wait_for("the Job to complete", lambda: jobs.count("Complete") == 1, timeout=180, pause=1)
    took, counted = time.monotonic() - start_time, route.wait_all(timeout=10)
    report(f"{counted}, complete after {took:.0f} s")
    assert len(counted.answered) == 5
    assert not counted.doubled
