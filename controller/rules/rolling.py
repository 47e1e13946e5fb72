"""Whether a write replaces a workload's pods, and whether a rollout is complete: pure functions."""

from collections.abc import Iterable
from typing import Any, Final

from kube.objects import Object


def has_pods(workload: Object) -> bool:
    """Whether the workload has or soon gets pods that a change of its template would replace."""
    kind, spec, status = workload["kind"], workload.get("spec") or {}, workload.get("status") or {}
    if kind == "DaemonSet":
        return True
    if kind == "ScaledJob":
        return deletes_jobs(workload)
    return kind in ("Deployment", "StatefulSet") and bool(spec.get("replicas", 1) or status.get("replicas", 0))


def is_running(job: Object) -> bool:
    """Whether an object is a Job with pods that have not ended."""
    return job["kind"] == "Job" and bool((job.get("status") or {}).get("active"))


def deletes_jobs(scaled_job: Object) -> bool:
    """Whether KEDA deletes the running Jobs of a ScaledJob when its spec changes.

    That is KEDA's default. With the strategy ``gradual`` the Jobs end by themselves, so a change replaces no pods.
    """
    return ((scaled_job.get("spec") or {}).get("rollout") or {}).get("strategy") != "gradual"


def replaces_pods(before: Object, after: Object) -> bool:
    """Whether a write that changed ``before`` to ``after`` replaces pods."""
    if after["kind"] == "ScaledJob":
        generations = [obj["metadata"].get("generation") for obj in (before, after)]
        return generations[0] != generations[1] and deletes_jobs(after)
    return bool((before.get("spec") or {}).get("template") != (after.get("spec") or {}).get("template"))


def is_rolled_out(workload: Object, jobs: Iterable[Object] = ()) -> bool:
    """Whether all pods of a workload have its current template and are available; ``jobs`` are those of a ScaledJob.

    The rules are those of ``kubectl rollout status``. A Job has rolled out when one of its pods is ready, or when it
    needs none. A workload that replaces no pods by itself has always rolled out.
    """
    kind, spec, status = workload["kind"], workload.get("spec") or {}, workload.get("status") or {}
    if kind == "Job":
        return _is_finished(workload) or bool(spec.get("suspend") or status.get("ready") or status.get("succeeded"))
    if kind == "ScaledJob":
        current = str(workload["metadata"].get("generation", ""))
        running = [job for job in jobs if not _is_finished(job)]
        return not deletes_jobs(workload) or all(_generation(j) == current and is_rolled_out(j) for j in running)
    if kind not in ("Deployment", "StatefulSet", "DaemonSet"):
        return True
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return False
    if kind == "DaemonSet":
        if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
            return True
        scheduled = status.get("desiredNumberScheduled", 0)
        return bool(min(status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)) >= scheduled)
    desired = spec.get("replicas", 1)
    available = status.get("availableReplicas", 0)
    if kind == "StatefulSet":
        if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
            return True
        if status.get("updateRevision") == status.get("currentRevision"):
            return bool(available >= desired)
        return bool(min(status.get("updatedReplicas", 0), available) >= desired)
    if spec.get("paused"):
        return True
    updated = status.get("updatedReplicas", 0)
    return bool(updated >= desired and status.get("replicas", 0) <= updated and available >= updated)


_KEDA_GENERATION: Final = "scaledjob.keda.sh/generation"
"""KEDA's annotation on its Jobs: the ScaledJob's generation at that time."""


def _generation(job: Object) -> Any:
    return (job["metadata"].get("annotations") or {}).get(_KEDA_GENERATION)


def _is_finished(job: Object) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return any(c.get("type") in ("Complete", "Failed") and c.get("status") == "True" for c in conditions)
