"""Connects the controller's gauges with the parts that know their values when ``/metrics`` is scraped."""

from collections.abc import Callable
from functools import partial

from controller.actor_metrics import ActorMetrics
from controller.cluster.rollouts import Rollouts
from kube.leader import Election
from kube.objects import Key
from kube.workqueue import WorkQueue
from telemetry.metrics.controller import ACTORS, IN_FLIGHT, LEADER, OUTDATED, QUEUE_DEPTH, ROLLING, UNSCALED
from telemetry.metrics.describe import Samples, ScrapedGauge


def export(election: Election, queue: WorkQueue[Key], rollouts: Rollouts, actors: ActorMetrics) -> None:
    """Connect the gauges with their sources. Only ``LEADER`` has a value while this process does not lead."""
    LEADER.set_function(lambda: float(election.is_leading))
    sources: dict[ScrapedGauge, Callable[[], Samples]] = {
        QUEUE_DEPTH: lambda: [((), float(queue.depth))],
        IN_FLIGHT: lambda: [((), float(queue.in_flight))],
        ROLLING: lambda: [((), float(rollouts.in_flight))],
        OUTDATED: actors.outdated,
        ACTORS: actors.actors,
        UNSCALED: actors.without_keda,
    }
    for gauge, source in sources.items():
        gauge.source = partial(_while_leading, election, source)


def _while_leading(election: Election, source: Callable[[], Samples]) -> Samples:
    return source() if election.is_leading else ()
