"""What injection costs in each pod, and what the operator's own pods take, as the kubelet counts it.

It runs only if ``E2E_CONTEXT`` names kubectl's current context, where the operator is installed by its chart. One actor
has no broker, so its sidecar is not measured, and its function waits. A copy of its pod has no probes, so the
difference is their cost inside the pod; the kubelet's own work for a probe is not counted. Memory is the working set,
which is what a limit counts.

Then 200 actors come that KEDA keeps at zero pods, and the operator's pods are measured again. Their broker does not
exist, so they also have KEDA's failures in their status.
"""

import copy
import os
import time
from typing import NamedTuple

from crds.names import HOLDER, KEDA_API_VERSION
from kube.client import Client
from kube.credentials import load_configuration
from kube.objects import Object
from kube.resources import ASYNC_ACTORS, PODS, SCALED_OBJECTS
from tests.bench import node
from tests.bench.measure import Result
from tests.harness.clusters import wait_for
from tests.harness.space import actor
from tests.node.context import refusal

SECONDS = 90.0
"""The kubelet measures every 10 to 15 s."""
SYSTEM = "asya-system"
WEBHOOK_MB, CONTROLLER_MB = 80.0, 60.0
ACTORS, CONTROLLER_FULL_MB = 200, 70.0
FUNCTION = {"name": "ASYA_HANDLER", "value": "copy.copy"}
"""A function that returns its message unchanged. Each Python has it."""


class Usage(NamedTuple):
    """The use of one container."""

    cpu: float
    """Seconds of CPU since its start."""
    at: str
    memory: float
    """Working set in MB."""


def run() -> list[Result]:
    """CPU and memory of each container of an idle actor, and memory of the operator's pods."""
    if why := refusal() if os.environ.get("E2E_CONTEXT") else "E2E_CONTEXT names no cluster":
        print(f"pod: {why}")
        return []
    client = Client(load_configuration(os.environ.get("KUBECONFIG")))
    with node.namespace_for(client, "bench-pod") as namespace:
        obj = node.our_actor("idle", namespace)
        obj["spec"]["workload"]["template"]["spec"]["containers"][0]["env"] = [FUNCTION]
        client.apply(ASYNC_ACTORS, obj, manager="kubectl")
        pod = wait_for("the actor's pod", lambda: next(iter(_ready(client, namespace)), None), 120)
        assert pod is not None
        client.create(PODS, without_probes(pod))
        wait_for("the pod without probes", lambda: len(_ready(client, namespace)) == 2, 120)
        time.sleep(SECONDS / 3)  # the start is over
        before = usage(client, pod["spec"]["nodeName"])
        time.sleep(SECONDS)
        after = usage(client, pod["spec"]["nodeName"])
        names = {"with": pod["metadata"]["name"], "without": "without-probes"}
        results = [*_containers(namespace, names, before, after), *_system(after, "at rest", CONTROLLER_MB)]
        if client.serves(KEDA_API_VERSION, SCALED_OBJECTS.plural):
            _create_sleeping(client, namespace)
            time.sleep(SECONDS)
            full = usage(client, pod["spec"]["nodeName"])
            results += _system(full, f"with {ACTORS} actors", CONTROLLER_FULL_MB)
        return results


def _create_sleeping(client: Client, namespace: str) -> None:
    """Create actors without pods. Wait until all have a status."""
    rabbitmq = {"host": "missing.invalid", "passwordSecretRef": {"name": "missing", "key": "password"}}
    transport = {"type": "rabbitmq", "rabbitmq": rabbitmq}
    for n in range(ACTORS):
        obj = actor(f"sleeping-{n}", transport=transport, scaling={"enabled": True})
        obj["metadata"]["namespace"] = namespace
        client.apply(ASYNC_ACTORS, obj, manager="kubectl")
    wait_for("their statuses", lambda: all(a.get("status") for a in client.list(ASYNC_ACTORS, namespace)), 120)


def without_probes(pod: Object) -> Object:
    """A copy of an injected pod that nothing injects again, and whose containers have no probes."""
    spec = copy.deepcopy(pod["spec"])
    account = [v["name"] for v in spec["volumes"] if v["name"].startswith("kube-api-access-")]
    spec["volumes"] = [v for v in spec["volumes"] if v["name"] not in account]
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        for field in ("startupProbe", "readinessProbe", "livenessProbe"):
            container.pop(field, None)
        container["volumeMounts"] = [m for m in container["volumeMounts"] if m["name"] not in account]
    del spec["nodeName"]
    metadata = {"name": "without-probes", "namespace": pod["metadata"]["namespace"]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def usage(client: Client, node_name: str) -> dict[tuple[str, str, str], Usage]:
    """The use of all containers of a node, by namespace, pod and container."""
    summary = client.request("GET", f"/api/v1/nodes/{node_name}/proxy/stats/summary")
    return {
        (pod["podRef"]["namespace"], pod["podRef"]["name"], container["name"]): Usage(
            container["cpu"].get("usageCoreNanoSeconds", 0) / 1e9,
            container["cpu"]["time"],
            container["memory"].get("workingSetBytes", 0) / 1024**2,
        )
        for pod in summary["pods"]
        for container in pod["containers"]
    }


def _ready(client: Client, namespace: str) -> list[Object]:
    """The pods whose runtime is ready."""
    return [
        pod
        for pod in client.list(PODS, namespace)
        if any(c["name"] == "runtime" and c["ready"] for c in pod["status"].get("containerStatuses") or ())
    ]


def _containers(
    namespace: str,
    names: dict[str, str],
    before: dict[tuple[str, str, str], Usage],
    after: dict[tuple[str, str, str], Usage],
) -> list[Result]:
    def millicores(pod: str, container: str) -> float:
        key = namespace, names[pod], container
        return (after[key].cpu - before[key].cpu) / SECONDS * 1000

    results = []
    for container in (HOLDER, "runtime"):
        memory = after[namespace, names["with"], container].memory
        results.append(Result("pod", f"{container}, idle", memory, "MB"))
        cpu = millicores("with", container)
        results.append(
            Result("pod", f"{container}, idle", cpu, "millicores", millicores("without", container), "without probes")
        )
    return results


def _system(after: dict[tuple[str, str, str], Usage], when: str, controller_limit: float) -> list[Result]:
    limits = {"webhook": WEBHOOK_MB, "controller": controller_limit}
    return [
        Result("pod", f"the operator's {container}, {when}", use.memory, "MB", limit=limits.get(container))
        for (namespace, _, container), use in sorted(after.items())
        if namespace == SYSTEM
    ]
