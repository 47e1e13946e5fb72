"""What is kept of objects that are watched by the thousand and read in part."""

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
    """A finished Job that KEDA or a CronJob made, without its template: 1 kB instead of 25 kB in the cache.

    One that an actor owns is compared with what the actor wants, so it is kept whole.
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
