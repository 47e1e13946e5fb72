"""Message counts from sidecars' metrics, and rates from two samples of one pod. Pure.

The text comes from pods, so it is not trusted: a text that cannot be parsed counts as no metrics.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

PREFIX: Final = "asya_actor_"
WINDOW_SECONDS: Final = 60.0
"""The longest time over which a rate is computed."""
MAX_TARGETS: Final = 50
"""Maximum of destination queues that are stored for one pod."""
MAX_NAME: Final = 200
"""Maximum of characters that are stored of a queue's name."""


@dataclass(frozen=True)
class Counters:
    """The counters of one sidecar at one time."""

    sent: dict[str, float] = field(default_factory=dict)
    """Messages by destination queue."""
    received: float = 0.0
    failed: float = 0.0
    active: float = 0.0
    """Messages in hand; a gauge, not a counter."""
    seconds: float = 0.0
    """The total processing time."""
    processed: float = 0.0
    """The number of messages processed in that time."""


def counters(text: str) -> Counters | None:
    """The counters in the text of a sidecar's metrics; None if the text is not valid or has none."""
    sent: dict[str, float] = {}
    sums = {"messages_received": 0.0, "messages_failed": 0.0, "active_messages": 0.0}
    seconds = processed = 0.0
    has_metrics = False
    try:
        for family in text_string_to_metric_families(text):
            name = family.name.removeprefix(PREFIX)
            has_metrics = has_metrics or name != family.name
            for sample in family.samples:
                if sample.name.endswith("_created"):
                    continue
                if name == "messages_sent":
                    target = sample.labels.get("destination_queue", "")[:MAX_NAME]
                    if target and (target in sent or len(sent) < MAX_TARGETS):
                        sent[target] = sent.get(target, 0.0) + sample.value
                elif name in sums:
                    sums[name] += sample.value
                elif name == "processing_duration_seconds" and sample.name.endswith("_sum"):
                    seconds += sample.value
                elif name == "processing_duration_seconds" and sample.name.endswith("_count"):
                    processed += sample.value
    except (ValueError, KeyError, IndexError, AttributeError):
        return None
    if not has_metrics:
        return None
    received, failed, active = sums.values()
    return Counters(sent, received, failed, active, seconds, processed)


@dataclass(frozen=True)
class Flow:
    """The messages that go through one pod or several."""

    rates: dict[str, float]
    """Messages per second by destination queue; 0 for a queue with messages only before the first sample."""
    totals: dict[str, float]
    """Messages by destination queue since the pods started."""
    received: float = 0.0
    """Messages per second."""
    failed: float = 0.0
    """Messages per second."""
    active: float = 0.0
    """Messages in hand."""
    mean_seconds: float | None = None
    """The mean processing time of recent messages; None if there were none."""
    measured: bool = True
    """Whether there are two samples, from which rates are computed."""


class Meter:
    """The recent samples of one pod."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, Counters]] = deque()

    def add(self, at: float, sample: Counters) -> None:
        """Add a sample of time ``at``. If a counter is lower than before, the sidecar was restarted: start over."""
        if self._samples and sample.received < self._samples[-1][1].received:
            self._samples.clear()
        self._samples.append((at, sample))
        while len(self._samples) > 2 and at - self._samples[1][0] >= WINDOW_SECONDS:
            self._samples.popleft()

    @property
    def last(self) -> float:
        """The time of the last sample; 0 without one."""
        return self._samples[-1][0] if self._samples else 0.0

    def flow(self) -> Flow:
        """The flow through the pod."""
        if not self._samples:
            return Flow({}, {}, measured=False)
        (start, first), (end, last) = self._samples[0], self._samples[-1]
        seconds = end - start
        if seconds <= 0:
            return Flow(dict.fromkeys(last.sent, 0.0), dict(last.sent), active=last.active, measured=False)

        def rate(before: float, after: float) -> float:
            return max(0.0, after - before) / seconds

        processed = last.processed - first.processed
        return Flow(
            {queue: rate(first.sent.get(queue, 0.0), total) for queue, total in last.sent.items()},
            dict(last.sent),
            rate(first.received, last.received),
            rate(first.failed, last.failed),
            last.active,
            (last.seconds - first.seconds) / processed if processed > 0 else None,
        )


def together(flows: Iterable[Flow]) -> Flow:
    """The sum of several flows."""
    flows = list(flows)
    rates: dict[str, float] = {}
    totals: dict[str, float] = {}
    for flow in flows:
        for queue, rate in flow.rates.items():
            rates[queue] = rates.get(queue, 0.0) + rate
        for queue, total in flow.totals.items():
            totals[queue] = totals.get(queue, 0.0) + total
    means = [flow.mean_seconds for flow in flows if flow.mean_seconds is not None]
    return Flow(
        rates,
        totals,
        sum(flow.received for flow in flows),
        sum(flow.failed for flow in flows),
        sum(flow.active for flow in flows),
        sum(means) / len(means) if means else None,
        any(flow.measured for flow in flows),
    )
