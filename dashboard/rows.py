"""One actor as a row of the table: a pure function of the AsyncActor and its HorizontalPodAutoscaler.

No object of the operator's has the length of a queue. KEDA passes it to the HorizontalPodAutoscaler that it creates.
That object's status has the length per pod, so one watch gives the lengths of all queues.
"""

from typing import Final

from controller.rules.status import first_problem
from crds.names import MAX_REPLICAS, MIN_REPLICAS
from dashboard.redact import redact
from kube.objects import Object
from kube.quantity import parse_quantity

MAX_MESSAGE: Final = 300
"""The most characters of a message in a row. The actor's own page shows all of it."""
_GOOD: Final = ("Running", "Completed")
_REST: Final = ("Napping", "Paused")
_MOVING: Final = ("Creating", "ScalingUp", "ScalingDown", "Updating", "Terminating")


def tone(phase: str) -> str:
    """The style of a phase on the page: ``good``, ``rest``, ``moving`` or ``wrong``; ``unknown`` for an empty phase."""
    if not phase:
        return "unknown"
    if phase in _GOOD:
        return "good"
    if phase in _REST:
        return "rest"
    return "moving" if phase in _MOVING else "wrong"


def row(actor: Object, length: int | None) -> Object:
    """The row of ``actor``.

    Args:
        actor: the AsyncActor.
        length: the measured length of its queue; None if unknown.
    """
    metadata, spec, status = actor["metadata"], actor.get("spec") or {}, actor.get("status") or {}
    scaling = spec.get("scaling") or {}
    reference = status.get("scaledJobRef") or status.get("workloadRef") or {}
    problem = first_problem(status)
    phase = "Terminating" if metadata.get("deletionTimestamp") else str(status.get("phase") or "")
    return {
        "ns": metadata.get("namespace", ""),
        "name": metadata["name"],
        "phase": phase,
        "tone": tone(phase),
        "ready": status.get("readyReplicas", 0),
        "desired": status.get("desiredReplicas", 0),
        "kind": str(reference.get("kind") or (spec.get("workload") or {}).get("type") or "Deployment"),
        "queue": str(status.get("queueName") or spec.get("queueName") or ""),
        "transport": str((spec.get("transport") or {}).get("type", "")),
        "scale": _scale(scaling),
        "paused": phase == "Paused" or bool(scaling.get("paused")),
        "active": status.get("scalingActive"),
        "length": length_of(status, length),
        "reason": str((problem or {}).get("reason") or ""),
        "message": redact(str((problem or {}).get("message") or ""))[:MAX_MESSAGE],
        "created": str(metadata.get("creationTimestamp") or ""),
    }


def _scale(scaling: Object) -> str:
    """The range in which KEDA scales, or ``off``."""
    if not scaling.get("enabled"):
        return "off"
    return f"{scaling.get('minReplicas', MIN_REPLICAS)} to {scaling.get('maxReplicas', MAX_REPLICAS)}"


def length_of(status: Object, measured: int | None) -> int | None:
    """The queue's length; None if unknown.

    At zero pods the autoscaler keeps its last, old value. Then only KEDA's condition counts: no messages, or some.
    """
    if status.get("desiredReplicas") == 0:
        return 0 if status.get("scalingActive") is False else None
    return measured


def measured_length(autoscaler: Object) -> int | None:
    """The length of the queue from the status of KEDA's HorizontalPodAutoscaler; None if it has none.

    The status has the length per pod, rounded up to a thousandth.
    """
    status = autoscaler.get("status") or {}
    lengths = []
    for metric in status.get("currentMetrics") or ():
        current = (metric.get("external") or {}).get("current") or {}
        try:
            if "averageValue" in current:
                lengths.append(parse_quantity(current["averageValue"]) * int(status.get("currentReplicas") or 0))
            elif "value" in current:
                lengths.append(parse_quantity(current["value"]))
        except ValueError:
            continue
    return round(max(lengths)) if lengths else None


def scaled_object_of(autoscaler: Object) -> str:
    """The name of the ScaledObject that owns a HorizontalPodAutoscaler, which is the actor's name; empty if none."""
    owners = autoscaler["metadata"].get("ownerReferences") or ()
    return next((str(o["name"]) for o in owners if o.get("controller") and o.get("kind") == "ScaledObject"), "")
