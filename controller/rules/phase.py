"""The phase: one word for an actor's state, a pure function of a reconcile's observation.

It is the first column of ``kubectl get asya``. A failure comes before a change in progress, and that before a good
state. The conditions give the details.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from kube.objects import Object

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
    "Creating": "The workload or its first pods are being created.",
    "Running": "All pods are ready.",
    "Napping": "The workload is scaled to zero. This is no error: KEDA starts pods when messages arrive.",
    "Paused": "`kubectl asya pause` or KEDA's annotation paused the actor. The number of pods does not change.",
    "Completed": "The Job is complete.",
    "ScalingUp": "Fewer pods are ready than desired, and more are starting.",
    "ScalingDown": "There are more pods than desired, and some are being deleted.",
    "Updating": "Pods of a new template replace the old pods.",
    "Degraded": "Some pods have not been ready for five minutes, and Kubernetes reports no reason.",
    "PendingResources": "No node has room for a pod.",
    "ImagePullError": "An image cannot be pulled.",
    "RuntimeError": "Your container ends, does not start, or was restarted within the last ten minutes.",
    "SidecarError": "The sidecar ends, does not start, or was restarted within the last ten minutes.",
    "VolumeError": "A volume cannot be bound, attached or mounted.",
    "ConfigError": "A Secret or ConfigMap, or a key of one, is missing.",
    "QueueMissing": "The queue does not exist.",
    "QueueMismatch": "The sidecar consumes another queue than the one in spec.queueName.",
    "AccessDenied": "The broker refuses KEDA's credentials, or they have no right to read the queue.",
    "ScalingError": "KEDA cannot scale this actor, or KEDA is not installed.",
    "WorkloadError": "The workload differs from the desired one, or cannot create its pods. The conditions say why.",
    "Terminating": "The actor is being deleted.",
}
"""What each phase means, for the manual."""


@dataclass(frozen=True)
class Replicas:
    """Counts of a workload's pods."""

    desired: int
    current: int
    ready: int
    updated: bool = True
    """Whether all pods have the workload's current template."""
    completed: bool = False
    """Whether the workload is a Job that is complete."""


def replicas_of(live: Object, jobs: Iterable[Object] = ()) -> Replicas:
    """The counts of a Deployment, a StatefulSet, a Job or a ScaledJob.

    Args:
        live: the workload.
        jobs: the Jobs that KEDA started for a ScaledJob.
    """
    spec, status = live.get("spec") or {}, live.get("status") or {}
    if live["kind"] == "ScaledJob":
        of_jobs = [replicas_of(job) for job in jobs]
        desired, current, ready = (sum(getattr(r, part) for r in of_jobs) for part in ("desired", "current", "ready"))
        return Replicas(desired, current, ready)
    if live["kind"] == "Job":
        return _job_replicas(spec, status)
    desired, current = spec.get("replicas", 1), status.get("replicas", 0)
    updated = status.get("observedGeneration", 0) >= live["metadata"].get("generation", 0)
    if live["kind"] == "StatefulSet":
        updated = updated and (_keeps_old_pods(spec) or status.get("updateRevision") == status.get("currentRevision"))
    elif not spec.get("paused"):
        updated = updated and status.get("updatedReplicas", 0) >= current
    return Replicas(desired, current, status.get("readyReplicas", 0), updated)


def _keeps_old_pods(spec: Object) -> bool:
    """Whether the update strategy of a StatefulSet keeps pods of an earlier template."""
    strategy = spec.get("updateStrategy") or {}
    return strategy.get("type") == "OnDelete" or bool((strategy.get("rollingUpdate") or {}).get("partition"))


def _job_replicas(spec: Object, status: Object) -> Replicas:
    conditions = {c.get("type"): c.get("status") for c in status.get("conditions") or ()}
    active = status.get("active", 0)
    remaining = spec.get("completions", 1) - status.get("succeeded", 0)
    completed = conditions.get("Complete") == "True"
    needs_no_pods = completed or conditions.get("Failed") == "True" or spec.get("suspend")
    desired = 0 if needs_no_pods else max(active, min(spec.get("parallelism", 1), remaining))
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
    """The phase.

    Args:
        replicas: the workload's counts; None if there is no workload, or none with replicas.
        trouble: the phase of a failure; None if there is no failure.
        deleting: whether the actor is being deleted.
        replacing: whether a new workload replaces the current one.
        paused: whether the actor is paused.
        before: the phase so far. A first start is Creating, a later one is ScalingUp.
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
