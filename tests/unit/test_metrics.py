"""Metrics: their names, their process, their number of series, and the metrics of a dead worker."""

import os
import subprocess
import sys
from pathlib import Path

from controller.actor_metrics import ActorMetrics
from telemetry.metrics import controller, shared, webhook
from telemetry.metrics.describe import BoundedLabel, described
from tests.harness.clusters import ROOT

MODULES = (controller, shared, webhook)


def test_names_follow_prometheus_conventions() -> None:
    assert MODULES
    for metric in described():
        assert metric.name.startswith("asya_"), metric
        assert metric.name.endswith("_total") == (metric.type == "counter"), metric
        assert metric.name.endswith("_seconds") or metric.type != "histogram", metric
        if metric.process != "both" and not metric.name.startswith("asya_actors"):
            assert metric.name.startswith(f"asya_{metric.process}_"), metric
        assert metric.meaning.endswith("."), metric


def exported(code: str, *modules: str) -> str:
    """The metrics of a process that imports ``modules`` and runs ``code``."""
    lines = [*(f"import {module}" for module in modules), code, "from prometheus_client import generate_latest"]
    script = "\n".join([*lines, "print(generate_latest().decode())"])
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return ran.stdout


def test_a_process_exports_no_metric_of_the_other() -> None:
    assert "asya_webhook_" not in exported("", "controller.process")
    text = exported("", "webhook.handler", "webhook.tls", "webhook.actors")
    assert "asya_controller_" not in text
    assert "asya_actors" not in text


def test_the_leaders_gauges_are_absent_without_a_source() -> None:
    text = exported("", "controller.process")
    for name in ("asya_actors{", "asya_controller_workqueue_depth ", "asya_controller_reinjections_in_flight "):
        assert f"\n{name}" not in text, name
    assert "\nasya_controller_leader 0.0" in text


def status(phase: str, ready: str, outdated: int = 0, reason: str = "x") -> dict[str, object]:
    """The part of an actor's status that metrics read."""
    conditions = [{"type": "Ready", "status": ready}, {"type": "ScalingReady", "status": "False", "reason": reason}]
    return {"phase": phase, "conditions": conditions, "outdatedWorkloads": outdated}


def test_a_thousand_actors_give_few_series() -> None:
    metrics = ActorMetrics()
    phases = [("Running", "True"), ("Napping", "True"), ("RuntimeError", "False"), ("Creating", "Unknown")]
    for number in range(1000):
        phase, ready = phases[number % 4]
        metrics.observe((f"team-{number % 10}", f"actor-{number}"), status(phase, ready, outdated=number % 2))
    actors = list(metrics.actors())
    assert len(actors) <= 10 * len(phases)
    assert sum(value for _, value in actors) == 1000
    assert len(list(metrics.outdated())) == 10
    assert sum(value for _, value in metrics.outdated()) == 500


def test_a_problem_that_is_solved_leaves_no_series() -> None:
    metrics = ActorMetrics()
    metrics.observe(("a", "x"), status("RuntimeError", "False", 2, "KEDANotInstalled"))
    assert list(metrics.actors()) == [(("a", "RuntimeError", "False"), 1.0)]
    assert list(metrics.without_keda()) == [(("a",), 1.0)]
    metrics.observe(("a", "x"), status("Running", "True"))
    assert list(metrics.actors()) == [(("a", "Running", "True"), 1.0)]
    assert list(metrics.without_keda()) == []
    metrics.observe(("a", "x"), None)
    assert list(metrics.actors()) == list(metrics.outdated()) == []
    metrics.observe(("a", "x"), status("Running", "True"))
    metrics.clear()
    assert list(metrics.actors()) == []


def test_a_label_from_requests_is_bounded() -> None:
    label = BoundedLabel(2)
    assert [label(value) for value in ("a", "b", "c", "a", "d")] == ["a", "b", "other", "a", "other"]


WORKER = """
from telemetry.metrics.webhook import ADMISSIONS, CERTIFICATE_EXPIRY
CERTIFICATE_EXPIRY.set({expiry})
ADMISSIONS.labels("pods", "CREATE", "injected").inc()
import os; print(os.getpid(), flush=True); input()
"""


def test_gauges_of_a_dead_worker_disappear_and_its_counters_stay(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    workers = []
    for expiry in (100, 200):
        command = [sys.executable, "-c", WORKER.format(expiry=expiry)]
        workers.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdin=-1, stdout=-1, text=True))
        assert workers[-1].stdout is not None
        workers[-1].stdout.readline()
    scrape = """
import sys
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
for pid in sys.argv[1:]: mark_process_dead(int(pid))
registry = CollectorRegistry(); MultiProcessCollector(registry); print(generate_latest(registry).decode())
"""

    def scraped(*dead: int) -> str:
        command = [sys.executable, "-c", scrape, *map(str, dead)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    name = "asya_webhook_certificate_expiry_timestamp_seconds"
    try:
        assert f"{name} 100.0" in scraped()
        workers[0].kill()
        workers[0].wait()
        text = scraped(workers[0].pid)
        assert f"{name} 200.0" in text
        assert 'outcome="injected",resource="pods"} 2.0' in text
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def test_a_command_loads_no_metric_before_the_process_has_set_their_directory() -> None:
    """``prometheus_client`` writes a worker's metrics to files only if their directory is set before its import."""
    code = "import sys; from cli.processes import stop_on_bad_setting; stop_on_bad_setting(int)"
    code += "; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
