"""One word for how an actor is: a pure function of what a reconcile saw.

The word is the first column of ``kubectl get asya``. What is wrong goes before what is moving, and what is
moving before what is well; the conditions say the rest.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

Object = dict[str, Any]

Phase = Literal[
    "Creating",
    "Running",
    "Napping",
    "Paused",
    "Completed",
    "ScalingUp",
    "ScalingDown",
    "Updating",
    "Degraded",
    "PendingResources",
    "ImagePullError",
    "RuntimeError",
    "SidecarError",
    "VolumeError",
    "ConfigError",
    "QueueMissing",
    "QueueMismatch",
    "AccessDenied",
    "ScalingError",
    "WorkloadError",
    "Terminating",
]
MEANINGS: Final[dict[Phase, str]] = {
    "Creating": "The workload, or its first pods, are being made.",
    "Running": "All pods are ready.",
    "Napping": "Scaled to zero, which is well: KEDA wakes it when there are messages.",
    "Paused": "Paused by `kubectl asya pause`, or KEDA is, by its annotation: the number of pods stays as it is.",
    "Completed": "The Job has done its work.",
    "ScalingUp": "There are fewer ready pods than there should be, and more are coming.",
    "ScalingDown": "There are more pods than there should be, and some are going.",
    "Updating": "Pods are being replaced by those of a new template.",
    "Degraded": "Some pods have not been ready for five minutes, and nothing says why.",
    "PendingResources": "No node has room for a pod.",
    "ImagePullError": "An image cannot be pulled.",
    "RuntimeError": "Your container ends, does not start, or was restarted within the last ten minutes.",
    "SidecarError": "The sidecar ends, does not start, or was restarted within the last ten minutes.",
    "VolumeError": "A volume cannot be bound, attached or mounted.",
    "ConfigError": "A Secret or ConfigMap, or a key of one, is missing.",
    "QueueMissing": "The queue does not exist.",
    "QueueMismatch": "The sidecar consumes another queue than the one in spec.queueName.",
    "AccessDenied": "The broker does not let KEDA read the queue: its credentials or permissions are refused.",
    "ScalingError": "KEDA does not work for this actor, or is not there.",
    "WorkloadError": "The workload is not as it should be, or cannot make its pods; the conditions say why.",
    "Terminating": "The actor is being deleted.",
}
"""What each word says."""


@dataclass(frozen=True)
class Replicas:
    """A workload's pods: how many there should be, are, are ready, and whether all are of its present template."""

    desired: int
    current: int
    ready: int
    updated: bool = True
    completed: bool = False
    """Whether it is a Job that has done its work."""


def replicas_of(live: Object, jobs: Iterable[Object] = ()) -> Replicas:
    """The pods of a Deployment, a StatefulSet, a Job or, by the ``jobs`` that it started, a ScaledJob."""
    spec, status = live.get("spec") or {}, live.get("status") or {}
    if live["kind"] == "ScaledJob":
        counted = [replicas_of(job) for job in jobs]
        desired, current, ready = (sum(getattr(r, part) for r in counted) for part in ("desired", "current", "ready"))
        return Replicas(desired, current, ready)
    if live["kind"] == "Job":
        return _of_job(spec, status)
    desired, current = spec.get("replicas", 1), status.get("replicas", 0)
    updated = status.get("observedGeneration", 0) >= live["metadata"].get("generation", 0)
    if live["kind"] == "StatefulSet":
        updated = updated and (_keeps_old_pods(spec) or status.get("updateRevision") == status.get("currentRevision"))
    elif not spec.get("paused"):
        updated = updated and status.get("updatedReplicas", 0) >= current
    return Replicas(desired, current, status.get("readyReplicas", 0), updated)


def _keeps_old_pods(spec: Object) -> bool:
    """Whether a StatefulSet is told to leave pods of an earlier template alone."""
    strategy = spec.get("updateStrategy") or {}
    return strategy.get("type") == "OnDelete" or bool((strategy.get("rollingUpdate") or {}).get("partition"))


def _of_job(spec: Object, status: Object) -> Replicas:
    conditions = {c.get("type"): c.get("status") for c in status.get("conditions") or ()}
    active = status.get("active", 0)
    left = spec.get("completions", 1) - status.get("succeeded", 0)
    completed = conditions.get("Complete") == "True"
    over = completed or conditions.get("Failed") == "True" or spec.get("suspend")
    desired = 0 if over else max(active, min(spec.get("parallelism", 1), left))
    return Replicas(desired, active, status.get("ready", 0), True, completed)


def phase(
    replicas: Replicas | None,
    *,
    trouble: Phase | None = None,
    deleting: bool = False,
    replacing: bool = False,
    paused: bool = False,
    before: str = "",
) -> Phase:
    """The word.

    Args:
        replicas: the workload's; None if there is no workload, or none with replicas.
        trouble: what is wrong, if anything is.
        deleting: whether the actor is being deleted.
        replacing: whether a workload makes way for its successor.
        paused: whether KEDA is told to leave the number of pods as it is.
        before: the phase so far, which tells a start from a wake-up.
    """
    if deleting:
        return "Terminating"
    if trouble is not None:
        return trouble
    if replacing:
        return "Updating"
    if replicas is None:
        return "Creating"
    if replicas.completed:
        return "Completed"
    if paused:
        return "Paused"
    started = before not in ("", "Creating")
    if not replicas.updated:
        return "Updating" if started else "Creating"
    if replicas.current > replicas.desired:
        return "ScalingDown"
    if replicas.desired == 0:
        return "Napping"
    if replicas.ready < replicas.desired:
        return "ScalingUp" if started else "Creating"
    return "Running"
