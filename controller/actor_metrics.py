"""What the leader knows of all actors, counted for ``/metrics``.

Counts are made at each scrape from the statuses that the reconciler wrote last, so that no series of a deleted
actor, of a phase that has passed or of a namespace that is gone is left behind.
"""

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any

from kube.objects import Key
from telemetry.metrics.describe import Samples

Object = dict[str, Any]


@dataclass(frozen=True)
class Summary:
    """The part of an actor's status that metrics count."""

    phase: str
    ready: str
    """Status of the condition ``Ready``: True, False or Unknown."""
    outdated: int
    """Labelled workloads that have an earlier injection."""
    without_keda: bool


def summarize(status: Object) -> Summary:
    """The summary of an AsyncActor's ``status``. Pure."""
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    return Summary(
        phase=status.get("phase") or "Unknown",
        ready=conditions.get("Ready", {}).get("status", "Unknown"),
        outdated=status.get("outdatedWorkloads", 0),
        without_keda=conditions.get("ScalingReady", {}).get("reason") == "KEDANotInstalled",
    )


class ActorMetrics:
    """The latest summary of each actor. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._summaries: dict[Key, Summary] = {}

    def observe(self, key: Key, status: Object | None) -> None:
        """Remember the ``status`` of the actor ``key``; None forgets a deleted one."""
        with self._lock:
            if status is None:
                self._summaries.pop(key, None)
            else:
                self._summaries[key] = summarize(status)

    def clear(self) -> None:
        """Forget all: another process is the leader now, and this one's view ages."""
        with self._lock:
            self._summaries.clear()

    def actors(self) -> Samples:
        """Actors by namespace, phase and readiness."""
        counts = Counter((key[0], s.phase, s.ready) for key, s in self._snapshot())
        return [(labels, float(count)) for labels, count in counts.items()]

    def outdated(self) -> Samples:
        """Outdated workloads by namespace; 0 for a namespace with actors and none of them."""
        counts: Counter[str] = Counter()
        for key, summary in self._snapshot():
            counts[key[0]] += summary.outdated
        return [((namespace,), float(count)) for namespace, count in counts.items()]

    def without_keda(self) -> Samples:
        """Actors by namespace that wait for KEDA."""
        counts = Counter(key[0] for key, s in self._snapshot() if s.without_keda)
        return [((namespace,), float(count)) for namespace, count in counts.items()]

    def _snapshot(self) -> list[tuple[Key, Summary]]:
        with self._lock:
            return list(self._summaries.items())
