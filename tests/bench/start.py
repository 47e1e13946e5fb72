"""How long both processes take to import and to be ready on an empty cluster, and what they weigh there."""

import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.bench.floor import process
from tests.bench.measure import RUNS, Result, family, median, resident
from tests.bench.webhook import answers, reviews
from tests.harness.clusters import free_port, start_sandbox, wait_for
from tests.harness.operator import Controller, Operator

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
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        cluster = start_sandbox(directory / "cluster")
        operator = Operator(cluster, directory / "operator")
        try:
            operator.install()
            for _ in range(RUNS):
                began = time.perf_counter()
                operator.start_webhook()
                webhook.append(time.perf_counter() - began)
                began = time.perf_counter()
                leader = operator.start_controller()
                wait_for("it to be ready", partial(_ready, leader), pause=0.02)
                controller.append(time.perf_counter() - began)
                assert operator.webhook is not None
                port, files = free_port(), operator.directory
                began = time.perf_counter()
                bare = process(port, files / "tls.crt", files / "tls.key", directory / "floor.log").start()
                wait_for("the floor", partial(answers, port, reviews()["pod"]), pause=0.02)
                floor.append(time.perf_counter() - began)
                worker, least = (max(map(resident, family(pid)[1:])) for pid in (operator.webhook.pid, bare.pid))
                weights.append((resident(leader.process.pid), worker, least))
                bare.stop()
                operator.stop_webhook()
                operator.stop_controllers()
        finally:
            operator.stop()
            cluster.stop()
    alone, least = "Flask and gunicorn alone", median(weight for *_, weight in weights)
    return [
        *results,
        Result("start", "webhook ready, empty cluster", median(webhook), "s", median(floor), alone, WEBHOOK_SECONDS),
        Result("start", "controller ready and leading, empty cluster", median(controller), "s"),
        Result("memory", "controller, empty cluster", median(weight for weight, *_ in weights), "MB"),
        Result("memory", "webhook worker", median(weight for _, weight, _ in weights), "MB", least, alone),
    ]


def _ready(controller: Controller) -> bool:
    return controller.get("/readyz") == "ok\n"


def _imports(code: str) -> float:
    def once() -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - began

    return median(once() for _ in range(RUNS))
