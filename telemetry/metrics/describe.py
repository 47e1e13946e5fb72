"""Declares metrics, and remembers each declaration for the manual's table and for tests."""

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
"""How the gauges of several worker processes become one. Only modes that forget dead workers are allowed."""


@dataclass(frozen=True)
class Described:
    """A metric as the manual shows it."""

    name: str
    """The name that Prometheus stores, ``_total`` included."""
    type: Type
    labels: tuple[str, ...]
    process: Process
    meaning: str


OTHER = "other"
"""The label value that stands for all that have no series of their own."""

_DESCRIBED: dict[str, Described] = {}


def described() -> list[Described]:
    """The metrics of all imported modules, sorted by process and name."""
    return sorted(_DESCRIBED.values(), key=lambda d: (d.process, d.name))


def _note(name: str, kind: Type, labels: Sequence[str], process: Process, meaning: str) -> None:
    _DESCRIBED[name] = Described(name, kind, tuple(labels), process, meaning)


def counter(
    process: Process, name: str, meaning: str, labels: Sequence[str] = (), *, known: Iterable[str] = ()
) -> Counter:
    """A counter; ``name`` ends in ``_total``.

    ``known`` are values of its only label that start at 0, so that ``increase()`` sees the first event of each.
    """
    _note(name, "counter", labels, process, meaning)
    made = Counter(name, meaning, labels)
    for value in known:
        made.labels(value)
    return made


def gauge(
    process: Process,
    name: str,
    meaning: str,
    labels: Sequence[str] = (),
    *,
    mode: MultiprocessMode = "livemostrecent",
) -> Gauge:
    """A gauge that any process of that role may export at any time.

    ``mode`` says how the values of the webhook's workers become one.
    """
    _note(name, "gauge", labels, process, meaning)
    return Gauge(name, meaning, labels, multiprocess_mode=mode)


def histogram(process: Process, name: str, meaning: str, buckets: Sequence[float]) -> Histogram:
    """A histogram of seconds."""
    _note(name, "histogram", (), process, meaning)
    return Histogram(name, meaning, buckets=buckets)


class BoundedLabel:
    """Keeps a label to the first ``limit`` values that it sees; each later one counts as ``other``.

    A label whose values come with a request is bounded by nobody else, and every value is a time series for ever.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._lock, self._known = limit, threading.Lock(), set[str]()

    def __call__(self, value: str) -> str:
        """``value``, or ``other``."""
        if value in self._known:
            return value
        with self._lock:
            if len(self._known) >= self._limit:
                return OTHER
            self._known.add(value)
        return value


Samples = Iterable[tuple[tuple[str, ...], float]]
"""Label values and the value of each time series of a gauge."""


class ScrapedGauge(Collector):
    """A gauge whose series are computed at each scrape, so that one without a source has none.

    For facts that only the leader may tell: when :attr:`source` is None, or returns nothing, the metric is absent.
    """

    def __init__(self, process: Process, name: str, meaning: str, labels: Sequence[str] = ()) -> None:
        _note(name, "gauge", labels, process, meaning)
        self._name, self._meaning, self._labels = name, meaning, tuple(labels)
        self.source: Callable[[], Samples] | None = None
        REGISTRY.register(self)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """The family without samples; the registry reads the name from it."""
        return [GaugeMetricFamily(self._name, self._meaning, labels=self._labels)]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The family with the present samples."""
        family = GaugeMetricFamily(self._name, self._meaning, labels=self._labels)
        for labels, value in self.source() if self.source is not None else ():
            family.add_metric(labels, value)
        return [family]
