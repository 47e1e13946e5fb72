"""The time from creating many actors to the last complete status, on a real API server.

The baseline makes four writes for each actor in plain Python: the Deployment, the TriggerAuthentication, the
ScaledObject and the status. It calls no webhook and creates no actor. A second baseline also creates the actors, and
makes all the writes that the operator makes, through the webhooks. Both use eight threads with pooled connections.
kube-controller-manager does not run, because the benchmark would measure it too.

With a thousand actors, both processes restart. The benchmark then measures their start time and memory.
"""

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from controller.rules import desired, scalers
from controller.rules.replicas import desired_workload
from crds.models import AsyncActor
from crds.parse import parse_actor
from injection.settings import SidecarDefaults
from kube.client import Client
from kube.informer import Informer
from kube.objects import Object
from kube.resources import ASYNC_ACTORS, DEPLOYMENTS, SCALED_OBJECTS, TRIGGER_AUTHENTICATIONS, Resource
from tests.bench.measure import RUNS, Result, cpu_seconds, family, median, resident
from tests.harness.clusters import start_real, wait_for, why_not_real
from tests.harness.operator import Controller, Operator, alone
from tests.harness.space import NAMESPACES, actor

THREADS = 8
SMALL, LARGE = 200, 1000
RATIO, REQUESTS, WRITES, GROWTH = 1.5, 8, 6, 1.2
"""The writes: workload, TriggerAuthentication, ScaledObject, status, two Events."""
ALL = {"GET", "PATCH", "POST"}
BARE, SAME = "bare API calls", "the same calls"
_REQUESTS = re.compile(r'asya_kubernetes_requests_total\{code="\d+",verb="([A-Z]+)"\} ([0-9.]+)')


@dataclass
class Converged:
    """The figures of one run."""

    actors: int
    seconds: float
    cpu: float
    resident: float
    requests: Counter[str]
    floor_seconds: float = 0.0
    same_seconds: float = 0.0
    """The time of the calls that the operator and its user make, through the webhooks."""
    start_webhook: float = 0.0
    start_controller: float = 0.0
    worker: float = 0.0
    """Resident memory of a webhook worker after the restart, in MB. ``resident`` is then the controller's."""


def run() -> list[Result]:
    """Medians for 200 and for 1,000 actors. Without a real API server, nothing."""
    if why_not_real():
        return []
    small = [measure(SMALL) for _ in range(RUNS)]
    large = [measure(LARGE, restart=True) for _ in range(RUNS)]
    return [*_results(small, limits=True), *_results(large, limits=False), *_growth(small, large), *_restart(large)]


def _results(runs: list[Converged], *, limits: bool) -> list[Result]:
    results = [
        Result(
            "converge", "create to status", _of(runs, "seconds"), "s", _of(runs, "floor_seconds"), BARE, RATIO, "ratio"
        ),
        Result("converge", "create to status", _of(runs, "seconds"), "s", _of(runs, "same_seconds"), SAME),
        Result("converge", "CPU of the controller", _of(runs, "cpu"), "s"),
        Result("converge", "resident", _of(runs, "resident"), "MB"),
        _an_actor(runs, "requests", ALL, REQUESTS),
        # Two more writes create the namespace's ConfigMaps.
        _an_actor(runs, "writes", ALL - {"GET"}, WRITES + 2 / runs[0].actors),
        *(_an_actor(runs, verb, {verb}) for verb in sorted(ALL)),
    ]
    return [replace(r, case=f"{runs[0].actors} actors, {r.case}", limit=r.limit if limits else None) for r in results]


def _of(runs: list[Converged], field: str) -> float:
    return median(getattr(run, field) for run in runs)


def _an_actor(runs: list[Converged], what: str, verbs: set[str], limit: float | None = None) -> Result:
    each = median(sum(r.requests[verb] for verb in verbs) / r.actors for r in runs)
    return Result("converge", f"{what} an actor", each, "requests", limit=limit)


def _growth(small: list[Converged], large: list[Converged]) -> list[Result]:
    results = []
    for what, field in (("time", "seconds"), ("CPU", "cpu")):
        cost, before = _of(large, field) / LARGE * 1000, _of(small, field) / SMALL * 1000
        case = f"{what} an actor at {LARGE} and at {SMALL}"
        results.append(Result("converge", case, cost, "ms", before, f"at {SMALL}", GROWTH, "ratio"))
    return results


def _restart(runs: list[Converged]) -> list[Result]:
    there = f"with {LARGE} actors"
    return [
        Result("start", f"webhook ready {there}", _of(runs, "start_webhook"), "s"),
        Result("start", f"controller ready and leading {there}", _of(runs, "start_controller"), "s"),
        Result("memory", f"controller {there}", _of(runs, "resident"), "MB"),
        Result("memory", f"webhook worker {there}", _of(runs, "worker"), "MB"),
    ]


@contextmanager
def operated() -> Iterator[Operator]:
    """A real API server of its own, with the running operator."""
    with alone(partial(start_real, controller_manager=False)) as operator:
        operator.start()
        yield operator


