"""A namespace on the node with everything that an actor needs, and short functions that look at its pods."""

import copy
import os
from pathlib import Path
from typing import Any

from kube.client import Client
from kube.objects import Object
from tests.harness.clusters import wait_for
from tests.harness.space import Space
from tests.node.broker import PASSWORD, USER, Broker, Route
from tests.node.kubectl import apply, kubectl

IMAGE = "python:3.13-slim"
FUNCTIONS = (Path(__file__).parent / "functions.py").read_text()
SIDECARS = {
    "frames": os.environ.get("E2E_SIDECAR_FRAMES") or "ghcr.io/deliveryhero/asya-sidecar:0.1.1",
    "http": os.environ.get("E2E_SIDECAR_HTTP") or "ghcr.io/deliveryhero/asya-sidecar:1.1.3",
}
"""An image of each generation."""


class Site(Space):
    """One namespace. It is deleted afterwards."""

    def __init__(self, client: Client, name: str, broker: Broker, generation: str) -> None:
        super().__init__(client, name)
        self.broker, self.generation = broker, generation
        self.routes: list[Route] = []

    def furnish(self) -> None:
        """Create the Secret and the functions."""
        metadata = {"namespace": self.name}
        apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "rabbitmq", **metadata}}
            | {"stringData": {"password": PASSWORD}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "functions", **metadata}}
            | {"data": {"functions.py": FUNCTIONS}},
        )

    def actor(self, name: str, function: str = "work", container: Object | None = None, **spec: Any) -> Object:
        """An actor whose function is in ``functions.py``. ``container`` and ``spec`` replace or add fields."""
        runtime = {
            "name": "runtime",
            "image": IMAGE,
            "workingDir": "/code",
            "env": [
                {"name": "ASYA_HANDLER", "value": f"functions.{function}"},
                {"name": "PYTHONPATH", "value": "/code"},
            ],
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
            "volumeMounts": [{"name": "code", "mountPath": "/code"}],
            **(container or {}),
        }
        volumes = [{"name": "code", "configMap": {"name": "functions"}}]
        made: Object = {
            "transport": {
                "type": "rabbitmq",
                "rabbitmq": {
                    "host": self.broker.host,
                    "username": USER,
                    "passwordSecretRef": {"name": "rabbitmq", "key": "password"},
                },
            },
            "sidecar": {
                "image": SIDECARS[self.generation],
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
            },
            "timeout": {"processing": 60},
            "workload": {"template": {"spec": {"containers": [runtime], "volumes": volumes}}},
        }
        if "transport" in spec:
            del made["transport"]
        for key, value in copy.deepcopy(spec).items():
            merge(made, key, value)
        made["queueName"] = self.queue(name)
        return {"apiVersion": "asya.io/v1alpha1", "kind": "AsyncActor", "metadata": {"name": name}, "spec": made}

    def queue(self, actor: str) -> str:
        """The queue that an actor's sidecar consumes."""
        return f"asya-{actor}" if self.generation == "frames" else f"asya-{self.name}-{actor}"

    def route(self, actor: str) -> Route:
        """The queues of an actor."""
        made = Route(self.broker, self.generation, self.name, actor)
        self.routes.append(made)
        return made

    def start(self, obj: Object, timeout: float = 180) -> Route:
        """Apply an actor with its queues, and wait until it is ready."""
        route = self.route(obj["metadata"]["name"])
        self.apply(obj)
        self.wait_condition(obj["metadata"]["name"], "Ready", "True", timeout=timeout)
        return route

    def pods(self, actor: str) -> list[Object]:
        """The actor's pods that are not being deleted."""
        objects = self.all("Pod")
        mine = [p for p in objects if p["metadata"].get("labels", {}).get("asya.io/actor") == actor]
        return [p for p in mine if "deletionTimestamp" not in p["metadata"]]

    def ready_pods(self, actor: str) -> list[Object]:
        """The actor's ready pods."""
        return [p for p in self.pods(actor) if condition(p, "Ready") == "True"]

    def wait_ready(self, actor: str, count: int, timeout: float = 180) -> list[Object]:
        """Wait for exactly this number of ready pods."""

        def probe() -> bool:
            assert len(self.pods(actor)) == count, self.overview()
            assert len(self.ready_pods(actor)) == count, self.overview()
            return True

        wait_for(f"{count} ready pods of {actor}", probe, timeout=timeout, pause=0.5)
        return self.ready_pods(actor)

    def overview(self) -> str:
        """The output of ``kubectl get``."""
        return kubectl("-n", self.name, "get", "asya,pods,jobs", "--ignore-not-found")

    def logs(self, pod: str, container: str) -> str:
        """The end of a container's log."""
        return kubectl("-n", self.name, "logs", pod, "-c", container, "--tail=30", check=False)

    def close(self) -> None:
        """Delete the queues and the namespace."""
        for route in self.routes:
            route.close()
        kubectl("delete", "namespace", self.name, "--wait=false", "--ignore-not-found")


def merge(into: Object, key: str, value: Any) -> None:
    """Set ``into[key]``. If both values are objects, merge them field by field."""
    if isinstance(value, dict) and isinstance(into.get(key), dict):
        for inner, item in value.items():
            merge(into[key], inner, item)
    else:
        into[key] = value


def condition(obj: Object, name: str) -> str:
    """The status of a condition. Empty if there is none."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((str(c["status"]) for c in conditions if c["type"] == name), "")


def restarts(pod: Object, container: str = "runtime") -> int:
    """How often a container has restarted."""
    status = pod.get("status") or {}
    statuses = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return sum(int(s["restartCount"]) for s in statuses if s["name"] == container)
