"""Reads the metrics of sidecars while somebody looks at them, and only then.

Each pod is one request, so a pass takes at most :data:`MAX_PODS` pods of the namespace in view, those that were read
longest ago first, and the page says of how many it has samples.
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
"""A namespace, or an empty string for all, and an actor of it, or an empty string for all."""

SECONDS: Final = 4.0
"""Between two passes."""
FIRST_SECONDS: Final = 1.2
"""Between a pod's first two samples, which make the first rates."""
PATIENCE: Final = 3.0
"""Seconds that a first look waits."""
INTEREST_SECONDS: Final = 20.0
"""After the last question, for which passes go on."""
STALE_SECONDS: Final = 120.0
"""After which a sample says nothing of now."""
MAX_PODS: Final = 100
WORKERS: Final = 8


@dataclass
class Pass:
    """What the last pass met."""

    pods: int = 0
    """Pods in view that have a sidecar with metrics."""
    failed: int = 0
    problem: str = ""
    """Why there are no metrics, or none of some pods."""
    by_actor: dict[Key, list[Meter]] = field(default_factory=dict)


class Scraper:
    """Meters of the pods in view.

    Args:
        client: for the watch of pods.
        reach: for the pods themselves.
        namespace: that the dashboard is for; empty for all.
    """

    def __init__(
        self, client: Client, reach: Client, namespace: str, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._reach, self._namespace, self._now = client, reach, namespace, now
        self._changed = threading.Condition()
        self._asked: dict[View, float] = {}
        self._covered: set[View] = set()
        """The views that the last pass was for."""
        self._meters: dict[str, Meter] = {}
        self._informer: Informer | None = None
        self._started = False
        self._due = 0.0
        self.result = Pass()

    def look(self, namespace: str, actor: str = "", patience: float = PATIENCE) -> Pass:
        """Keep the pods of a namespace (all, if it is empty) or of one actor in view for a while; what is known.

        The first look waits for a pass that covers it, for so many seconds.
        """
        view = (namespace, actor)
        with self._changed:
            self._views()
            self._asked[view] = self._now()
            if not self._started:
                self._started = True
                threads.start("scraper", self._work)
            self._changed.notify_all()
            self._changed.wait_for(lambda: view in self._covered, patience)
            return self.result

    def stop(self) -> None:
        """Stop to watch pods."""
        if self._informer is not None:
            self._informer.stop()

    def forget(self) -> None:
        """Begin anew: the next look waits for a pass."""
        with self._changed:
            self._meters, self._covered, self.result = {}, set(), Pass()

    def flow(self, key: Key) -> Flow:
        """The flow through an actor's pods."""
        return together(meter.flow() for meter in self.result.by_actor.get(key, ()))

    def flows(self, namespace: str) -> dict[Key, Flow]:
        """The flow through each actor of a namespace, or of all."""
        known = list(self.result.by_actor)
        return {key: self.flow(key) for key in known if namespace in ("", key[0])}

    def run_once(self, views: Collection[View]) -> None:
        """One pass, of the pods in these views."""
        problem = self._watch_pods()
        if problem:
            self.result = Pass(problem=problem)
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
        self.result = Pass(len(pods), len(problems), problems[0] if problems else "", by_actor)

    def _views(self) -> set[View]:
        """What somebody looks at. With the lock."""
        oldest = self._now() - INTEREST_SECONDS
        self._asked = {view: at for view, at in self._asked.items() if at >= oldest}
        self._covered &= set(self._asked)
        return set(self._asked)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._is_due, 0.2 if self._asked else 1.0)
                if not self._is_due():
                    continue
                views = self._views()
            self.run_once(views)
            with self._changed:
                measured = all(m.flow().measured for meters in self.result.by_actor.values() for m in meters)
                self._covered, self._due = views, self._now() + (SECONDS if measured else FIRST_SECONDS)
                self._changed.notify_all()

    def _is_due(self) -> bool:
        views = self._views()
        return bool(views) and (self._now() >= self._due or not views <= self._covered)

    def _watch_pods(self) -> str:
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
        """Take a sample of a pod; why there is none, or an empty string."""
        metadata = pod["metadata"]
        try:
            text = metrics(self._reach, metadata["namespace"], metadata["name"], pod["port"])
        except ApiError as error:
            if error.code == 403:
                return missing_right("get", "pods/proxy", metadata["namespace"])
            return f"the sidecar of the pod {metadata['name']!r} does not answer: {error.message}"
        taken = counters(text)
        if taken is None:
            return f"the sidecar of the pod {metadata['name']!r} answers with no metrics of its kind"
        self._meters.setdefault(metadata["uid"], Meter()).add(self._now(), taken)
        return ""


def _is_in(pod: Object, view: View) -> bool:
    namespace, actor = view
    metadata = pod["metadata"]
    return namespace in ("", metadata["namespace"]) and actor in ("", metadata["labels"][LABEL_ACTOR])
