"""Why a workload's pods are not ready, from what Kubernetes says of them: pure functions.

A container that was restarted counts as in trouble until it has run for :data:`STABLE_SECONDS`, since one that
crash-loops is ready most of the time. A kubelet forgets a container's crashes after the same time.

Of several troubles the first in :data:`ORDER` is told, which is the one to mend first.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from controller.rules.phase import Phase
from controller.rules.remedies import remedy
from crds.names import SIDECAR

Object = dict[str, Any]

LOST = "ContainerStatusUnknown"
"""The kubelet's reason for the end of a container that it lost, as when its node restarts: no fault of its own."""
STABLE_SECONDS = 600.0
"""A container that was restarted is in trouble until it has run for so long."""
DEGRADED_SECONDS = 300.0
"""Pods that are not ready for longer than this are not on their way."""
OOM_KILLED = "OOMKilled"
MAX_LAST_WORDS = 300

_IMAGE = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_CONFIG = ("CreateContainerConfigError",)
_CRASH = ("CrashLoopBackOff", "RunContainerError", "CreateContainerError", "StartError", "PostStartHookError")
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
    reason: str = ""
    """The condition's reason, where that is another word than the phase."""
    container: str = ""
    last_words: str = ""
    """What the container wrote last, if the kubelet has it."""
    revision: str = ""
    """Which template the pod is of."""
    until: datetime | None = None
    """When it counts no more, if nothing happens until then."""


def trouble(
    pods: Iterable[Object], events: Iterable[Object] = (), *, now: datetime, revision: str = ""
) -> Trouble | None:
    """The trouble to mend first.

    Args:
        pods: the workload's.
        events: warning Events about them, of which those on volumes count.
        now: the time.
        revision: of the workload's present template, if it is known and being rolled out: pods of another are
            being replaced, so what is wrong with them does not matter any more.
    """
    counted = [pod for pod in pods if not is_going(pod) and (not revision or revision_of(pod) in ("", revision))]
    troubles = [replace(t, revision=revision_of(pod)) for pod in counted for t in _of(pod, now)]
    troubles += [t for event in events if (t := _of_event(event)) is not None]
    return min(troubles, key=lambda t: (ORDER.index(t.phase), t.message), default=None)


def revision_of(pod: Object) -> str:
    """Which template of its workload a pod was made from; empty if nothing says so."""
    labels = pod["metadata"].get("labels") or {}
    return str(labels.get("pod-template-hash") or labels.get("controller-revision-hash") or "")


def own_trouble(workload: Object) -> Trouble | None:
    """What a workload says of itself: that its pods are refused, or that its Job has failed."""
    conditions = {c.get("type"): c for c in (workload.get("status") or {}).get("conditions") or ()}
    kind, name = workload["kind"], workload["metadata"]["name"]
    refused, failed = conditions.get("ReplicaFailure") or {}, conditions.get("Failed") or {}
    if refused.get("status") == "True":
        return _refused(workload, refused.get("message") or refused.get("reason"))
    if kind == "Job" and failed.get("status") == "True":
        message = f"the Job {name!r} has failed: {failed.get('message') or failed.get('reason')}"
        do = remedy("RuntimeError", name=f"job/{name}", container="runtime")
        return Trouble("RuntimeError", f"{message}. {do}")
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


def _refused(workload: Object, message: str | None) -> Trouble:
    problem = f"the {workload['kind']} {workload['metadata']['name']!r} cannot make its pods: {message}"
    return Trouble("WorkloadError", f"{problem.rstrip('.')}. {remedy('WorkloadError')}")


def starting(pods: Iterable[Object]) -> list[str]:
    """Names of pods whose containers wait to be created, for which Events alone say why."""
    return [
        pod["metadata"]["name"]
        for pod in pods
        if not is_going(pod) and any(_waiting(status) in _STARTING for status in _statuses(pod))
    ]


def is_ready(pod: Object) -> bool:
    """Whether the kubelet calls the pod ready."""
    return _condition(pod, "Ready").get("status") == "True"


def unready(pods: Iterable[Object]) -> list[tuple[datetime, Object]]:
    """The pods that should be ready and are not, each after the time since which; longest first."""
    waiting = [
        (since, pod)
        for pod in pods
        if not is_going(pod) and _phase(pod) != "Failed" and (since := _unready_since(pod)) is not None
    ]
    return sorted(waiting, key=lambda pair: (pair[0], pair[1]["metadata"]["name"]))


def unready_container(pod: Object) -> str:
    """The container for which a pod that runs is not ready; empty if none is known."""
    for part in ("containerStatuses", "initContainerStatuses"):
        for status in (pod.get("status") or {}).get(part) or ():
            if "running" in (status.get("state") or {}) and status.get("ready") is False:
                return str(status["name"])
    return ""


def _of(pod: Object, now: datetime) -> Iterator[Trouble]:
    name = pod["metadata"]["name"]
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("reason") == "Unschedulable":
        message = scheduled.get("message") or "no node takes it"
        cause: Phase = "VolumeError" if "volume" in message.lower() else "PendingResources"
        yield _trouble(cause, name, f"the pod {name!r} has no node: {message}")
    for status in _statuses(pod):
        reason, where = _waiting(status), f"the container {status['name']!r} of the pod {name!r}"
        message = ((status.get("state") or {}).get("waiting") or {}).get("message") or reason
        if reason in _IMAGE:
            yield _trouble("ImagePullError", name, f"{where} cannot have its image {status.get('image')!r}: {message}")
        elif reason in _CONFIG:
            yield _trouble("ConfigError", name, f"{where} lacks configuration: {message}")
        elif (ended := _unstable(pod, status, now)) is not None:
            yield _crash(name, status, f"{where} {_ending(status, message)}", ended)


