"""How long both processes take to import and to become ready on an empty cluster, and how much memory they use."""

import subprocess
import sys
import time
from functools import partial

from tests.bench.floor import serving
from tests.bench.measure import RUNS, Result, family, median, resident
from tests.harness.clusters import wait_for
from tests.harness.operator import Controller, alone

WEBHOOK_SECONDS = 1.5
IMPORTS = {
    "webhook": "import webhook.server, webhook.app, webhook.actors, webhook.tls, webhook.worker, kube.watchdog",
    "controller": "import controller.process",
    "command line": "import cli.main",
}
BARE = {
    "webhook": "import flask, gunicorn.workers.gthread, gunicorn.app.base, orjson, pydantic",
    "controller": "import kubernetes.client, orjson, pydantic",
    "command line": "import typer",
}


def run() -> list[Result]:
    """Medians of five starts."""
    results = [
        Result("start", f"imports of the {name}", _imports(code), "s", _imports(BARE[name]), f"{BARE[name]}")
        for name, code in IMPORTS.items()
    ]
    webhook, controller, floor, weights = [], [], [], []
    with alone() as operator:
        operator.install()
        for _ in range(RUNS):
            start_time = time.perf_counter()
            operator.start_webhook()
            webhook.append(time.perf_counter() - start_time)
            start_time = time.perf_counter()
            leader = operator.start_controller()
            wait_for("it to be ready", partial(_ready, leader), pause=0.02)
            controller.append(time.perf_counter() - start_time)
            assert operator.webhook is not None
            start_time = time.perf_counter()
            with serving(operator.directory) as (_, bare):
                floor.append(time.perf_counter() - start_time)
                worker, least = (max(map(resident, family(pid)[1:])) for pid in (operator.webhook.pid, bare))
            weights.append((resident(leader.process.pid), worker, least))
            operator.stop_webhook()
            operator.stop_controllers()
    only, least = "Flask and gunicorn alone", median(weight for *_, weight in weights)
    return [
        *results,
        Result("start", "webhook ready, empty cluster", median(webhook), "s", median(floor), only, WEBHOOK_SECONDS),
        Result("start", "controller ready and leading, empty cluster", median(controller), "s"),
        Result("memory", "controller, empty cluster", median(weight for weight, *_ in weights), "MB"),
        Result("memory", "webhook worker", median(weight for _, weight, _ in weights), "MB", least, only),
    ]


def _ready(controller: Controller) -> bool:
    return controller.get("/readyz") == "ok\n"


def _imports(code: str) -> float:
    def once() -> float:
        start_time = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start_time

    return median(once() for _ in range(RUNS))
