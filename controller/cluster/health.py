"""Whether a workload that exists as desired also runs: its own conditions, and its pods.

Pods are in a watch cache, since a container that crash-loops lets its workload be ready most of the time. What no
object says, such as why a volume cannot be mounted, is read from Events, every now and then while pods wait for that,
and not at first, since most start by themselves.
"""

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from controller.cluster.access import Cluster
from controller.cluster.workloads import WorkloadResult
from controller.rules.causes import cause_of
from controller.rules.injected import opted_out
from controller.rules.keda import broker_remedy
from controller.rules.phase import Replicas, replicas_of
from controller.rules.pods import Trouble, refused, starting, unready
from controller.rules.readiness import WorkloadView, counted, of_workload, pods_verdict
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
"""Until Events are read for pods that do not start, and between two reads at least."""
SOON_SECONDS, LATER_SECONDS = 10.0, 30.0
"""Between two reads when nothing changes, at first and once pods have not been ready for :data:`LONG_SECONDS`."""
LONG_SECONDS = 60.0
ASKED = 3
"""Pods and Jobs whose Events are read, at most: what keeps one from starting keeps its siblings."""
REMEMBERED = 5000


@dataclass(frozen=True)
class _Look:
    """What Events have told, of which state of the pods, and when to read them again."""

    at: float
    of: tuple[Replicas, int]
    pause: float = GRACE_SECONDS
    events: tuple[Object, ...] = ()
    refused: Trouble | None = None
    pods: tuple[Object, ...] = ()
    """Pods that no watch brings, since they bear no label."""

    def due(self, of: tuple[Replicas, int], now: float) -> bool:
        return now >= self.at + (self.pause if of == self.of else GRACE_SECONDS)


class Health:
    """Looks after the pods of actors' workloads. Safe to use from several threads."""

    def __init__(self, cluster: Cluster, defaults: SidecarDefaults) -> None:
        self._cluster, self._defaults = cluster, defaults
        self._looks: dict[str, _Look] = {}
        """By the workload's uid."""

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
        fine = observation.replicas.completed or counted(observation).ready >= max(
            observation.replicas.current, observation.replicas.desired
        )
        if fine or not (observation.replicas.current or pods or makers):
            self._looks.pop(live["metadata"]["uid"], None)
            return self._verdict(actor, observation), counted(observation)
        look = self._look(observation, makers)
        observation = replace(observation, events=look.events, refused=look.refused, pods=pods or look.pods)
        verdict = self._verdict(actor, observation)
        pause = max(look.at + look.pause - time.monotonic(), 0.1)
        retry = pause if verdict.retry is None else min(pause, verdict.retry)
        return replace(verdict, retry=retry), counted(observation)

    def _verdict(self, actor: AsyncActor, observation: WorkloadView) -> Verdict:
        def advise(last_words: str) -> str:
            cause = cause_of(last_words)
            return broker_remedy(actor, queue_name(actor, self._defaults), cause) if cause is not None else ""

        return pods_verdict(observation, datetime.now(UTC), advise)

    def _jobs(self, actor: AsyncActor, live: Object) -> list[Object]:
        if live["kind"] != "ScaledJob":
            return []
        return self._cluster.workloads["Job"].labelled(actor.metadata.namespace, actor.metadata.name)

    def _look(self, observation: WorkloadView, makers: list[Object]) -> _Look:
        """What Events tell of pods that do not start and of what makes them, or told when they were last read."""
        live, now = observation.live, time.monotonic()
        uid, namespace = live["metadata"]["uid"], live["metadata"]["namespace"]
        of = counted(observation), live["metadata"].get("generation", 0)
        last = self._looks.get(uid)
        if last is None:
            look = _Look(now, of)
        elif not last.due(of, now):
            return last
        else:
            pods = observation.pods or self._unlabelled(live)
            waiting = unready(pods)
            long = bool(waiting) and (datetime.now(UTC) - waiting[0][0]).total_seconds() >= LONG_SECONDS
            pause = LATER_SECONDS if long else SOON_SECONDS
            look = _Look(now, of, pause, self._events(namespace, starting(pods)), self._refused(makers), pods)
        if len(self._looks) >= REMEMBERED:
            self._looks.clear()  # of workloads that are gone, most likely
        self._looks[uid] = look
        return look

    def _unlabelled(self, live: Object) -> tuple[Object, ...]:
        """Pods of a workload that opts out of injection and may not label them."""
        if not opted_out(live):
            return ()
        labels = ((live["spec"].get("selector") or {}).get("matchLabels") or {}).items()
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels))
        if not selector:
            return ()
        pods = self._cluster.client.list(PODS, live["metadata"]["namespace"], labelSelector=selector)
        return tuple(slim_pod(pod) for pod in pods if LABEL_ACTOR not in (pod["metadata"].get("labels") or {}))

    def _refused(self, makers: list[Object]) -> Trouble | None:
        """What those of ``makers`` that lack pods say of it."""
        lacking = [m for m in makers if (replicas := replicas_of(m)).current < replicas.desired]
        for maker in lacking[:ASKED]:
            metadata = maker["metadata"]
            recent = events.about(self._cluster.client, maker["kind"], metadata["namespace"], metadata["name"])
            if (trouble := refused(maker, recent)) is not None:
                return trouble
        return None

    def _events(self, namespace: str, names: list[str]) -> tuple[Object, ...]:
        return tuple(e for name in names[:ASKED] for e in events.warnings(self._cluster.client, "Pod", namespace, name))
