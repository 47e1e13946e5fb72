"""Why a workload's pods are not ready, from what Kubernetes says of them: pure functions.

Pods are read only while their workload is not ready, and nothing is kept of them. Of several troubles the
first in :data:`ORDER` is told, which is the one to mend first.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from controller.phase import Phase
from controller.remedies import remedy
from crds.names import SIDECAR

Object = dict[str, Any]

_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_CONFIG = ("CreateContainerConfigError",)
_CRASH = ("CrashLoopBackOff", "RunContainerError", "CreateContainerError", "StartError")
_MOUNT_EVENTS = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")
_REFUSED, _MADE = "FailedCreate", "SuccessfulCreate"
_STARTING = ("ContainerCreating", "PodInitializing")
_MISSING = ("secret", "configmap")
ORDER: Final[tuple[Phase, ...]] = (
    "ImagePullError",
    "ConfigError",
    "VolumeError",
    "RuntimeError",
    "SidecarError",
    "PendingResources",
)


@dataclass(frozen=True)
class Trouble:
    """What keeps a pod from being ready, as a phase, and a message that ends with the remedy."""

    phase: Phase
    message: str


def trouble(pods: Iterable[Object], events: Iterable[Object] = ()) -> Trouble | None:
    """The trouble to mend first.

    Args:
        pods: the workload's.
        events: warning Events about them, of which those on volumes count.
    """
    found = [t for pod in pods if not _going(pod) for t in _of(pod)]
    found += [t for event in events if (t := _of_event(event)) is not None]
    return min(found, key=lambda t: ORDER.index(t.phase), default=None)


def own_trouble(workload: Object) -> Trouble | None:
    """What a workload says of itself: that its pods are refused, or that its Job has failed."""
    conditions = {c.get("type"): c for c in (workload.get("status") or {}).get("conditions") or ()}
    kind, name = workload["kind"], workload["metadata"]["name"]
    refused, failed = conditions.get("ReplicaFailure") or {}, conditions.get("Failed") or {}
    if refused.get("status") == "True":
        return _refused(workload, refused.get("message") or refused.get("reason"))
    if kind == "Job" and failed.get("status") == "True":
        told = f"the Job {name!r} has failed: {failed.get('message') or failed.get('reason')}"
        do = remedy("RuntimeError", name=f"job/{name}", container="runtime")
        return Trouble("RuntimeError", f"{told}. {do}")
    return None


def refused(workload: Object, events: Iterable[Object]) -> Trouble | None:
    """What a workload without a condition for that, as a StatefulSet or a Job is, says by Events: its pods are refused.

    Args:
        workload: the workload.
        events: Events about it and others of its name, the latest last.
    """
    last = None
    for event in events:
        ours = (event.get("involvedObject") or {}).get("uid") == workload["metadata"]["uid"]
        if ours and event.get("reason") in (_REFUSED, _MADE):
            last = event
    if last is None or last["reason"] == _MADE:
        return None
    return _refused(workload, last.get("message"))


def _refused(workload: Object, told: str | None) -> Trouble:
    seen = f"the {workload['kind']} {workload['metadata']['name']!r} cannot make its pods: {told}"
    return Trouble("WorkloadError", f"{seen.rstrip('.')}. {remedy('WorkloadError')}")


def starting(pods: Iterable[Object]) -> list[str]:
    """Names of pods whose containers wait to be created, for which Events alone say why."""
    return [pod["metadata"]["name"] for pod in pods if any(_waiting(c) in _STARTING for c in _containers(pod))]


def unready_seconds(pods: Iterable[Object], now: datetime) -> float:
    """For how long the pod that has waited longest has not been ready."""
    since = [_unready_since(pod) for pod in pods if not _going(pod) and _phase(pod) != "Failed"]
    return max(((now - moment).total_seconds() for moment in since if moment is not None), default=0.0)


def _of(pod: Object) -> Iterator[Trouble]:
    name = pod["metadata"]["name"]
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            told = condition.get("message") or "no node takes it"
            cause: Phase = "VolumeError" if "volume" in told.lower() else "PendingResources"
            yield _trouble(cause, name, f"the pod {name!r} has no node: {told}")
    for container in _containers(pod):
        reason, where = _waiting(container), f"the container {container['name']!r} of the pod {name!r}"
        told = ((container.get("state") or {}).get("waiting") or {}).get("message") or reason
        if reason in _IMAGE:
            yield _trouble("ImagePullError", name, f"{where} cannot have its image {container.get('image')!r}: {told}")
        elif reason in _CONFIG:
            yield _trouble("ConfigError", name, f"{where} lacks configuration: {told}")
        elif reason in _CRASH or _has_failed(container):
            crash: Phase = "SidecarError" if container["name"] == SIDECAR else "RuntimeError"
            yield _trouble(crash, name, f"{where} {_ending(container, told)}", container["name"])


def _of_event(event: Object) -> Trouble | None:
    if event.get("reason") not in _MOUNT_EVENTS:
        return None
    told, name = event.get("message") or "", (event.get("involvedObject") or {}).get("name")
    missing = "not found" in told and any(word in told.lower() for word in _MISSING)
    cause: Phase = "ConfigError" if missing else "VolumeError"
    return _trouble(cause, str(name), f"a volume of the pod {name!r} cannot be mounted: {told}")


def _trouble(cause: Phase, pod: str, told: str, container: str = "") -> Trouble:
    return Trouble(cause, f"{told.rstrip('.')}. {remedy(cause, name=pod, container=container)}")


def _ending(container: Object, told: str) -> str:
    """How a container came to its end."""
    state, last = container.get("state") or {}, container.get("lastState") or {}
    ended = state.get("terminated") or last.get("terminated") or {}
    if ended.get("reason") == "OOMKilled":
        return "was killed because it used more memory than resources.limits.memory allows"
    if "exitCode" not in ended:
        return f"does not start: {told}"
    times = container.get("restartCount") or 0
    return f"ended with exit code {ended['exitCode']}{f' and was restarted {times} times' if times else ''}"


def _has_failed(container: Object) -> bool:
    ended = (container.get("state") or {}).get("terminated") or {}
    return bool(ended.get("exitCode"))


def _containers(pod: Object) -> Iterator[Object]:
    status = pod.get("status") or {}
    for part in ("initContainerStatuses", "containerStatuses"):
        yield from status.get(part) or ()


def _waiting(container: Object) -> str:
    return str(((container.get("state") or {}).get("waiting") or {}).get("reason") or "")


def _going(pod: Object) -> bool:
    """Whether another takes its place, or need not; one that the node ended, which evicts it say, gives a reason."""
    ended_by_node = _phase(pod) == "Failed" and bool((pod.get("status") or {}).get("reason"))
    return bool(pod["metadata"].get("deletionTimestamp")) or _phase(pod) == "Succeeded" or ended_by_node


def _phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def _unready_since(pod: Object) -> datetime | None:
    conditions = {c.get("type"): c for c in (pod.get("status") or {}).get("conditions") or ()}
    ready = conditions.get("Ready") or {}
    if ready.get("status") == "True":
        return None
    text = ready.get("lastTransitionTime") or pod["metadata"].get("creationTimestamp")
    return datetime.fromisoformat(text) if text else None