def measure(count: int, *, restart: bool = False) -> Converged:
    """One run with ``count`` actors."""
    with operated() as operator:
        client, controller = operator.client, operator.controllers[0]
        for name in ("bench", "floor", "same"):
            client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        actors = [_actor(n) for n in range(count)]
        pid = controller.process.pid
        cpu, before = cpu_seconds([pid]), _requests(controller)
        seconds = create(client, ASYNC_ACTORS, actors, _full)
        run = Converged(count, seconds, cpu_seconds([pid]) - cpu, resident(pid), _requests(controller) - before)
        operator.stop_controllers()
        run.floor_seconds = _time_of(actors, partial(_write_bare, client))
        run.same_seconds = _time_of(actors, partial(_write_same, client))
        if restart:
            _restart_processes(operator, run)
        return run


def _actor(number: int) -> Object:
    rabbitmq = {"host": "rabbitmq", "passwordSecretRef": {"name": "rabbitmq", "key": "password"}}
    transport = {"type": "rabbitmq", "rabbitmq": rabbitmq}
    obj = actor(f"actor-{number}", transport=transport, scaling={"enabled": True})
    obj["metadata"]["namespace"] = "bench"
    return obj


def create(client: Client, resource: Resource, actors: list[Object], full: Callable[[Object], bool]) -> float:
    """Create all actors. Return the seconds until ``full`` holds for the last one."""
    missing = {obj["metadata"]["name"] for obj in actors}
    done = threading.Event()

    def changed(obj: Object, deleted: bool) -> None:
        if full(obj):
            missing.discard(obj["metadata"]["name"])
        if not missing:
            done.set()

    informer = Informer(client, resource, changed)
    informer.start()
    assert informer.wait(10), "the operator lists no actors"
    start_time = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda obj: client.create(resource, obj), actors))
    if not done.wait(300):
        raise AssertionError(f"not ready: {sorted(missing)[:5]} and {len(missing)} in all")
    elapsed = time.perf_counter() - start_time
    informer.stop()
    return elapsed


def _full(obj: Object) -> bool:
    conditions = {c["type"]: c["status"] for c in (obj.get("status") or {}).get("conditions") or ()}
    return "Ready" in conditions and set(conditions.values()) == {"True"}


def _requests(controller: Controller) -> Counter[str]:
    result: Counter[str] = Counter()
    for verb, number in _REQUESTS.findall(controller.get("/metrics")):
        result[verb] += int(float(number))
    return result


def _time_of(actors: list[Object], write: Callable[[Object], None]) -> float:
    """Seconds that ``write`` takes for all actors."""
    start_time = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(write, actors))
    return time.perf_counter() - start_time


def _write_bare(client: Client, obj: Object) -> None:
    """The four writes. The objects have no label of an actor, so the API server calls no webhook."""
    parsed = parse_actor({**obj, "metadata": {**obj["metadata"], "namespace": "floor", "uid": "705ab4f5"}})
    for resource, made in ((DEPLOYMENTS, desired.workload(parsed, keda=True)), *_scalers(parsed)):
        labels = {k: v for k, v in made["metadata"]["labels"].items() if not k.startswith("asya.io/")}
        metadata = {"name": made["metadata"]["name"], "namespace": "floor", "labels": labels}
        client.apply(resource, {**made, "metadata": metadata})
    _write_status(client, obj)


def _write_same(client: Client, obj: Object) -> None:
    """Create the actor in another namespace, and write what the operator writes for it."""
    stored = client.create(ASYNC_ACTORS, {**obj, "metadata": {**obj["metadata"], "namespace": "same"}})
    parsed = parse_actor(stored)
    manifest = desired_workload(parsed, None, keda=True)
    client.apply(DEPLOYMENTS, manifest, uid="")
    for resource, made in _scalers(parsed):
        client.apply(resource, made, uid="")
    _write_status(client, stored)


def _scalers(actor: AsyncActor) -> list[tuple[Resource, Object]]:
    authentication = scalers.trigger_authentication(actor)
    assert authentication is not None, "the actor has no password in a Secret"
    scaled_object = scalers.scaled_object(actor, SidecarDefaults())
    return [(TRIGGER_AUTHENTICATIONS, authentication), (SCALED_OBJECTS, scaled_object)]


def _write_status(client: Client, obj: Object) -> None:
    names = obj["metadata"]["namespace"], obj["metadata"]["name"]
    client.merge_patch(ASYNC_ACTORS, *names, {"status": {"replicas": 3}}, subresource="status")


def _restart_processes(operator: Operator, run: Converged) -> None:
    operator.stop_webhook()
    start_time = time.perf_counter()
    operator.start_webhook()
    run.start_webhook = time.perf_counter() - start_time
    start_time = time.perf_counter()
    controller = operator.start_controller()
    wait_for("the controller to be ready", lambda: controller.get("/readyz") == "ok\n", pause=0.02)
    run.start_controller = time.perf_counter() - start_time
    wait_for("the queue to be empty", lambda: "asya_controller_workqueue_depth 0.0" in controller.get("/metrics"))
    time.sleep(2)
    run.resident = resident(controller.process.pid)
    assert operator.webhook is not None
    run.worker = max(map(resident, family(operator.webhook.pid)[1:]))
