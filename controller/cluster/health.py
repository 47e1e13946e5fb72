"""Whether the pods of a workload work: by the workload's conditions, its pods, and Events.

Pods are in a watch cache, because a workload with a crash-looping container is ready most of the time. Only Events
say some things, for example why a volume cannot be mounted. They are read while pods wait, at intervals, and not at
first: most pods start without trouble.
"""

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from controller.cluster.access import Cluster
from controller.cluster.workloads import WorkloadResult
from controller.rules.causes import cause_of
from controller.rules.injected import has_opted_out
from controller.rules.keda import broker_remedy
from controller.rules.phase import Replicas, replicas_of
from controller.rules.pods import Trouble, refused, starting, unready
from controller.rules.readiness import WorkloadView, of_workload, pods_verdict, ready_replicas
from controller.rules.slim import slim_pod
from controller.rules.status import Verdict
from crds.models import AsyncActor
from crds.names import LABEL_ACTOR
from injection.generations import queue_name
from injection.settings import SidecarDefaults
from kube import events
from kube.objects import Object
from kube.resources import PODS

GRACE_SECONDS = 3.0
"""Seconds before the first read of Events, and the shortest time between two reads."""
SOON_SECONDS, LATER_SECONDS = 10.0, 30.0
"""Seconds between two reads if nothing changes: at first, and once pods have not been ready for LONG_SECONDS."""
LONG_SECONDS = 60.0
MAX_OBJECTS = 3
"""Maximum of pods and Jobs in one read of Events. More add nothing: a workload's pods fail for the same reason."""
MAX_CACHED = 5000
"""The most workloads in the cache of Events."""


@dataclass(frozen=True)
class _EventsRead:
    """The result of one read of Events, and when the next one is due."""

    time: float
    """Time of the read, by the monotonic clock."""
    state: tuple[Replicas, int]
    """The replicas and the workload's generation at that time."""
    pause: float = GRACE_SECONDS
    events: tuple[Object, ...] = ()
    refused: Trouble | None = None
    pods: tuple[Object, ...] = ()
    """Pods without the actor's label, which no watch reports."""

    def is_due(self, state: tuple[Replicas, int], now: float) -> bool:
        """Whether to read Events again."""
        return now >= self.time + (self.pause if state == self.state else GRACE_SECONDS)


class Health:
    """Examines the pods of actors' workloads. Safe to use from several threads."""

    def __init__(self, cluster: Cluster, defaults: SidecarDefaults) -> None:
        self._cluster, self._defaults = cluster, defaults
        self._reads: dict[str, _EventsRead] = {}
        """By the workload's uid: the last read of Events."""

    def examine(self, actor: AsyncActor, workload: WorkloadResult) -> tuple[Verdict | None, Replicas | None]:
        """The verdict on the workload's pods, and how many there are; None if there is no workload.

        Raises:
            ApiError: if Events cannot be read.
        """
        live = workload.live
        if live is None or workload.is_unrelated or workload.verdict.status == "Unknown":
            return None, replicas_of(live, self._jobs(actor, live)) if live is not None else None
        jobs = self._jobs(actor, live)
        namespace, name = actor.metadata.namespace, actor.metadata.name
        pods = of_workload(live, jobs, self._cluster.pods.labelled(namespace, name))
        observation = WorkloadView(live, replicas_of(live, jobs), pods)
        makers = jobs if live["kind"] == "ScaledJob" else [live] if live["kind"] != "Deployment" else []
        all_ready = observation.replicas.completed or ready_replicas(observation).ready >= max(
            observation.replicas.current, observation.replicas.desired
        )
        if all_ready or not (observation.replicas.current or pods or makers):
            self._reads.pop(live["metadata"]["uid"], None)
            return self._verdict(actor, observation), ready_replicas(observation)
        read = self._read_events(observation, makers)
        observation = replace(observation, events=read.events, refused=read.refused, pods=pods or read.pods)
        verdict = self._verdict(actor, observation)
        pause = max(read.time + read.pause - time.monotonic(), 0.1)
        retry = pause if verdict.retry is None else min(pause, verdict.retry)
        return replace(verdict, retry=retry), ready_replicas(observation)

    def _verdict(self, actor: AsyncActor, observation: WorkloadView) -> Verdict:
        def advise(last_words: str) -> str:
            """The remedy for a sidecar that ended with ``last_words``; empty if they name no known cause."""
            cause = cause_of(last_words)
            return broker_remedy(actor, queue_name(actor, self._defaults), cause) if cause is not None else ""

        return pods_verdict(observation, datetime.now(UTC), advise)

    def _jobs(self, actor: AsyncActor, live: Object) -> list[Object]:
        if live["kind"] != "ScaledJob":
            return []
        return self._cluster.workloads["Job"].labelled(actor.metadata.namespace, actor.metadata.name)

    def _read_events(self, observation: WorkloadView, makers: list[Object]) -> _EventsRead:
        """Events about pods that do not start and about ``makers``, which create pods; from the cache until due."""
        live, now = observation.live, time.monotonic()
        uid, namespace = live["metadata"]["uid"], live["metadata"]["namespace"]
        state = ready_replicas(observation), live["metadata"].get("generation", 0)
        last = self._reads.get(uid)
        if last is None:
            read = _EventsRead(now, state)
        elif not last.is_due(state, now):
            return last
        else:
            pods = observation.pods or self._unlabelled(live)
            waiting = unready(pods)
            is_long = bool(waiting) and (datetime.now(UTC) - waiting[0][0]).total_seconds() >= LONG_SECONDS
            pause = LATER_SECONDS if is_long else SOON_SECONDS
            pod_events = self._pod_events(namespace, starting(pods))
            read = _EventsRead(now, state, pause, pod_events, self._refused(makers), pods)
        if len(self._reads) >= MAX_CACHED:
            self._reads.clear()  # most of them are about deleted workloads
        self._reads[uid] = read
        return read

    def _unlabelled(self, live: Object) -> tuple[Object, ...]:
        """The pods of a workload that opts out of injection, whose template may lack the actor's label."""
        if not has_opted_out(live):
            return ()
        labels = ((live["spec"].get("selector") or {}).get("matchLabels") or {}).items()
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels))
        if not selector:
            return ()
        pods = self._cluster.client.list(PODS, live["metadata"]["namespace"], labelSelector=selector)
        return tuple(slim_pod(pod) for pod in pods if LABEL_ACTOR not in (pod["metadata"].get("labels") or {}))

    def _refused(self, makers: list[Object]) -> Trouble | None:
        """Why ``makers`` cannot create the pods that they lack, by their Events; None if Events do not say."""
        lacking = [m for m in makers if (replicas := replicas_of(m)).current < replicas.desired]
        for maker in lacking[:MAX_OBJECTS]:
            metadata = maker["metadata"]
            recent = events.list_events(self._cluster.client, maker["kind"], metadata["namespace"], metadata["name"])
            if (trouble := refused(maker, recent)) is not None:
                return trouble
        return None

    def _pod_events(self, namespace: str, pods: list[str]) -> tuple[Object, ...]:
        client = self._cluster.client
        return tuple(e for pod in pods[:MAX_OBJECTS] for e in events.list_warnings(client, "Pod", namespace, pod))
