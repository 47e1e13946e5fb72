"""Ready means loaded: a broken template never replaces working pods, and the status reports it at every second."""

import time
from collections import Counter
from collections.abc import Callable

import pytest

from kube.objects import Object
from tests.harness.clusters import wait_for
from tests.node.site import Site, condition

Report = Callable[[object], None]
GENERATIONS = pytest.mark.parametrize("generation", ["frames", "http"], indirect=True)
WATCHED_SECONDS = 60
EXPECTED = ("RuntimeError", "False")
"""Possible phases and ``Ready`` of an actor whose runtime died in the last minutes."""
# A user's own command has no injected probe, so it counts as ready as long as it runs.
BROKEN: dict[str, Object] = {
    "function": {"env": [{"name": "ASYA_HANDLER", "value": "nothing.there"}, {"name": "PYTHONPATH", "value": "/code"}]},
    "image": {"image": "registry.invalid/nothing:1"},
}


@GENERATIONS
@pytest.mark.parametrize("broken", sorted(BROKEN))
def test_a_broken_template_never_replaces_good_pods(site: Site, report: Report, broken: str) -> None:
    route = site.start(site.actor("rolled", workload={"replicas": 2}))
    good = {p["metadata"]["name"] for p in site.wait_ready("rolled", 2)}
    site.apply(site.actor("rolled", container=BROKEN[broken], workload={"replicas": 2}))
    wait_for("a new pod", lambda: {p["metadata"]["name"] for p in site.pods("rolled")} - good, timeout=60)
    phases: Counter[str] = Counter()
    deadline = time.monotonic() + WATCHED_SECONDS
    sent = 0
    while time.monotonic() < deadline:
        route.send([{"seconds": 0.1}] * 5)
        sent += 5
        ready = {p["metadata"]["name"] for p in site.ready_pods("rolled")}
        assert good <= ready, f"{site.overview()}"
        status = (site.get("AsyncActor", "rolled") or {}).get("status") or {}
        phases[f"{status.get('phase')}/{status.get('reason')}"] += 1
        time.sleep(1)
    counted = route.wait_all(timeout=60)
    report(f"{counted}; {dict(phases)}")
    assert not counted.failed
    site.apply(site.actor("rolled", workload={"replicas": 2}))
    site.wait_condition("rolled", "Ready", "True", timeout=180)
    site.wait_ready("rolled", 2)


@GENERATIONS
def test_the_status_at_every_second_of_a_crash_loop(site: Site, report: Report) -> None:
    """If no pod is ready, or one died in the last minutes, the actor is not ready and gives the reason."""
    route = site.start(site.actor("dying"))
    start_time, texts = time.monotonic(), list[tuple[int, str]]()
    wrong: list[str] = []
    unready_since: float | None = None
    died: float | None = None
    route.send([{"exit": 3, "seconds": 1}] * 4)
    while time.monotonic() - start_time < 100:
        pods = site.pods("dying")
        ready = sum(condition(p, "Ready") == "True" for p in pods)
        value = site.get("AsyncActor", "dying") or {}
        status = value.get("status") or {}
        text = f"{status.get('phase')} Ready={condition(value, 'Ready')} {status.get('reason') or ''}"
        if not texts or texts[-1][1] != text:
            texts.append((round(time.monotonic() - start_time), text))
        unready_since = None if ready else (unready_since or time.monotonic())
        if died is None and any(has_ended(p) for p in pods):
            died = time.monotonic()
        now = time.monotonic()
        if unready_since is not None and now - unready_since > 2 and condition(value, "Ready") == "True":
            wrong.append(f"{now - start_time:.0f} s: {text}, no pod ready")
        if died is not None and now - died > 2 and (status.get("phase"), condition(value, "Ready")) != EXPECTED:
            wrong.append(f"{now - start_time:.0f} s: {text}, its runtime died {now - died:.0f} s ago")
        time.sleep(0.5)
    report("; ".join(f"{seconds}s {text}" for seconds, text in texts))
    assert died is not None
    assert not wrong, wrong


def has_ended(pod: Object) -> bool:
    """Whether the pod's runtime has ended at least once."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return any(s["name"] == "runtime" and ("terminated" in s["state"] or s["restartCount"]) for s in statuses)


def answers_without_root(site: Site, report: Report, container: Object) -> None:
    """Check that an actor whose pods must not be root answers. ``container`` is its function's container."""
    obj = site.actor("nonroot", container=container)
    obj["spec"]["workload"]["template"]["spec"]["securityContext"] = {"runAsNonRoot": True}
    route = site.start(obj)
    route.send({} for _ in range(20))
    counted = route.wait_all(timeout=60)
    report(counted)
    assert len(counted.answered) == 20
    assert not counted.failed


@GENERATIONS
def test_pods_that_must_not_run_as_root_and_set_no_user(site: Site, report: Report) -> None:
    """The function's image has a numeric user. The sidecar's image has only a user name."""
    answers_without_root(site, report, {"securityContext": {"runAsUser": 1234}})


@GENERATIONS
def test_pods_that_must_not_run_as_root_and_use_the_images_user(site: Site, own_image: str, report: Report) -> None:
    """No ``runAsUser`` anywhere. The function's image has a numeric user, the sidecar's only a user name."""
    answers_without_root(site, report, {"image": own_image})
