"""Many actors under an operator with an unreliable way to the API server, and a client that creates pods in a loop."""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kube.client import Client
from kube.failures import ApiError
from kube.objects import Object
from kube.resources import ASYNC_ACTORS, DEPLOYMENTS, PODS, Resource
from tests.chaos.proxy import Proxy
from tests.harness.clusters import Cluster
from tests.harness.kubelet import running
from tests.harness.operator import Operator
from tests.harness.space import NAMESPACES, actor

REPLICA_SETS = Resource("apps/v1", "ReplicaSet", "replicasets")
TRAFFIC_SECONDS = 0.1
"""Seconds between two labelled pods."""


@dataclass
class Plant:
    """The expected state.

    ``expected`` is each actor's processing timeout, by namespace and name. ``changes`` counts its changes.
    """

    cluster: Cluster
    operator: Operator
    proxy: Proxy
    client: Client
    expected: dict[tuple[str, str], int] = field(default_factory=dict)
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)

    def create(self, namespaces: list[str], actors: int, *, scaled: bool = True) -> None:
        """Create namespaces, and actors spread over them."""
        for name in namespaces:
            self.client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        keys = [(namespaces[n % len(namespaces)], f"actor-{n}") for n in range(actors)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: self.put(key, 60, scaled=scaled), keys))

    def put(self, key: tuple[str, str], timeout: int, *, scaled: bool = True) -> None:
        """Create or change an actor."""
        obj = actor(key[1], timeout={"processing": timeout, "gracefulShutdown": 90}, scaling={"enabled": scaled})
        obj["metadata"]["namespace"] = key[0]
        self.client.apply(ASYNC_ACTORS, obj, manager="kubectl")
        if key in self.expected and self.expected[key] != timeout:
            self.changes[key] += 1
        self.expected[key] = timeout

    def disturb(self, number: int) -> None:
        """Change some actors, delete some of their workloads, and add one actor."""
        keys = sorted(self.expected)
        picked = [keys[(number * 7 + n) % len(keys)] for n in range(7)]
        for key in picked[:5]:
            self.put(key, self.expected[key] + 1)
        for key in picked[5:]:
            self.client.delete(DEPLOYMENTS, *key)
            self.changes[key] = 0  # the new Deployment starts with one ReplicaSet
        self.put((keys[0][0], f"added-{number}"), 60)

    def unconverged(self) -> list[str]:
        """Objects that are not yet in the expected state."""
        actors = {(o["metadata"]["namespace"], o["metadata"]["name"]): o for o in self.client.list(ASYNC_ACTORS)}
        deployments = {(o["metadata"]["namespace"], o["metadata"]["name"]): o for o in self._deployments()}
        differences = [f"{key} is missing" for key in self.expected.keys() - actors.keys()]
        for key, timeout in self.expected.items():
            obj, deployment = actors.get(key, {}), deployments.get(key, {})
            status = obj.get("status") or {}
            conditions = {c["type"]: c for c in status.get("conditions") or ()}
            ready = conditions.get("Ready") or {}
            if ready.get("status") == "False" or ready.get("observedGeneration") != obj["metadata"]["generation"]:
                differences.append(f"{key} is {ready}")
            elif f'"{timeout}s"' not in _text(deployment):
                differences.append(f"the Deployment of {key} has another timeout")
        return differences

    def duplicates(self) -> list[str]:
        """Deployments without an actor, and rollouts beyond one for each change."""
        uids = {(o["metadata"]["namespace"], o["metadata"]["name"]): o["metadata"]["uid"] for o in self._deployments()}
        surplus = [f"a Deployment {key}" for key in uids.keys() - self.expected.keys()]
        replica_sets = self.client.list(REPLICA_SETS)
        counted = Counter(o["uid"] for r in replica_sets for o in r["metadata"].get("ownerReferences") or ())
        for key in self.expected:
            if counted[uids[key]] > 1 + self.changes[key]:
                surplus.append(f"{counted[uids[key]]} ReplicaSets of {key} after {self.changes[key]} changes")
        return surplus

    def _deployments(self) -> list[Object]:
        return self.client.list(DEPLOYMENTS)

    def processes(self) -> dict[str, int]:
        """The operator's processes, by name."""
        assert self.operator.webhook is not None
        master = self.operator.webhook.pid
        pids = {f"controller-{n}": c.process.pid for n, c in enumerate(self.operator.controllers)}
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return pids | {f"webhook-{n}": int(pid) for n, pid in enumerate(children)}

    def usage(self) -> dict[str, tuple[int, float]]:
        """Threads and resident megabytes of each process."""
        return {name: (_status(pid, "Threads"), _status(pid, "VmRSS") / 1024) for name, pid in self.processes().items()}


def _text(deployment: Object) -> str:
    containers = (((deployment.get("spec") or {}).get("template") or {}).get("spec") or {}).get("containers") or ()
    values = [e.get("value") for c in containers for e in c.get("env") or () if e["name"] == "ASYA_RUNTIME_TIMEOUT"]
    return " ".join(f'"{value}"' for value in values)


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise AssertionError(f"{name} of {os.fspath(Path('/proc') / str(pid))}")


@contextmanager
def planted(directory: Path, *, real: bool, proxied: bool) -> Iterator[Plant]:
    """A cluster of its own with an operator and no actors. ``proxied``: the operator uses a proxy to the API server."""
    with running(directory / "cluster", real=real) as cluster:
        proxy = Proxy(cluster.kubeconfig, directory / "proxy")
        operator = Operator(cluster, directory / "operator", kubeconfig=proxy.kubeconfig if proxied else None)
        try:
            operator.start()
            yield Plant(cluster, operator, proxy, cluster.client())
        finally:
            operator.stop()
            proxy.close()


class Traffic:
    """Creates labelled pods in a loop. Each pod must be injected."""

    def __init__(self, client: Client, namespace: str, name: str) -> None:
        self._client, self._namespace, self._name = client, namespace, name
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.created = 0
        self.failures: list[str] = []
        self._thread.start()

    def stop(self) -> None:
        """Stop creating pods."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(TRAFFIC_SECONDS):
            name = f"traffic-{self.created}-{len(self.failures)}-{time.monotonic_ns()}"
            metadata = {"name": name, "namespace": self._namespace, "labels": {"asya.io/actor": self._name}}
            spec = {"containers": [{"name": "app", "image": "app:1"}]}
            try:
                made = self._client.create(
                    PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
                )
                if [c["name"] for c in made["spec"]["containers"]] != ["sidecar", "app"]:
                    self.failures.append(f"{name} was not injected")
                self.created += 1
                self._client.delete(PODS, self._namespace, name)
            except ApiError as error:
                self.failures.append(str(error))
