"""Reads the metrics of sidecars, only while a page shows them.

Each pod needs one request. So a pass reads at most :data:`MAX_PODS` pods in view, the least recently read first. The
page says how many pods have samples.
"""

import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from crds.names import LABEL_ACTOR
from dashboard.pods import SELECTOR, metrics, reduced
from dashboard.rights import missing_right, why_unreadable
from dashboard.traffic import Flow, Meter, counters, together
from kube.client import Client
from kube.failures import ApiError
from kube.informer import Informer
from kube.objects import Key, Object
from kube.resources import PODS
from telemetry import threads

View = tuple[str, str]
"""The view of a page: a namespace (empty: all) and an actor of it (empty: all)."""

SECONDS: Final = 4.0
"""Seconds between two passes."""
FIRST_SECONDS: Final = 1.2
"""Seconds between a pod's first two samples, so that the first rates appear soon."""
PATIENCE: Final = 3.0
"""Seconds that the first request for a view waits for a pass."""
INTEREST_SECONDS: Final = 20.0
"""Seconds for which passes continue after the last request for a view."""
STALE_SECONDS: Final = 120.0
"""Seconds after which a sample is dropped as outdated."""
MAX_PODS: Final = 100
WORKERS: Final = 8


@dataclass
class Pass:
    """The result of a pass."""

    pods: int = 0
    """Pods in view that have a sidecar with metrics."""
    failed: int = 0
    """Pods whose metrics could not be read."""
    problem: str = ""
    """Why some or all metrics are missing; empty if none are."""
    by_actor: dict[Key, list[Meter]] = field(default_factory=dict)


class Scraper:
    """Reads the metrics of the pods in view. Safe to use from several threads.

    Args:
        client: for the watch of pods.
        reach: for requests to pods.
        namespace: the dashboard's namespace; empty for all.
        now: the clock, in seconds.
    """

    def __init__(
        self, client: Client, reach: Client, namespace: str, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._reach, self._namespace, self._now = client, reach, namespace, now
        self._changed = threading.Condition()
        self._requested: dict[View, float] = {}
        """By view: the time of the last request for it."""
        self._covered: set[View] = set()
        """The views of the last pass."""
        self._meters: dict[str, Meter] = {}
        self._informer: Informer | None = None
        self._started = False
        self._due = 0.0
        self._last_pass = Pass()

    def look(self, namespace: str, actor: str = "", patience: float = PATIENCE) -> Pass:
        """Keep a view for INTEREST_SECONDS, and return the last pass.

        Args:
            namespace: empty for all.
            actor: empty for all.
            patience: seconds that the first call for a view waits for its pass.
        """
        view = (namespace, actor)
        with self._changed:
            self._drop_old_views()
            self._requested[view] = self._now()
            if not self._started:
                self._started = True
                threads.start("scraper", self._work)
            self._changed.notify_all()
            self._changed.wait_for(lambda: view in self._covered, patience)
            return self._last_pass

    def stop(self) -> None:
        """Stop the watch of pods."""
        if self._informer is not None:
            self._informer.stop()

    def forget(self) -> None:
        """Drop all samples; the next :meth:`look` waits for a pass."""
        with self._changed:
            self._meters, self._covered, self._last_pass = {}, set(), Pass()

    def flow(self, key: Key) -> Flow:
        """The flow through an actor's pods."""
        return together(meter.flow() for meter in self._last_pass.by_actor.get(key, ()))

    def flows(self, namespace: str) -> dict[Key, Flow]:
        """The flow through each actor of a namespace; of all if it is empty."""
        return {key: self.flow(key) for key in list(self._last_pass.by_actor) if namespace in ("", key[0])}

    def run_once(self, views: Collection[View]) -> None:
        """Make one pass over the pods in these views."""
        problem = self._watch_pods()
        if problem:
            self._last_pass = Pass(problem=problem)
            return
        assert self._informer is not None
        pods = [pod for pod in self._informer.all() if pod["port"] and any(_is_in(pod, view) for view in views)]
        pods.sort(key=lambda pod: (self._last(pod), pod["metadata"]["namespace"], pod["metadata"]["name"]))
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="scrape") as workers:
            problems = [text for text in workers.map(self._read, pods[:MAX_PODS]) if text]
        oldest = self._now() - STALE_SECONDS
        self._meters = {uid: meter for uid, meter in self._meters.items() if meter.last >= oldest}
        by_actor: dict[Key, list[Meter]] = {}
        for pod in pods:
            meter = self._meters.get(pod["metadata"]["uid"])
            if meter is not None:
                by_actor.setdefault((pod["metadata"]["namespace"], pod["metadata"]["labels"][LABEL_ACTOR]), []).append(
                    meter
                )
        self._last_pass = Pass(len(pods), len(problems), problems[0] if problems else "", by_actor)

    def _drop_old_views(self) -> set[View]:
        """Drop the views that no page shows any more, and return the others. Call it with the lock held."""
        oldest = self._now() - INTEREST_SECONDS
        self._requested = {view: at for view, at in self._requested.items() if at >= oldest}
        self._covered &= set(self._requested)
        return set(self._requested)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._is_due, 0.2 if self._requested else 1.0)
                if not self._is_due():
                    continue
                views = self._drop_old_views()
            self.run_once(views)
            with self._changed:
                has_rates = all(m.flow().measured for meters in self._last_pass.by_actor.values() for m in meters)
                self._covered, self._due = views, self._now() + (SECONDS if has_rates else FIRST_SECONDS)
                self._changed.notify_all()

    def _is_due(self) -> bool:
        views = self._drop_old_views()
        return bool(views) and (self._now() >= self._due or not views <= self._covered)

    def _watch_pods(self) -> str:
        """Start the watch of pods if it does not run; returns why it cannot start, or an empty string."""
        if self._informer is not None:
            return ""
        try:
            problem = why_unreadable(self._client, PODS, self._namespace)
        except ApiError as error:
            return error.message
        if problem:
            return problem
        self._informer = Informer(
            self._client, PODS, label_selector=SELECTOR, reduce=reduced, namespace=self._namespace
        )
        self._informer.start()
        self._informer.wait(10)
        return ""

    def _last(self, pod: Object) -> float:
        meter = self._meters.get(pod["metadata"]["uid"])
        return meter.last if meter is not None else float("-inf")

    def _read(self, pod: Object) -> str:
        """Take a sample of a pod; returns why that failed, or an empty string."""
        metadata = pod["metadata"]
        try:
            text = metrics(self._reach, metadata["namespace"], metadata["name"], pod["port"])
        except ApiError as error:
            if error.code == 403:
                return missing_right("get", "pods/proxy", metadata["namespace"])
            return f"the sidecar of the pod {metadata['name']!r} does not answer: {error.message}"
        sample = counters(text)
        if sample is None:
            return f"the sidecar of the pod {metadata['name']!r} answers without a sidecar's metrics"
        self._meters.setdefault(metadata["uid"], Meter()).add(self._now(), sample)
        return ""


def _is_in(pod: Object, view: View) -> bool:
    namespace, actor = view
    metadata = pod["metadata"]
    return namespace in ("", metadata["namespace"]) and actor in ("", metadata["labels"][LABEL_ACTOR])
