"""Whether a workload that exists as desired also runs: its own conditions and, while it is not ready, its pods.

A StatefulSet or a Job has no condition that tells of pods which it cannot make, so their Events are read for that.

No watch tells of a pod's troubles, so as long as some are not ready they are looked at every now and then; not at
first, since most become ready by themselves, and sooner when their number changes. What was seen is remembered until
then, since reconciles may be many more.
"""

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from controller import pods
from controller.cluster import Cluster
from controller.phase import Replicas, replicas_of
from controller.pods import Trouble
from controller.status import Verdict, false
from controller.workloads import Found
from crds.models import AsyncActor
from crds.names import LABEL_ACTOR
from kube import events
from kube.client import PODS, Object

GRACE_SECONDS = 3.0
"""Until the first look at pods that are not ready, and between two looks at least."""
SOON_SECONDS, LATER_SECONDS = 10.0, 30.0
"""Between two looks when nothing changes, at first and once they have not been ready for :data:`LONG_SECONDS`."""
LONG_SECONDS = 60.0
ASKED = 3
"""Pods and Jobs whose Events are read, at most: what keeps one from starting keeps its siblings."""
REMEMBERED = 5000


@dataclass(frozen=True)
class _Look:
    """What a look at a workload's pods has shown, of how many, and when the next one is due."""

    at: float
    of: tuple[Replicas, int]
    pause: float = GRACE_SECONDS
    trouble: Trouble | None = None
    unready_seconds: float = 0.0

    def due(self, of: tuple[Replicas, int], now: float) -> bool:
        return now >= self.at + (self.pause if of == self.of else GRACE_SECONDS)


class Health:
    """Looks after the pods of actors' workloads. Safe to use from several threads."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._looks: dict[str, _Look] = {}
        """By the workload's uid."""

    def examine(self, actor: AsyncActor, found: Found) -> tuple[Verdict, Replicas | None]:
        """The verdict on the workload with its pods taken into account, and how many there are.

        Raises:
            ApiError: if pods or Events cannot be read.
        """
        live = found.live
        if live is None:
            return found.verdict, None
        namespace, name = actor.metadata.namespace, actor.metadata.name
        scaled = live["kind"] == "ScaledJob"
        jobs = self._cluster.workloads["Job"].labelled(namespace, name) if scaled else []
        replicas = replicas_of(live, jobs)
        makers = jobs if scaled else [live] if live["kind"] != "Deployment" else []
        if found.verdict.status != "True":
            return found.verdict, replicas
        failed = pods.own_trouble(live)
        if failed is not None:
            return false(failed.phase, failed.message, phase=failed.phase), replicas
        fine = replicas.completed or replicas.ready >= max(replicas.current, replicas.desired)
        if fine or not (replicas.current or makers):
            self._looks.pop(live["metadata"]["uid"], None)
            return found.verdict, replicas
        actors = f"{LABEL_ACTOR}={name}"
        look = self._look(live, replicas, makers, actors if scaled else _selector(live) or actors)
        replicas = replace(replicas, unready_seconds=look.unready_seconds)
        retry = max(look.at + look.pause - time.monotonic(), 0.1)
        if look.trouble is not None:
            return false(look.trouble.phase, look.trouble.message, retry, look.trouble.phase), replicas
        return replace(found.verdict, retry=retry), replicas

    def _look(self, live: Object, replicas: Replicas, makers: list[Object], selector: str) -> _Look:
        """A look at its pods and at what makes them, or the last one if none is due."""
        uid, namespace, now = live["metadata"]["uid"], live["metadata"]["namespace"], time.monotonic()
        of = replicas, live["metadata"].get("generation", 0)
        last = self._looks.get(uid)
        if last is None:
            look = _Look(now, of)
        elif not last.due(of, now):
            return last
        else:
            seen = self._cluster.client.list(PODS, namespace, labelSelector=selector)
            trouble = pods.trouble(seen, self._events(namespace, pods.starting(seen))) or self._refused(makers)
            unready = pods.unready_seconds(seen, datetime.now(UTC))
            pause = LATER_SECONDS if unready >= LONG_SECONDS else SOON_SECONDS
            look = _Look(now, of, pause, trouble, unready)
        if len(self._looks) >= REMEMBERED:
            self._looks.clear()  # of workloads that are gone, most likely
        self._looks[uid] = look
        return look

    def _refused(self, makers: list[Object]) -> Trouble | None:
        """What those of ``makers`` that lack pods say of it."""
        lacking = [m for m in makers if (found := replicas_of(m)).current < found.desired]
        for maker in lacking[:ASKED]:
            metadata = maker["metadata"]
            told = events.about(self._cluster.client, maker["kind"], metadata["namespace"], metadata["name"])
            if (trouble := pods.refused(maker, told)) is not None:
                return trouble
        return None

    def _events(self, namespace: str, names: list[str]) -> list[Object]:
        return [e for name in names[:ASKED] for e in events.warnings(self._cluster.client, "Pod", namespace, name)]


def _selector(live: Object) -> str:
    labels = ((live["spec"].get("selector") or {}).get("matchLabels") or {}).items()
    return ",".join(f"{key}={value}" for key, value in sorted(labels))