@dataclass(frozen=True)
class _Ended:
    """That a container's end still counts, and until when if it goes on running."""

    terminated: Object
    until: datetime | None


def _unstable(pod: Object, status: Object, now: datetime) -> _Ended | None:
    """The last end of a container that is down or has not run for long since."""
    state, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated") or {}
    ended = state.get("terminated")
    if ended is not None:
        return _counts(pod, status, ended, now)
    if _waiting(status) in _CRASH or (last and "running" not in state):
        return _Ended(last, None)
    if not last or last.get("reason") == LOST:
        return None
    times = [_time(last.get("finishedAt")), _time(state["running"].get("startedAt"))]
    known = [t for t in times if t is not None]
    until = max(known) + timedelta(seconds=STABLE_SECONDS) if known else None
    return _Ended(last, until) if until is not None and now < until else None


def _counts(pod: Object, status: Object, ended: Object, now: datetime) -> _Ended | None:
    """Whether a container that has ended, and does not run, should be running."""
    restarts_always = _restarts_always(pod, status["name"])
    if not ended.get("exitCode") and not restarts_always:
        return None
    if _is_over(pod) and status["name"] in _native_sidecars(pod):
        return None  # it was stopped, since the others are done
    finished = _time(ended.get("finishedAt"))
    if _phase(pod) == "Failed" and finished is not None:  # its Job makes another
        until = finished + timedelta(seconds=STABLE_SECONDS)
        return _Ended(ended, until) if now < until else None
    return _Ended(ended, None)


def _restarts_always(pod: Object, container: str) -> bool:
    """Whether a container is restarted however it ends."""
    if container in _native_sidecars(pod):
        return True
    is_init = any(s.get("name") == container for s in (pod.get("status") or {}).get("initContainerStatuses") or ())
    return not is_init and (pod.get("spec") or {}).get("restartPolicy", "Never") == "Always"


def _native_sidecars(pod: Object) -> list[str]:
    return [
        str(c.get("name"))
        for c in (pod.get("spec") or {}).get("initContainers") or ()
        if c.get("restartPolicy") == "Always"
    ]


def _is_over(pod: Object) -> bool:
    """Whether the containers proper have ended for good, after which native sidecars are stopped."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    ended = bool(statuses) and all("terminated" in (s.get("state") or {}) for s in statuses)
    return _phase(pod) in ("Succeeded", "Failed") or (
        ended and (pod.get("spec") or {}).get("restartPolicy", "Never") != "Always"
    )


def _crash(pod: str, status: Object, message: str, ended: _Ended) -> Trouble:
    name = str(status["name"])
    cause: Phase = "SidecarError" if name == SIDECAR else "RuntimeError"
    oom = ended.terminated.get("reason") == OOM_KILLED
    last_words = str(ended.terminated.get("message") or "").strip()
    if last_words and not oom:
        message = f"{message.rstrip('.')}; its last words: {last_words[-MAX_LAST_WORDS:]}"
    made = _trouble(OOM_KILLED if oom else cause, pod, message, name, phase=cause)
    return replace(made, last_words=last_words, until=ended.until)


def _of_event(event: Object) -> Trouble | None:
    if event.get("reason") not in _MOUNT_EVENTS:
        return None
    message, name = event.get("message") or "", (event.get("involvedObject") or {}).get("name")
    missing = "not found" in message and any(word in message.lower() for word in _MISSING)
    cause: Phase = "ConfigError" if missing else "VolumeError"
    return _trouble(cause, str(name), f"a volume of the pod {name!r} cannot be mounted: {message}")


def _trouble(cause: str, pod: str, message: str, container: str = "", *, phase: Phase | None = None) -> Trouble:
    message = f"{message.rstrip('.')}. {remedy(cause, name=pod, container=container)}"
    known: Any = phase or cause
    return Trouble(known, message, cause, container)


def _ending(status: Object, message: str) -> str:
    """How a container came to its end. The same in all states of a crash loop, so that nothing is written for them."""
    state, last = status.get("state") or {}, status.get("lastState") or {}
    ended = state.get("terminated") or last.get("terminated") or {}
    at = f" at {ended['finishedAt']}" if ended.get("finishedAt") else ""
    count = status.get("restartCount") or 0
    times = f" and was restarted {count} time{'s' if count > 1 else ''}" if count else ""
    if ended.get("reason") == OOM_KILLED:
        return f"was killed because it used more memory than resources.limits.memory allows{at}{times}"
    if "exitCode" not in ended:
        return f"does not start: {message}"
    return f"ended with exit code {ended['exitCode']}{at}{times}"


def _statuses(pod: Object) -> Iterator[Object]:
    status = pod.get("status") or {}
    for part in ("initContainerStatuses", "containerStatuses"):
        yield from status.get(part) or ()


def _waiting(status: Object) -> str:
    return str(((status.get("state") or {}).get("waiting") or {}).get("reason") or "")


def is_going(pod: Object) -> bool:
    """Whether another takes its place, or need not; one that the node ended, which evicts it say, gives a reason."""
    ended_by_node = _phase(pod) == "Failed" and bool((pod.get("status") or {}).get("reason"))
    return bool(pod["metadata"].get("deletionTimestamp")) or _phase(pod) == "Succeeded" or ended_by_node


def _phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def _condition(pod: Object, kind: str) -> Object:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c.get("type") == kind), {})


def _unready_since(pod: Object) -> datetime | None:
    if is_ready(pod) or _is_over(pod):
        return None
    ready = _condition(pod, "Ready")
    return _time(ready.get("lastTransitionTime") or pod["metadata"].get("creationTimestamp"))


def _time(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
