"""What sidecars' metrics say of messages: counters of one pod at one time, and rates from two such. Pure.

The text comes from pods, so from anyone: what cannot be read counts as no metrics.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

PREFIX: Final = "asya_actor_"
WINDOW_SECONDS: Final = 60.0
"""Rates are over so long at most."""
MAX_TARGETS: Final = 50
"""Destinations of one pod that are kept."""
MAX_NAME: Final = 200
"""Characters of a queue's name that are kept."""


@dataclass(frozen=True)
class Counters:
    """The counters of one sidecar."""

    sent: dict[str, float] = field(default_factory=dict)
    """Messages by the queue that they were sent to."""
    received: float = 0.0
    failed: float = 0.0
    active: float = 0.0
    """Messages in hand, which is no counter."""
    seconds: float = 0.0
    """Spent on messages in all."""
    processed: float = 0.0
    """Messages that took those seconds."""


def counters(text: str) -> Counters | None:
    """The counters in a sidecar's answer; None if there are none that can be read."""
    sent: dict[str, float] = {}
    sums = {"messages_received": 0.0, "messages_failed": 0.0, "active_messages": 0.0}
    seconds = processed = 0.0
    known = False
    try:
        for family in text_string_to_metric_families(text):
            name = family.name.removeprefix(PREFIX)
            known = known or name != family.name
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
    if not known:
        return None
    received, failed, active = sums.values()
    return Counters(sent, received, failed, active, seconds, processed)


@dataclass(frozen=True)
class Flow:
    """What went through one pod, or several."""

    rates: dict[str, float]
    """Messages a second by the queue that they were sent to; 0 for one that was sent to earlier."""
    totals: dict[str, float]
    """Messages by queue since the pods started."""
    received: float = 0.0
    """Messages a second."""
    failed: float = 0.0
    """Messages a second."""
    active: float = 0.0
    mean_seconds: float | None = None
    """For each message of late; None if there was none."""
    measured: bool = True
    """Whether there are two samples to make rates from."""


class Meter:
    """The samples of one pod."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, Counters]] = deque()

    def add(self, at: float, taken: Counters) -> None:
        """Take a sample of time ``at``. A counter that went back is of a sidecar that was restarted."""
        if self._samples and taken.received < self._samples[-1][1].received:
            self._samples.clear()
        self._samples.append((at, taken))
        while len(self._samples) > 2 and at - self._samples[1][0] >= WINDOW_SECONDS:
            self._samples.popleft()

    @property
    def last(self) -> float:
        """When the last sample was taken."""
        return self._samples[-1][0] if self._samples else 0.0

    def flow(self) -> Flow:
        """What went through the pod."""
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
    """The flow through all of them."""
    flows = list(flows)
    rates: dict[str, float] = {}
    totals: dict[str, float] = {}
    for flow in flows:
        for queue, value in flow.rates.items():
            rates[queue] = rates.get(queue, 0.0) + value
        for queue, value in flow.totals.items():
            totals[queue] = totals.get(queue, 0.0) + value
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
