"""How a test waits for an actor, and what it looks at."""

from typing import Any

from kube.objects import Object
from tests.harness.clusters import PATIENCE, wait_for
from tests.harness.operator import Operator
from tests.harness.space import Space, fingerprint

SECONDS = 3.0
"""Within how many seconds the operator must have acted."""


def ready(space: Space, name: str, timeout: float = PATIENCE) -> Object:
    """Wait until the actor is set up; the actor."""
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
    """Fingerprints of everything once nothing has moved for a while."""
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
    """How many writes the controller has sent, those that changed nothing included."""
    lines = operator.controllers[0].get("/metrics").splitlines()
    # PUT is used for the leader's lease alone.
    reads = ('verb="GET"', 'verb="PUT"')
    counted = [
        line
        for line in lines
        if line.startswith("asya_kubernetes_requests_total{") and not any(verb in line for verb in reads)
    ]
    return sum(float(line.rpartition(" ")[2]) for line in counted)
