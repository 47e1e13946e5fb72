"""Why a workload's pods are not ready, from the statuses of pods and from Events: pure functions.

A restarted container counts as failing until it has run for :data:`STABLE_SECONDS`, because a crash-looping container
is ready most of the time. A kubelet resets its own backoff after the same time.

Of several troubles, the first in :data:`ORDER` is reported, because it must be solved first.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from controller.rules.phase import Phase
from controller.rules.remedies import remedy
from controller.rules.status import condition
from crds.names import SIDECAR
from kube.objects import Object

LOST = "ContainerStatusUnknown"
"""The kubelet's reason for the end of a container that it lost track of, as when the node restarts."""
STABLE_SECONDS = 600.0
"""Seconds that a restarted container must run before it no longer counts as failing."""
DEGRADED_SECONDS = 300.0
"""Seconds after which pods that are not ready count as failing, not as starting."""
OOM_KILLED = "OOMKilled"
MAX_LAST_WORDS = 300
"""The most characters of a container's termination message in a condition."""

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
    """Why a pod is not ready: a phase, and a message that ends with the remedy."""

    phase: Phase
    message: str
    reason: str = ""
    """The condition's reason, if it differs from the phase."""
    container: str = ""
    last_words: str = ""
    """The container's termination message; empty if there is none."""
    revision: str = ""
    """The revision of the pod's template."""
    until: datetime | None = None
    """Time at which the trouble ends if nothing else happens."""


def trouble(
    pods: Iterable[Object], events: Iterable[Object] = (), *, now: datetime, revision: str = ""
) -> Trouble | None:
    """The trouble to solve first; None if the pods have none.

    Args:
        pods: the workload's pods.
        events: warning Events about the pods. Only those about volumes count.
        now: the time.
        revision: during a rollout, the revision of the current template. Pods of other revisions are ignored: they
            are being replaced.
    """
    current = [pod for pod in pods if not is_ending(pod) and (not revision or revision_of(pod) in ("", revision))]
    troubles = [replace(t, revision=revision_of(pod)) for pod in current for t in _troubles_of(pod, now)]
    troubles += [t for event in events if (t := _event_trouble(event)) is not None]
    return min(troubles, key=lambda t: (ORDER.index(t.phase), t.message), default=None)


def revision_of(pod: Object) -> str:
    """The revision of the workload's template that a pod was created from, by its labels; empty if unknown."""
    labels = pod["metadata"].get("labels") or {}
    return str(labels.get("pod-template-hash") or labels.get("controller-revision-hash") or "")


def own_trouble(workload: Object) -> Trouble | None:
    """The trouble in a workload's own conditions: it cannot create its pods, or its Job has failed."""
    kind, name = workload["kind"], workload["metadata"]["name"]
    refused, failed = condition(workload, "ReplicaFailure"), condition(workload, "Failed")
    if refused.get("status") == "True":
        return _refused(workload, refused.get("message") or refused.get("reason"))
    if kind == "Job" and failed.get("status") == "True":
        message = f"the Job {name!r} has failed: {failed.get('message') or failed.get('reason')}"
        do = remedy("RuntimeError", name=f"job/{name}", container="runtime")
        return Trouble("RuntimeError", f"{message}. {do}")
    return None


def refused(workload: Object, events: Iterable[Object]) -> Trouble | None:
    """The trouble of a workload that cannot create its pods, by Events; None if the last try succeeded.

    StatefulSets and Jobs have no condition for this.

    Args:
        workload: the workload.
        events: Events about it and about others of its name, the latest last.
    """
    last = None
    for event in events:
        is_about_workload = (event.get("involvedObject") or {}).get("uid") == workload["metadata"]["uid"]
        if is_about_workload and event.get("reason") in (_REFUSED, _MADE):
            last = event
    if last is None or last["reason"] == _MADE:
        return None
    return _refused(workload, last.get("message"))


def _refused(workload: Object, message: str | None) -> Trouble:
    problem = f"the {workload['kind']} {workload['metadata']['name']!r} cannot create its pods: {message}"
    return Trouble("WorkloadError", f"{problem.rstrip('.')}. {remedy('WorkloadError')}")


def starting(pods: Iterable[Object]) -> list[str]:
    """Names of pods whose containers wait to be created. Only Events say why."""
    return [
        pod["metadata"]["name"]
        for pod in pods
        if not is_ending(pod) and any(_waiting(status) in _STARTING for status in _statuses(pod))
    ]


def is_ready(pod: Object) -> bool:
    """Whether the pod's condition Ready is true."""
    return condition(pod, "Ready").get("status") == "True"


def unready(pods: Iterable[Object]) -> list[tuple[datetime, Object]]:
    """The pods that should be ready and are not: pairs of start time and pod, the longest first."""
    waiting = [
        (since, pod)
        for pod in pods
        if not is_ending(pod) and _phase(pod) != "Failed" and (since := _unready_since(pod)) is not None
    ]
    return sorted(waiting, key=lambda pair: (pair[0], pair[1]["metadata"]["name"]))


def unready_container(pod: Object) -> str:
    """The running container that is not ready; empty if there is none."""
    for part in ("containerStatuses", "initContainerStatuses"):
        for status in (pod.get("status") or {}).get(part) or ():
            if "running" in (status.get("state") or {}) and status.get("ready") is False:
                return str(status["name"])
    return ""


