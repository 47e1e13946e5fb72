"""Declares metrics, and records each declaration for the manual's table and for tests."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import REGISTRY, Collector

Process = Literal["webhook", "controller", "both"]
Type = Literal["counter", "gauge", "histogram"]
MultiprocessMode = Literal["livemin", "livemax", "livesum", "livemostrecent"]
"""How to merge a gauge's values from several worker processes. Only modes that ignore dead workers are allowed."""


@dataclass(frozen=True)
class Described:
    """A metric as the manual shows it."""

    name: str
    """The name that Prometheus stores, with ``_total``."""
    type: Type
    labels: tuple[str, ...]
    process: Process
    meaning: str


OTHER = "other"
"""The label value for all values without a series of their own."""

_DESCRIBED: dict[str, Described] = {}


def described() -> list[Described]:
    """Return the metrics of all imported modules, sorted by process and name."""
    return sorted(_DESCRIBED.values(), key=lambda d: (d.process, d.name))


def _record(name: str, kind: Type, labels: Sequence[str], process: Process, meaning: str) -> None:
    _DESCRIBED[name] = Described(name, kind, tuple(labels), process, meaning)


def counter(
    process: Process, name: str, meaning: str, labels: Sequence[str] = (), *, known: Iterable[str] = ()
) -> Counter:
    """Return a new counter. ``name`` must end in ``_total``.

    ``known`` lists values of its only label. Their series start at 0, so that ``increase()`` includes the first event.
    """
    _record(name, "counter", labels, process, meaning)
    metric = Counter(name, meaning, labels)
    for value in known:
        metric.labels(value)
    return metric


def gauge(
    process: Process,
    name: str,
    meaning: str,
    labels: Sequence[str] = (),
    *,
    mode: MultiprocessMode = "livemostrecent",
) -> Gauge:
    """Return a new gauge. It always exports a value, also if the process does not lead.

    ``mode`` says how to merge the values of the webhook's workers.
    """
    _record(name, "gauge", labels, process, meaning)
    return Gauge(name, meaning, labels, multiprocess_mode=mode)


def histogram(process: Process, name: str, meaning: str, buckets: Sequence[float]) -> Histogram:
    """Return a new histogram of durations in seconds."""
    _record(name, "histogram", (), process, meaning)
    return Histogram(name, meaning, buckets=buckets)


class BoundedLabel:
    """Limits a label to its first ``limit`` values. Each further value counts as ``other``.

    Clients choose the values of some labels in their requests, and each value creates a permanent time series.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._lock, self._known = limit, threading.Lock(), set[str]()

    def __call__(self, value: str) -> str:
        """Return ``value``, or ``other`` if the limit is reached and ``value`` is new."""
        if value in self._known:
            return value
        with self._lock:
            if len(self._known) >= self._limit:
                return OTHER
            self._known.add(value)
        return value


Samples = Iterable[tuple[tuple[str, ...], float]]
"""The time series of a gauge: for each, its label values and its value."""


class ScrapedGauge(Collector):
    """A gauge whose series :attr:`source` computes at each scrape.

    It is for facts that only the leader knows. If :attr:`source` is None or returns nothing, the gauge has no series.
    """

    def __init__(self, process: Process, name: str, meaning: str, labels: Sequence[str] = ()) -> None:
        _record(name, "gauge", labels, process, meaning)
        self._name, self._meaning, self._labels = name, meaning, tuple(labels)
        self.source: Callable[[], Samples] | None = None
        REGISTRY.register(self)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return the metric family without samples. The registry reads the name from it."""
        return [GaugeMetricFamily(self._name, self._meaning, labels=self._labels)]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return the metric family with the current samples."""
        family = GaugeMetricFamily(self._name, self._meaning, labels=self._labels)
        for labels, value in self.source() if self.source is not None else ():
            family.add_metric(labels, value)
        return [family]
