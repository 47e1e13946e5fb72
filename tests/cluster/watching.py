"""Functions that wait for an actor, and that show the state of its objects."""

from typing import Any

from kube.objects import Object
from tests.harness.clusters import PATIENCE, wait_for
from tests.harness.operator import Operator
from tests.harness.space import Space, fingerprint

SECONDS = 3.0
"""Seconds within which the operator must act."""


def ready(space: Space, name: str, timeout: float = PATIENCE) -> Object:
    """Wait until the actor is ready. Return it."""
    space.wait_condition(name, "Ready", "True", timeout=timeout)
    obj = space.get("AsyncActor", name)
    assert obj is not None
    return obj


def everything(space: Space) -> list[Object]:
    """All objects of the namespace that the operator owns, and the actors."""
    kinds = (
        "AsyncActor",
        "Deployment",
        "StatefulSet",
        "Job",
        "ScaledObject",
        "ScaledJob",
        "TriggerAuthentication",
        "ConfigMap",
    )
    objects = [obj for kind in kinds for obj in space.all(kind)]
    return [obj for obj in objects if not obj["metadata"]["name"].endswith(".crt")]


def settle(space: Space) -> dict[str, Any]:
    """Wait until nothing changes for a while. Return the fingerprints of all objects."""
    known: dict[str, Any] = {}

    def quiet() -> bool:
        nonlocal known
        before, known = known, {f"{o['kind']}/{o['metadata']['name']}": fingerprint(o) for o in everything(space)}
        return bool(known) and before == known

    wait_for("quiet", quiet, 20, pause=0.5)
    return known


def environment(container: Object) -> dict[str, Any]:
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container["env"]}


# -- at rest, and against others -----------------------------------------------------------------


def writes(operator: Operator) -> float:
    """The number of writes that the controller has sent, including those without a change."""
    lines = operator.controllers[0].get("/metrics").splitlines()
    # Only the leader's Lease is written with PUT.
    reads = ('verb="GET"', 'verb="PUT"')
    counted = [
        line
        for line in lines
        if line.startswith("asya_kubernetes_requests_total{") and not any(verb in line for verb in reads)
    ]
    return sum(float(line.rpartition(" ")[2]) for line in counted)
