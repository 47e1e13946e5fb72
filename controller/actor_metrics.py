"""Counts of actors for ``/metrics``.

Each scrape counts the statuses that the reconciler wrote last. So no series stays behind for a deleted actor, an old
phase or a deleted namespace.
"""

import threading
from collections import Counter
from dataclasses import dataclass

from kube.objects import Key, Object
from telemetry.metrics.describe import Samples


@dataclass(frozen=True)
class Summary:
    """The part of an actor's status that metrics count."""

    phase: str
    ready: str
    """Status of the condition ``Ready``: True, False or Unknown."""
    outdated: int
    """Labelled workloads that still have an earlier plan."""
    without_keda: bool
    """Whether the actor waits for KEDA to be installed."""


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
    """Keeps the latest summary of each actor. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._summaries: dict[Key, Summary] = {}

    def observe(self, key: Key, status: Object | None) -> None:
        """Store the ``status`` of the actor ``key``; None removes a deleted actor."""
        with self._lock:
            if status is None:
                self._summaries.pop(key, None)
            else:
                self._summaries[key] = summarize(status)

    def clear(self) -> None:
        """Remove all: this process lost the lease, so its statuses become outdated."""
        with self._lock:
            self._summaries.clear()

    def actors(self) -> Samples:
        """Counts of actors by namespace, phase and readiness."""
        counts = Counter((key[0], s.phase, s.ready) for key, s in self._snapshot())
        return [(labels, float(count)) for labels, count in counts.items()]

    def outdated(self) -> Samples:
        """Counts of outdated workloads by namespace; 0 for a namespace whose actors have none."""
        counts: Counter[str] = Counter()
        for key, summary in self._snapshot():
            counts[key[0]] += summary.outdated
        return [((namespace,), float(count)) for namespace, count in counts.items()]

    def without_keda(self) -> Samples:
        """Counts of actors that wait for KEDA, by namespace."""
        counts = Counter(key[0] for key, s in self._snapshot() if s.without_keda)
        return [((namespace,), float(count)) for namespace, count in counts.items()]

    def _snapshot(self) -> list[tuple[Key, Summary]]:
        with self._lock:
            return list(self._summaries.items())
