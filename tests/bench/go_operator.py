"""Compares the operator with the Go operator that it replaces: 200 actors, from the first create to the last status.

``BENCH_GO_OPERATOR`` names its binary, statically linked, and ``BENCH_GO_OPERATOR_CRDS`` the file or folder with its
resource definition. The binary reads its runtime script at a fixed path, so it gets a root directory of its own, for
which the benchmark needs root. Without all three, nothing is measured.

Each operator has a real API server of its own, without kube-controller-manager. Both write Deployment, ScaledObject,
TriggerAuthentication and status. The Go operator also writes a finalizer, and ours an Event. The Go operator has its
chart's 50 workers and its own limit of requests. Its chart's leader election is off, because it works in a pod alone.
Neither creates queues: the Go operator's setting for that is off, so it needs no broker.

The last statuses differ. All of our conditions are true. The Go operator's WorkloadReady stays false, because no pod
exists. It also writes each actor's status every five seconds until KEDA's HPA wants replicas. KEDA does not run, so the
benchmark creates all HPAs before the actors.
"""

import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import urllib3
import yaml

from cli.foreign import GROUP
from kube.client import Client
from kube.objects import Object
from kube.resources import CONFIG_MAPS, Resource
from runtime import SCRIPT
from tests.bench import converge
from tests.bench.measure import Result, cpu_seconds, median, resident
from tests.harness.clusters import Process, free_port, start_real, wait_for, why_not_real
from tests.harness.operator import alone, install_crd, install_keda
from tests.harness.space import NAMESPACES, actor

BINARY, CRDS = "BENCH_GO_OPERATOR", "BENCH_GO_OPERATOR_CRDS"
RUNS = 3
WORKERS = 50
"""The default of the Go operator's chart. The binary's own default is 10."""
ACTORS = Resource(f"{GROUP}/v1alpha1", "AsyncActor", "asyncactors")
HPAS = Resource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
_REQUESTS = re.compile(r'rest_client_requests_total\{.*method="([A-Z]+)"\} ([0-9.e+]+)')


def why_not() -> str:
    """Why the Go operator cannot run. Empty if it can."""
    if not all(os.environ.get(name) for name in (BINARY, CRDS)):
        return f"{BINARY} and {CRDS} do not name a binary and its resource definition"
    return "" if os.geteuid() == 0 else "the Go operator needs a root directory of its own, so it needs root"


def run() -> list[Result]:
    """Medians of seconds, CPU, memory and requests of both operators. Our figure's baseline is the Go operator's."""
    if why := why_not() or why_not_real():
        print(f"go-operator: {why}")
        return []
    runs = [(converge.measure(converge.SMALL), measure(converge.SMALL)) for _ in range(RUNS)]
    results = []
    for case, field, unit in (
        ("create to status", "seconds", "s"),
        ("CPU of the controller", "cpu", "s"),
        ("resident", "resident", "MB"),
    ):
        ours, theirs = (median(getattr(pair[side], field) for pair in runs) for side in (0, 1))
        results.append(Result("go-operator", case, ours, unit, theirs, "Go operator"))
    ours, theirs = (median(pair[side].requests.total() / pair[side].actors for pair in runs) for side in (0, 1))
    results.append(Result("go-operator", "requests an actor", ours, "requests", theirs, "Go operator"))
    return results


def measure(count: int) -> converge.Converged:
    """One run of the Go operator with ``count`` actors."""
    with alone(partial(start_real, controller_manager=False)) as cluster:
        client = cluster.client
        install_keda(client)
        for crd in definitions():
            install_crd(client, crd)
        client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}})
        actors = [go_actor(f"actor-{n}", "bench", scaling={"enabled": True}) for n in range(count)]
        for obj in actors:
            _hpa(client, f"keda-hpa-{obj['metadata']['name']}")
        with running(client, cluster.cluster.kubeconfig.read_text(), "bench") as (process, port):
            cpu, before = cpu_seconds([process.pid]), _requests(port)
            seconds = converge.create(client, ACTORS, actors, _full)
            cpu = cpu_seconds([process.pid]) - cpu
            requests = Counter({verb: n - before[verb] for verb, n in _requests(port).items()})
            return converge.Converged(count, seconds, cpu, resident(process.pid), requests)


