"""Compares the webhook with an injector in Go, in one run, on the same review.

``BENCH_GO_INJECTOR`` names the binary of the Amazon EKS pod identity webhook. It adds a volume, a mount and variables
to a pod for its ServiceAccount, which is about the same work. ``wrk`` must be on the PATH: a client in Python would be
slower than the servers. Without both, nothing is measured.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import urllib3

from kube.resources import ASYNC_ACTORS, Resource
from tests.bench.floor import serving
from tests.bench.measure import Result, cpu_seconds, family, median, proportional
from tests.bench.webhook import NAME, reviews
from tests.harness.clusters import Process, free_port, start_real, start_sandbox, wait_for, why_not_real
from tests.harness.operator import Operator, alone
from tests.harness.space import actor

CONNECTIONS = (1, 8)
SECONDS, RUNS = 4, 3
CPU_RATIO, P50_RATIO, REQUESTS, MEGABYTES = 2.0, 2.5, 4000.0, 80.0
"""The limits as ratios to the Go injector: one connection, requests per second with eight, memory of all processes."""
SERVICE_ACCOUNTS = Resource("v1", "ServiceAccount", "serviceaccounts")
_P50 = re.compile(r"50%\s+([\d.]+)(us|ms|s)\b")
_TOTAL = re.compile(r"(\d+) requests in ([\d.]+)s")
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


def run() -> list[Result]:
    """CPU, p50, requests per second and memory of the webhook, the Flask baseline and the Go injector."""
    binary = os.environ.get("BENCH_GO_INJECTOR", "")
    if not binary or not shutil.which("wrk"):
        print("peers: BENCH_GO_INJECTOR names no binary, or wrk is not on the PATH")
        return []
    figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with alone(start_sandbox if why_not_real() else start_real) as operator, _servers(operator, binary) as servers:
        with tempfile.TemporaryDirectory() as folder:
            script = _script(Path(folder))
            for _ in range(RUNS):
                for connections in CONNECTIONS:
                    for name, (port, pid) in servers.items():
                        for unit, value in _measure(port, pid, script, connections).items():
                            figures[f"{connections} connections, {unit}"][name].append(value)
        memory = {name: proportional(family(pid)) for name, (_, pid) in servers.items()}
    return [
        *_results(figures),
        Result("peers", "process tree, go injector", memory["go injector"], "MB"),
        Result("peers", "process tree", memory["webhook"], "MB", memory["floor"], "floor", MEGABYTES),
    ]


def _results(figures: dict[str, dict[str, list[float]]]) -> Iterator[Result]:
    for title, by in figures.items():
        case, _, unit = title.rpartition(", ")
        ours, floor, peer = (median(by[name]) for name in ("webhook", "floor", "go injector"))
        limit = {"1 connections, CPU ms": CPU_RATIO, "1 connections, p50 ms": P50_RATIO}.get(title)
        yield Result("peers", case, ours, unit, peer, "Go injector", limit, "ratio")
        yield Result("peers", f"{case}, floor", floor, unit, peer, "Go injector")


def _measure(port: int, pid: int, script: Path, connections: int) -> dict[str, float]:
    pids = family(pid)
    before = cpu_seconds(pids)
    options = [
        f"--connections={connections}",
        "--threads=1",
        f"--duration={SECONDS}s",
        "--latency",
        f"--script={script}",
    ]
    completed = subprocess.run(
        ["wrk", *options, f"https://127.0.0.1:{port}/mutate"], capture_output=True, text=True, check=True, timeout=60
    )
    total, p50 = _TOTAL.search(completed.stdout), _P50.search(completed.stdout)
    assert total is not None, completed.stdout
    assert p50 is not None, completed.stdout
    assert "Non-2xx" not in completed.stdout, completed.stdout
    count = int(total[1])
    return {
        "CPU ms": (cpu_seconds(pids) - before) * 1000 / count,
        "p50 ms": float(p50[1]) * _MILLISECONDS[p50[2]],
        "requests/s": count / float(total[2]),
    }


def _review() -> bytes:
    review = orjson.loads(reviews()["pod"])
    review["request"] |= {"kind": {"group": "", "version": "v1", "kind": "Pod"}}
    pod = review["request"]["object"]
    pod |= {"apiVersion": "v1", "kind": "Pod"}
    pod["metadata"]["namespace"] = "default"
    pod["spec"]["serviceAccountName"] = NAME
    return orjson.dumps(review)


def _script(folder: Path) -> Path:
    """The script for wrk."""
    (folder / "review.json").write_bytes(_review())
    script = folder / "post.lua"
    script.write_text(
        f'local file = io.open("{folder}/review.json", "rb")\n'
        'wrk.method, wrk.body = "POST", file:read("*a")\n'
        'wrk.headers["Content-Type"] = "application/json"\n'
    )
    return script


@contextmanager
def _servers(operator: Operator, binary: str) -> Iterator[dict[str, tuple[int, int]]]:
    """Port and process id of each server. All but the baseline have answered the review with a patch."""
    operator.install()
    obj = actor(NAME)
    obj["metadata"]["namespace"] = "default"
    operator.client.apply(ASYNC_ACTORS, obj, manager="kubectl")
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/bench"}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": "default"}}
    account["metadata"]["annotations"] = role  # type: ignore[index]
    operator.client.apply(SERVICE_ACCOUNTS, account, manager="kubectl")
    operator.start_webhook()
    assert operator.webhook is not None
    port, folder = free_port(), operator.directory
    options = [
        "--in-cluster=false",
        f"--kubeconfig={operator.kubeconfig}",
        f"--port={port}",
        f"--metrics-port={free_port()}",
    ]
    files = [f"--tls-cert={folder}/tls.crt", f"--tls-key={folder}/tls.key"]
    injector = Process([binary, *options, *files], folder / "injector.log").start()
    try:
        wait_for("the Go injector", lambda: _patches(port), pause=0.2)
        wait_for("the webhook", lambda: _patches(operator.port), pause=0.2)
        with serving(folder) as floor:
            yield {
                "webhook": (operator.port, operator.webhook.pid),
                "floor": floor,
                "go injector": (port, injector.pid),
            }
    finally:
        injector.stop()


def _patches(port: int) -> bool:
    try:
        answer = urllib3.PoolManager(cert_reqs="CERT_NONE").request(
            "POST",
            f"https://127.0.0.1:{port}/mutate",
            body=_review(),
            headers={"Content-Type": "application/json"},
            retries=False,
            timeout=2,
        )
    except urllib3.exceptions.HTTPError:
        return False
    return b'"patch"' in answer.data