def _troubles_of(pod: Object, now: datetime) -> Iterator[Trouble]:
    name = pod["metadata"]["name"]
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("reason") == "Unschedulable":
        message = scheduled.get("message") or "the scheduler does not say why"
        cause: Phase = "VolumeError" if "volume" in message.lower() else "PendingResources"
        yield _trouble(cause, name, f"no node can run the pod {name!r}: {message}")
    for status in _statuses(pod):
        reason, subject = _waiting(status), f"the container {status['name']!r} of the pod {name!r}"
        message = ((status.get("state") or {}).get("waiting") or {}).get("message") or reason
        if reason in _IMAGE:
            problem = f"the image {status.get('image')!r} of {subject} cannot be pulled: {message}"
            yield _trouble("ImagePullError", name, problem)
        elif reason in _CONFIG:
            yield _trouble("ConfigError", name, f"{subject} has no configuration: {message}")
        elif (ended := _unstable(pod, status, now)) is not None:
            yield _crash(name, status, f"{subject} {_describe_end(status, message)}", ended)


@dataclass(frozen=True)
class _Ended:
    """An end of a container that counts as trouble."""

    terminated: Object
    until: datetime | None
    """The time after which it no longer counts, if the container keeps running; None if the container does not run."""


def _unstable(pod: Object, status: Object, now: datetime) -> _Ended | None:
    """The last end of a container that does not run, or has not run for STABLE_SECONDS since; None if it is stable."""
    state, last = status.get("state") or {}, (status.get("lastState") or {}).get("terminated") or {}
    ended = state.get("terminated")
    if ended is not None:
        return _failed_end(pod, status, ended, now)
    if _waiting(status) in _CRASH or (last and "running" not in state):
        return _Ended(last, None)
    if not last or last.get("reason") == LOST:
        return None
    times = [_time(last.get("finishedAt")), _time(state["running"].get("startedAt"))]
    known_times = [t for t in times if t is not None]
    until = max(known_times) + timedelta(seconds=STABLE_SECONDS) if known_times else None
    return _Ended(last, until) if until is not None and now < until else None


def _failed_end(pod: Object, status: Object, ended: Object, now: datetime) -> _Ended | None:
    """The end of a container that should run; None if it ended as it should."""
    restarts_always = _restarts_always(pod, status["name"])
    if not ended.get("exitCode") and not restarts_always:
        return None
    if _is_over(pod) and status["name"] in _native_sidecars(pod):
        return None  # the kubelet stopped it after the other containers
    finished = _time(ended.get("finishedAt"))
    if _phase(pod) == "Failed" and finished is not None:  # its Job creates another pod
        until = finished + timedelta(seconds=STABLE_SECONDS)
        return _Ended(ended, until) if now < until else None
    return _Ended(ended, None)


def _restarts_always(pod: Object, container: str) -> bool:
    """Whether the kubelet restarts a container after every end."""
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
    """Whether all regular containers have ended for good. The kubelet then stops native sidecars."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    have_ended = bool(statuses) and all("terminated" in (s.get("state") or {}) for s in statuses)
    return _phase(pod) in ("Succeeded", "Failed") or (
        have_ended and (pod.get("spec") or {}).get("restartPolicy", "Never") != "Always"
    )


def _crash(pod: str, status: Object, message: str, ended: _Ended) -> Trouble:
    name = str(status["name"])
    cause: Phase = "SidecarError" if name == SIDECAR else "RuntimeError"
    is_oom = ended.terminated.get("reason") == OOM_KILLED
    last_words = str(ended.terminated.get("message") or "").strip()
    if last_words and not is_oom:
        message = f"{message.rstrip('.')}; its last words: {last_words[-MAX_LAST_WORDS:]}"
    crash = _trouble(OOM_KILLED if is_oom else cause, pod, message, name, phase=cause)
    return replace(crash, last_words=last_words, until=ended.until)


def _event_trouble(event: Object) -> Trouble | None:
    if event.get("reason") not in _MOUNT_EVENTS:
        return None
    message, name = event.get("message") or "", (event.get("involvedObject") or {}).get("name")
    is_missing = "not found" in message and any(word in message.lower() for word in _MISSING)
    cause: Phase = "ConfigError" if is_missing else "VolumeError"
    return _trouble(cause, str(name), f"a volume of the pod {name!r} cannot be mounted: {message}")


def _trouble(cause: str, pod: str, message: str, container: str = "", *, phase: Phase | None = None) -> Trouble:
    """A trouble with the remedy for ``cause``; without ``phase``, the cause is the phase too."""
    message = f"{message.rstrip('.')}. {remedy(cause, name=pod, container=container)}"
    known_phase: Any = phase or cause
    return Trouble(known_phase, message, cause, container)


def _describe_end(status: Object, message: str) -> str:
    """A description of a container's end. It is the same in all states of a crash loop, to cause no status writes."""
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


def is_ending(pod: Object) -> bool:
    """Whether the pod is being deleted, has succeeded, or was ended by its node, as in an eviction."""
    ended_by_node = _phase(pod) == "Failed" and bool((pod.get("status") or {}).get("reason"))
    return bool(pod["metadata"].get("deletionTimestamp")) or _phase(pod) == "Succeeded" or ended_by_node


def _phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def _unready_since(pod: Object) -> datetime | None:
    if is_ready(pod) or _is_over(pod):
        return None
    ready = condition(pod, "Ready")
    return _time(ready.get("lastTransitionTime") or pod["metadata"].get("creationTimestamp"))


def _time(text: Any) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