def definitions() -> list[Object]:
    """The resource definitions in the file or folder that the variable names."""
    path = Path(os.environ[CRDS])
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    return [crd for file in files for crd in yaml.safe_load_all(file.read_text()) if crd]


def go_actor(name: str, namespace: str, **spec: object) -> Object:
    """The Go operator's form of :func:`tests.harness.space.actor`. ``spec`` adds fields."""
    (container,) = actor(name)["spec"]["workload"]["template"]["spec"]["containers"]
    template = {"spec": {"containers": [{**container, "name": "asya-runtime"}]}}
    return {
        "apiVersion": ACTORS.api_version,
        "kind": ACTORS.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"transport": "rabbitmq", "workload": {"kind": "Deployment", "template": template}, **spec},
    }


@contextmanager
def running(client: Client, kubeconfig: str, namespace: str, **environment: str) -> Iterator[tuple[Process, int]]:
    """The Go operator with its script's ConfigMap in ``namespace``. Yields the process and its metrics port."""
    rabbitmq = {"host": "127.0.0.1", "port": 1, "username": "guest"}
    rabbitmq["passwordSecretRef"] = {"name": "rabbitmq", "key": "password"}
    transports = {"rabbitmq": {"type": "rabbitmq", "enabled": True, "config": rabbitmq}}
    environment |= {
        "ASYA_TRANSPORT_CONFIG": json.dumps({"transports": transports}),
        "ASYA_DISABLE_QUEUE_MANAGEMENT": "true",
        "ASYA_MAX_CONCURRENT_RECONCILES": str(WORKERS),
        "ASYA_RUNTIME_NAMESPACE": namespace,
        "NO_PROXY": "*",
    }
    with tempfile.TemporaryDirectory() as folder:
        root, port = Path(folder) / "root", free_port()
        (root / "runtime").mkdir(parents=True)
        shutil.copy(SCRIPT, root / "runtime" / "asya_runtime.py")
        shutil.copy(os.environ[BINARY], root / "manager")
        (root / "kubeconfig").write_text(kubeconfig)
        addresses = [
            f"--metrics-bind-address=127.0.0.1:{port}",
            f"--health-probe-bind-address=127.0.0.1:{free_port()}",
        ]
        command = ["chroot", str(root), "/manager", "--kubeconfig=/kubeconfig", "--zap-log-level=info", *addresses]
        process = Process(command, Path(folder) / "log", environment).start()
        try:
            # It writes the ConfigMap when its caches are full.
            wait_for("the Go operator", lambda: client.get(CONFIG_MAPS, namespace, "asya-runtime"), 60)
            yield process, port
        except AssertionError as error:
            raise AssertionError(f"{error}\n{process.tail()}") from None
        finally:
            process.stop()


def _hpa(client: Client, name: str) -> None:
    """An HPA as KEDA creates it, which already wants one replica."""
    metadata = {"name": name, "namespace": "bench"}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name.removeprefix("keda-hpa-")}
    spec = {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 50}
    client.create(HPAS, {"apiVersion": HPAS.api_version, "kind": HPAS.kind, "metadata": metadata, "spec": spec})
    status = {"status": {"desiredReplicas": 1, "currentReplicas": 1}}
    client.merge_patch(HPAS, "bench", name, status, subresource="status")


def _full(obj: Object) -> bool:
    """Whether the status is complete. The operator writes it after all objects."""
    conditions = {c["type"]: c["status"] for c in (obj.get("status") or {}).get("conditions") or ()}
    return len(conditions) == 3 and conditions["TransportReady"] == conditions["ScalingReady"] == "True"


def _requests(port: int) -> Counter[str]:
    """Requests to the API server so far, by verb."""
    counted: Counter[str] = Counter()
    for verb, number in _REQUESTS.findall(urllib3.request("GET", f"http://127.0.0.1:{port}/metrics").data.decode()):
        counted[verb] += int(float(number))
    return counted
