"""Reduces finished Jobs before they are cached, because a cluster may have thousands."""

from typing import Final

from crds.names import KIND
from kube.objects import Object, slim

_METADATA: Final = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "labels",
    "ownerReferences",
    "deletionTimestamp",
)
_SPEC: Final = ("parallelism", "completions", "suspend")
_STATUS: Final = ("active", "ready", "succeeded", "failed")


def trim_job(job: Object) -> Object:
    """``job`` without its template, if it is finished and KEDA or a CronJob created it: 1 kB instead of 25 kB.

    A Job that an actor owns stays whole, because the operator compares it with the desired Job.
    """
    status = job.get("status") or {}
    conditions = [
        {"type": c.get("type"), "status": c.get("status")}
        for c in status.get("conditions") or ()
        if c.get("type") in ("Complete", "Failed")
    ]
    is_finished = any(c["status"] == "True" for c in conditions)
    owners = job["metadata"].get("ownerReferences") or ()
    if not is_finished or not owners or any(o.get("kind") == KIND for o in owners):
        return slim(job)
    spec = job.get("spec") or {}
    return {
        "metadata": {part: job["metadata"][part] for part in _METADATA if part in job["metadata"]},
        "spec": {part: spec[part] for part in _SPEC if part in spec},
        "status": {**{part: status[part] for part in _STATUS if part in status}, "conditions": conditions},
    }
