"""The time from an actor's creation to its first pod's start, on a node that runs pods.

It runs only if ``E2E_CONTEXT`` names kubectl's current context. The operator is already installed there by its chart.
With the variables of :mod:`tests.bench.go_operator`, the Go operator runs on this machine against the same cluster. Its
resource definition is in another group, so both operators run at the same time. Their actors take turns.

All actors have one replica without scaling, the same image and the same sidecar, and no broker. Only the time to the
Deployment is the operator's own. The rest belongs to Kubernetes, and depends on the containers in the pod. The kubelet
looks at containers once a second. Each time is the moment when a watch on this machine delivers the change. Our
operator runs in a pod and behind its webhooks. The Go operator is a process without webhooks.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from cli.foreign import GROUP
from kube.client import Client
from kube.credentials import load_configuration
from kube.informer import Informer
from kube.objects import Object
from kube.resources import ASYNC_ACTORS, DEPLOYMENTS, PODS, Resource
from tests.bench import go_operator
from tests.bench.measure import Result, median
from tests.harness.clusters import wait_for
from tests.harness.operator import CRDS, install_crd
from tests.harness.space import NAMESPACES, actor
from tests.node.context import refusal
from tests.node.kubectl import kubectl
from tests.node.site import IMAGE, SIDECARS

ACTORS = 10
DEFINITION = f"{go_operator.ACTORS.plural}.{GROUP}"
Times = dict[str, float]


def run() -> list[Result]:
    """Medians of the seconds from the creation to each step. The baseline is the Go operator, if it runs."""
    if why := refusal() if os.environ.get("E2E_CONTEXT") else "E2E_CONTEXT names no cluster":
        print(f"node: {why}")
        return []
    client = Client(load_configuration(os.environ.get("KUBECONFIG")))
    why = go_operator.why_not()
    if not why and client.get(CRDS, "", DEFINITION):
        why = f"the cluster has {DEFINITION} already, so another operator may act on its actors"
    with ExitStack() as stack:
        ours = stack.enter_context(namespace_for(client, "bench-node"))
        theirs = ""
        if why:
            print(f"node: only our operator: {why}")
        else:
            theirs = stack.enter_context(_go_operator(client))
        first, second = list[Times](), list[Times]()
        for n in range(ACTORS):
            first.append(_measure(client, ASYNC_ACTORS, our_actor(f"actor-{n}", ours)))
            if theirs:
                second.append(_measure(client, go_operator.ACTORS, _theirs(f"actor-{n}", theirs)))
    return [
        Result("node", f"create to {step}", median(times[step] for times in first), "s", baseline, "Go operator")
        for step in STEPS
        for baseline in [median(times[step] for times in second) if second else None]
    ]


def our_actor(name: str, namespace: str) -> Object:
    """An actor with one replica, without scaling, with the sidecar of this cluster."""
    obj = actor(name, sidecar={"image": SIDECARS["frames"]}, scaling={"enabled": False})
    obj["metadata"]["namespace"] = namespace
    obj["spec"]["workload"]["template"]["spec"]["containers"][0]["image"] = IMAGE
    return obj


def _theirs(name: str, namespace: str) -> Object:
    obj = go_operator.go_actor(name, namespace, sidecar={"image": SIDECARS["frames"]}, scaling={"enabled": False})
    obj["spec"]["workload"]["template"]["spec"]["containers"][0]["image"] = IMAGE
    return obj


@contextmanager
def namespace_for(client: Client, prefix: str) -> Iterator[str]:
    """A new namespace. It is deleted afterwards."""
    name = f"{prefix}-{secrets.token_hex(2)}"
    client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    try:
        yield name
    finally:
        client.delete(NAMESPACES, "", name)


@contextmanager
def _go_operator(client: Client) -> Iterator[str]:
    """The Go operator as a process of this machine. Yields the namespace for its actors."""
    kubeconfig = kubectl("config", "view", "--raw", "--flatten", "--minify")
    with namespace_for(client, "bench-node-go") as namespace:
        for crd in go_operator.definitions():
            install_crd(client, crd)
        try:
            with go_operator.running(client, kubeconfig, namespace):
                yield namespace
        finally:
            for obj in client.list(go_operator.ACTORS, namespace):
                patch = {"metadata": {"finalizers": None}}  # the operator that would remove them has stopped
                client.merge_patch(go_operator.ACTORS, namespace, obj["metadata"]["name"], patch)
            client.delete(CRDS, "", DEFINITION)
            wait_for("its resource definition to go", lambda: client.get(CRDS, "", DEFINITION) is None)


def _running(obj: Object, *field: str, name: str = "") -> bool:
    """Whether a container has started, or that with this name."""
    statuses = [s for part in field for s in (obj.get("status") or {}).get(part) or ()]
    states = [s.get("state") or {} for s in statuses if name in s["name"]]
    return any(state.get("running") or state.get("terminated") for state in states)


STEPS: dict[str, tuple[Resource, Callable[[Object], bool]]] = {
    "Deployment": (DEPLOYMENTS, lambda obj: True),
    "pod": (PODS, lambda obj: True),
    "pod scheduled": (PODS, lambda obj: bool(obj["spec"].get("nodeName"))),
    "kubelet's first status": (PODS, lambda obj: bool((obj.get("status") or {}).get("startTime"))),
    "first container started": (PODS, lambda obj: _running(obj, "initContainerStatuses", "containerStatuses")),
    "runtime started": (PODS, lambda obj: _running(obj, "containerStatuses", name="runtime")),
}


def _measure(client: Client, resource: Resource, obj: Object) -> Times:
    """Create an actor, wait for all steps, and remove it. Return the seconds from the creation to each step."""
    namespace, times, begin = obj["metadata"]["namespace"], Times(), time.perf_counter()

    def observer(watched: Resource) -> Callable[[Object, bool], None]:
        def changed(obj: Object, deleted: bool) -> None:
            for step, (of, holds) in STEPS.items():
                if of is watched and not deleted and holds(obj):
                    times.setdefault(step, time.perf_counter() - begin)

        return changed

    informers = [Informer(client, watched, observer(watched), namespace=namespace) for watched in (DEPLOYMENTS, PODS)]
    for informer in informers:
        informer.start()
        assert informer.wait(30), f"{informer.resource}: no list"
    assert not times, f"{namespace} is not empty: {sorted(times)}"
    try:
        begin = time.perf_counter()
        client.apply(resource, obj, manager="kubectl")
        wait_for("the actor's pod to start", lambda: len(times) == len(STEPS))
    finally:
        for informer in informers:
            informer.stop()
        _remove(client, resource, namespace, obj["metadata"]["name"])
    return times


def _remove(client: Client, resource: Resource, namespace: str, name: str) -> None:
    """Delete an actor. Wait until its pods are gone too."""
    client.delete(resource, namespace, name)
    wait_for("the actor to go", lambda: client.get(resource, namespace, name) is None)
    wait_for("its Deployment to go", lambda: client.get(DEPLOYMENTS, namespace, name) is None)
    kubectl("-n", namespace, "delete", "pods", "--all", "--grace-period=1")
    wait_for("its pods to go", lambda: not client.list(PODS, namespace))
