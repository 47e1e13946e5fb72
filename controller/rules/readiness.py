"""The condition ``PodsReady`` from a workload and its pods: pure functions.

The condition is false while a pod fails. It is unknown while pods start, because a rollout or a scale-up is no
failure. It is true when all desired pods are ready and have the current template, or when no pods are desired.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from controller.rules import pods
from controller.rules.phase import Replicas
from controller.rules.pods import DEGRADED_SECONDS, Trouble
from controller.rules.remedies import remedy
from controller.rules.status import Verdict, condition, false, true
from kube.objects import Object, controller_of

_REPLICA_SET: Final = re.compile(r'[Rr]eplica ?[Ss]et "([^"]+)"')
"""How a Deployment's condition Progressing names the ReplicaSet of its current template."""


@dataclass(frozen=True)
class WorkloadView:
    """A workload, its pods, and Events about them."""

    live: Object
    replicas: Replicas
    """The counts in the workload's status."""
    pods: tuple[Object, ...] = ()
    events: tuple[Object, ...] = ()
    """Warning Events about the pods."""
    refused: Trouble | None = None
    """Why the workload cannot create pods, by Events."""


def ready_replicas(observation: WorkloadView) -> Replicas:
    """The workload's replicas. A pod that is not ready counts even if the workload's status does not show it yet."""
    if not observation.pods:
        return observation.replicas
    ready = sum(pods.is_ready(pod) for pod in observation.pods if not pods.is_ending(pod))
    return replace(observation.replicas, ready=min(observation.replicas.ready, ready))


def pods_verdict(
    observation: WorkloadView, now: datetime, advise: Callable[[str], str] = lambda last_words: ""
) -> Verdict:
    """The condition PodsReady.

    Args:
        observation: the workload and its pods.
        now: the time.
        advise: returns the remedy for a sidecar that ended with these last words; empty if there is none.
    """
    replicas = ready_replicas(observation)
    if replicas.completed:
        return true("Completed", "the Job is complete")
    waiting = pods.unready(observation.pods)
    trouble = _trouble(observation, replicas, now, advise)
    if trouble is not None:
        return trouble
    if waiting and (now - waiting[0][0]).total_seconds() >= DEGRADED_SECONDS:
        return _degraded(waiting)
    due = waiting[0][0] + timedelta(seconds=DEGRADED_SECONDS) if waiting else None
    retry = max((due - now).total_seconds(), 1.0) if due is not None else None
    verdict = _progress(replicas, starting=len(waiting))
    return replace(verdict, retry=retry)


def _trouble(
    observation: WorkloadView, replicas: Replicas, now: datetime, advise: Callable[[str], str]
) -> Verdict | None:
    rolling = not replicas.updated
    revision = revision_of(observation.live) if rolling else ""
    trouble = (
        pods.own_trouble(observation.live)
        or pods.trouble(observation.pods, observation.events, now=now, revision=revision)
        or (observation.refused if replicas.desired else None)
    )
    if trouble is None:
        return None
    earlier_pods = [
        pod
        for pod in observation.pods
        if pods.is_ready(pod) and not pods.is_ending(pod) and pods.revision_of(pod) != trouble.revision
    ]
    message = trouble.message
    if trouble.phase == "SidecarError" and (advice := advise(trouble.last_words)):
        message = f"{message}. {advice}"
    if rolling and trouble.revision and earlier_pods:
        count = f"{len(earlier_pods)} pod{'s' if len(earlier_pods) > 1 else ''} of the earlier template"
        message = f"the rollout is stuck, and {count} still work{'' if len(earlier_pods) > 1 else 's'}: {message}"
    retry = max((trouble.until - now).total_seconds(), 1.0) if trouble.until is not None else None
    return false(trouble.reason or trouble.phase, message, retry, trouble.phase)


def _degraded(waiting: list[tuple[datetime, Object]]) -> Verdict:
    since, pod = waiting[0]
    name, container = pod["metadata"]["name"], pods.unready_container(pod)
    subject = f"the container {container!r} of the pod {name!r} runs and has" if container else f"the pod {name!r} has"
    message = f"{subject} not been ready since {since.strftime('%Y-%m-%dT%H:%M:%SZ')}"
    do = remedy("Degraded", name=name, container=container or "runtime")
    return false("Degraded", f"{message}. {do}", phase="Degraded")


def _progress(replicas: Replicas, *, starting: int) -> Verdict:
    if not replicas.desired:
        return true("NoPodsWanted", "no pods are desired")
    if not replicas.updated:
        return Verdict("Unknown", "RollingOut", "pods of the new template replace the old pods")
    counts = f"{replicas.ready} of {replicas.desired} pods are ready"
    if replicas.ready < replicas.desired or starting:
        return Verdict("Unknown", "PodsStarting", counts)
    return true("PodsReady", counts)


def revision_of(live: Object) -> str:
    """The revision of a workload's current template, as pods' labels name it; empty if the status does not say."""
    status = live.get("status") or {}
    if live["kind"] == "StatefulSet":
        return str(status.get("updateRevision") or "")
    match = _REPLICA_SET.search(condition(live, "Progressing").get("message") or "")
    prefix = f"{live['metadata']['name']}-"
    if live["kind"] != "Deployment" or match is None or not match[1].startswith(prefix):
        return ""
    return match[1].removeprefix(prefix)


def is_pod_of(live: Object, pod: Object) -> bool:
    """Whether a pod belongs to a workload: the workload created it, or a Deployment's selector matches it."""
    if live["kind"] == "Deployment":
        return selects(live, pod)
    return bool(controller_of(pod) == live["metadata"].get("uid"))


def selects(live: Object, pod: Object) -> bool:
    """Whether a workload's selector matches a pod; an empty selector matches none."""
    selector = (live.get("spec") or {}).get("selector") or {}
    labels = pod["metadata"].get("labels") or {}
    match_labels, expressions = selector.get("matchLabels") or {}, selector.get("matchExpressions") or ()
    return (
        bool(match_labels or expressions)
        and all(labels.get(key) == value for key, value in match_labels.items())
        and all(_is_match(expression, labels) for expression in expressions)
    )


def _is_match(expression: Object, labels: dict[str, str]) -> bool:
    key, values = str(expression.get("key")), list(expression.get("values") or ())
    operator = str(expression.get("operator"))
    if operator in ("Exists", "DoesNotExist"):
        return (key in labels) == (operator == "Exists")
    return (labels.get(key) in values) is (operator == "In")


def of_workload(live: Object, jobs: Iterable[Object], candidates: Iterable[Object]) -> tuple[Object, ...]:
    """The pods of the actor's workload.

    Args:
        live: the workload.
        jobs: the Jobs of a ScaledJob.
        candidates: all pods with the actor's label, which other workloads may carry too.
    """
    makers = list(jobs) if live["kind"] == "ScaledJob" else [live]
    return tuple(pod for pod in candidates if any(is_pod_of(maker, pod) for maker in makers))
