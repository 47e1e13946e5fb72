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
    "ScalingError",
    "WorkloadError",
    "Terminating",
]
MEANINGS: Final[dict[Phase, str]] = {
    "Creating": "The workload, or its first pods, are being made.",
    "Running": "All pods are ready.",
    "Napping": "Scaled to zero, which is well: KEDA wakes it when there are messages.",
    "Completed": "The Job has done its work.",
    "ScalingUp": "There are fewer ready pods than there should be, and more are coming.",
    "ScalingDown": "There are more pods than there should be, and some are going.",
    "Updating": "Pods are being replaced by those of a new template.",
    "Degraded": "Some pods have not been ready for five minutes, and nothing says why.",
    "PendingResources": "No node has room for a pod.",
    "ImagePullError": "An image cannot be pulled.",
    "RuntimeError": "Your container ends, or does not start.",
    "SidecarError": "The sidecar ends, or does not start.",
    "VolumeError": "A volume cannot be bound, attached or mounted.",
    "ConfigError": "A Secret or ConfigMap, or a key of one, is missing.",
    "QueueMissing": "The queue does not exist.",
    "ScalingError": "KEDA does not work for this actor, or is not there.",
    "WorkloadError": "The workload is not as it should be; the condition WorkloadReady says why.",
    "Terminating": "The actor is being deleted.",
}
"""What each word says."""
DEGRADED_SECONDS = 300.0
"""Pods that are not ready for longer than this are not on their way."""


@dataclass(frozen=True)
class Replicas:
    """A workload's pods: how many there should be, are, are ready, and whether all are of its present template."""

    desired: int
    current: int
    ready: int
    updated: bool = True
    completed: bool = False
    """Whether it is a Job that has done its work."""
    unready_seconds: float = 0.0
    """For how long the pod that has waited longest has not been ready."""


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
        updated = updated and status.get("updateRevision") == status.get("currentRevision")
    elif not spec.get("paused"):
        updated = updated and status.get("updatedReplicas", 0) >= current
    return Replicas(desired, current, status.get("readyReplicas", 0), updated)


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
    before: str = "",
) -> Phase:
    """The word.

    Args:
        replicas: the workload's; None if there is no workload, or none with replicas.
        trouble: what is wrong, if anything is.
        deleting: whether the actor is being deleted.
        replacing: whether a workload makes way for its successor.
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
    if replicas.ready < min(replicas.desired, replicas.current) and replicas.unready_seconds >= DEGRADED_SECONDS:
        return "Degraded"
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
