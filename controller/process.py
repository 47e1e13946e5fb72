"""The controller process: caches, a work queue, workers that run while this process leads, metrics and health."""

import os
import random
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import structlog
from prometheus_client import REGISTRY

from certs.keeper import Keeper
from certs.settings import from_environment as certificate_settings
from controller.actor_metrics import ActorMetrics
from controller.cluster.access import Cluster
from controller.cluster.labelled import Labelled
from controller.cluster.parameters import is_intact
from controller.cluster.rollouts import Rollouts
from controller.cluster.runtime_maps import RuntimeMaps
from controller.reconciler import Reconciler
from controller.rules.injected import digest, opted_out
from controller.rules.remedies import settle_in
from controller.script.source import from_environment as runtime_source
from crds.names import KIND, LABEL_ACTOR, OPERATOR
from injection.settings import InvalidSetting, from_environment, has_native_sidecars
from kube.client import Client
from kube.credentials import load_configuration
from kube.failures import ApiError
from kube.informer import Informer
from kube.leader import Election, LeaseTimes
from kube.objects import Key, Object, key_of
from kube.throttle import BURST, QPS, Throttle
from kube.watchdog import Watchdog
from kube.workqueue import WorkQueue
from telemetry import logs, threads, tracing
from telemetry.addresses import every_address
from telemetry.metrics import build_version
from telemetry.metrics.controller import (
    ACTORS,
    IN_FLIGHT,
    LEADER,
    OUTDATED,
    QUEUE_DEPTH,
    RECONCILE_SECONDS,
    RECONCILES,
    ROLLING,
    UNSCALED,
)
from telemetry.metrics.describe import Samples, ScrapedGauge
from telemetry.metrics.shared import BUILD
from telemetry.server import serve

log = structlog.get_logger(__name__)

KEDA_SECONDS = 10.0
"""Between two looks at whether the API server serves KEDA's resources."""
RESYNC_SECONDS = 600.0
STOP_SECONDS = 10.0
UNWELL_SECONDS = 5.0
"""Between two tries at an actor, at most, while the API server is not well."""
STUCK_SECONDS = 900.0
"""No reconcile takes so long: each of its requests has a time limit."""
SOURCE_SECONDS = 5.0
"""For how long the first reconciles wait for the script, which spares each actor a status without it."""


@dataclass(frozen=True)
class Options:
    """How the process is run."""

    namespace: str = "asya-system"
    """The operator's own namespace: of its Lease."""
    metrics_port: int = 8080
    workers: int = 8
    watch_namespaces: Sequence[str] = ()
    """All if empty."""
    client_qps: int = QPS
    client_burst: int = BURST
    lease: str = OPERATOR
    lease_times: LeaseTimes = field(default_factory=LeaseTimes)
    kubeconfig: str | None = None
    log_level: str = "INFO"
    log_format: str = "auto"
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


class Controller:
    """Everything but the process around it."""

    def __init__(self, options: Options) -> None:
        self._options = options
        environment = options.environment
        self.identity = f"{environment.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"
        self._stop = threading.Event()
        self._keda_known = threading.Event()
        self._source_loaded = threading.Event()
        self._queue: WorkQueue[Key] = WorkQueue()
        settle_in(options.namespace, options.lease)
        self._queue.pause()
        self._plain = Client(load_configuration(options.kubeconfig), pool_size=2)
        self._election = Election(
            self._plain,
            options.namespace,
            options.lease,
            self.identity,
            self._lead,
            self._stop_leading,
            options.lease_times,
        )
        # A watch keeps its connection for as long as it lasts.
        self._client = Client(
            load_configuration(options.kubeconfig),
            pool_size=options.workers + 16,
            may_write=lambda: self._election.leading,
            throttle=Throttle(options.client_qps, options.client_burst),
        )
        home = environment.get("ASYA_RUNTIME_NAMESPACE") or options.namespace
        self._cluster = Cluster(
            self._client,
            self._on_actor,
            self._on_owned,
            self._on_config_map,
            self._queue.add,
            self._enqueue_all,
            namespaces=options.watch_namespaces,
            home=home,
            on_parameters=self._on_parameters,
        )
        self._source = runtime_source(environment, self._enqueue_all)
        self._runtime = RuntimeMaps(self._cluster, self._source, home)
        self._defaults = from_environment(environment)
        self._actor_metrics = ActorMetrics()
        self._rollouts = Rollouts(
            _positive(environment, "ASYA_REINJECTION_PARALLEL", 10),
            _positive(environment, "ASYA_REINJECTION_TIMEOUT", 300),
            self._queue.add,
            lambda scaled_job: self._cluster.jobs_of(scaled_job),
        )
        self._keeper = Keeper(
            self._client,
            certificate_settings(environment, options.namespace),
            lambda: self._election.leading,
            self.identity,
            any_time=self._plain,
        )
        self._workers: list[threading.Thread] = []
        self._starting = threading.Lock()
        self._in_hand: dict[str, tuple[Key, float]] = {}
        """By worker: the key that it has in hand, and since when."""
        self._watchdog = Watchdog(self._informers)

    def run(self) -> None:
        """Work until stopped by a signal."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stop.set())
        BUILD.labels(build_version()).set(1)
        self._export_metrics()
        server = serve(
            every_address(),
            self._options.metrics_port,
            REGISTRY,
            {"/healthz": self._unhealthy, "/readyz": self._not_ready},
        )
        self._reconciler = self._make_reconciler()
        # On a thread of its own, since a server that is slow must not keep the rest from starting.
        threads.start("runtime-source-start", self._start_source)
        self._cluster.start()
        self._keeper.start()
        self._watchdog.start()
        threads.start("keda-discovery", self._look_for_keda)
        threads.start("resync", self._resync)
        self._election.start()
        while not self._stop.wait(1.0):
            pass  # not for ever at once: a signal that comes just before a wait is seen after it
        log.info("stopping", identity=self.identity)
        self._source.stop()
        self._keeper.stop()
        self._watchdog.stop()
        self._queue.close()
        deadline = time.monotonic() + STOP_SECONDS
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        self._election.release()
        server.shutdown()

    def _make_reconciler(self) -> Reconciler:
        """As soon as the API server tells its version, on which injection depends."""
        while not self._stop.is_set():
            try:
                native_sidecars = has_native_sidecars(self._plain.version())
            except ApiError as error:
                log.warning("api_unreachable", error=str(error))
                self._stop.wait(random.uniform(0.5, 1.5))
            else:
                self._defaults = replace(self._defaults, native_sidecars=native_sidecars)
                break
        return Reconciler(
            self._cluster,
            Labelled(self._cluster, self._rollouts),
            self._rollouts,
            self._runtime,
            self._defaults,
            self.identity,
            self._actor_metrics.observe,
        )

    def _start_source(self) -> None:
        self._source.start()
        self._source_loaded.set()
        self._enqueue_all()

    # -- what is to be worked on ----------------------------------------------------------------

    def _on_actor(self, actor: Object, deleted: bool) -> None:
        self._queue.add(key_of(actor))

    def _on_owned(self, obj: Object, deleted: bool) -> None:
        metadata = obj["metadata"]
        self._rollouts.seen(obj, deleted)
        scaled_job = self._cluster.scaled_job_of(obj)
        if scaled_job is not None and self._rollouts.holds(scaled_job["metadata"]["uid"]):
            self._rollouts.seen(scaled_job)
        names = {o["name"] for o in metadata.get("ownerReferences") or () if o.get("kind") == KIND}
        label = (metadata.get("labels") or {}).get(LABEL_ACTOR)
        for name in names | ({label} if label else set()):
            self._queue.add((metadata["namespace"], name))
        if self._runtime.changes_with(obj, deleted):
            self._queue.add((metadata["namespace"], ""))

    def _on_parameters(self, config_map: Object, deleted: bool) -> None:
        """All actors of its namespace are looked at, unless it is as the operator applied it."""
        namespace = config_map["metadata"]["namespace"]
        if deleted or not is_intact(config_map):
            for key in map(key_of, self._cluster.actors.all()):
                if key[0] == namespace:
                    self._queue.add(key)

    def _on_config_map(self, config_map: Object, deleted: bool) -> None:
        self._queue.add((config_map["metadata"]["namespace"], ""))

    def _enqueue_all(self) -> None:
        for namespace in self._runtime.namespaces():
            self._queue.add((namespace, ""))
        for actor in self._cluster.actors.all():
            self._queue.add(key_of(actor))

    # -- threads --------------------------------------------------------------------------------

    def _lead(self) -> None:
        """Have the workers work; called by the election, on a thread of its own, each time that this process leads."""
        log.info("leading", identity=self.identity)
        while not self._cluster.synced or not self._keda_known.is_set():
            if self._stop.wait(0.02):
                return
        self._source_loaded.wait(SOURCE_SECONDS)
        self._rollouts.resume(
            obj
            for informer in self._cluster.injectable
            for obj in informer.all()
            if digest(obj) is not None and not opted_out(obj)
        )
        self._enqueue_all()
        with self._starting:  # the lease may be lost and won again while the caches fill
            if not self._workers:
                names = [f"worker-{number}" for number in range(self._options.workers)]
                self._workers = [threads.start(name, self._work, name) for name in names]
        # Should the lease be lost meanwhile, the workers' first write tells them so.
        self._queue.resume()

    def _stop_leading(self) -> None:
        self._queue.pause()
        self._actor_metrics.clear()

    def _work(self, name: str) -> None:
        while (key := self._queue.get()) is not None:
            started = time.perf_counter()
            self._in_hand[name] = key, time.monotonic()
            try:
                self._reconcile(key)
            finally:
                self._in_hand.pop(name, None)
                RECONCILE_SECONDS.observe(time.perf_counter() - started)
                self._queue.done(key)

    def _reconcile(self, key: Key) -> None:
        with tracing.span("reconcile") as span:
            outcome = self._reconcile_once(key)
            span.set(namespace=key[0], actor=key[1], outcome=outcome)
        if outcome:
            RECONCILES.labels(outcome).inc()

    def _reconcile_once(self, key: Key) -> str:
        """Reconcile ``key`` and requeue it as needed; the outcome, empty where this process does not lead."""
        try:
            again = self._reconciler.reconcile(key)
        except ApiError as error:
            if error.reason == "NotLeading":
                self._queue.retry(key)  # the lease may be renewed late, and then nobody else looks at it
                return ""
            if error.namespace_is_going:
                self._queue.forget(key)
                return "success"
            # While nothing answers, requests are held back elsewhere, and when something does, it is to go on soon.
            pause = self._queue.retry(key, UNWELL_SECONDS if error.server_is_unwell else None)
            log.warning("reconcile_failed", namespace=key[0], actor=key[1], error=str(error), retry_in=round(pause, 2))
            return "error"
        except Exception:
            pause = self._queue.retry(key)
            log.exception("reconcile_crashed", namespace=key[0], actor=key[1], retry_in=round(pause, 2))
            return "error"
        if again is None:
            self._queue.forget(key)
            return "success"
        self._queue.look_again(key, again)
        return "waiting"

    def _look_for_keda(self) -> None:
        while True:
            pause = KEDA_SECONDS
            try:
                self._cluster.discover_keda()
                self._keda_known.set()
            except ApiError as error:
                log.warning("keda_discovery_failed", error=str(error))
                pause = 1.0
            if self._stop.wait(pause * random.uniform(0.9, 1.1)):
                return

    def _resync(self) -> None:
        while not self._stop.wait(RESYNC_SECONDS * random.uniform(0.9, 1.1)):
            self._enqueue_all()

    # -- what is told ---------------------------------------------------------------------------

    def _export_metrics(self) -> None:
        LEADER.set_function(lambda: float(self._election.leading))
        sources: dict[ScrapedGauge, Callable[[], Samples]] = {
            QUEUE_DEPTH: lambda: [((), float(self._queue.depth))],
            IN_FLIGHT: lambda: [((), float(self._queue.in_flight))],
            ROLLING: lambda: [((), float(self._rollouts.in_flight))],
            OUTDATED: self._actor_metrics.outdated,
            ACTORS: self._actor_metrics.actors,
            UNSCALED: self._actor_metrics.without_keda,
        }
        for gauge, source in sources.items():
            # Bound now: a plain closure would see the last source only.
            gauge.source = partial(self._while_leading, source)

    def _while_leading(self, source: Callable[[], Samples]) -> Samples:
        return source() if self._election.leading else ()

    def _informers(self) -> list[Informer]:
        return [*self._cluster.informers, *self._keeper.informers]

    def _not_ready(self) -> str:
        missing = [repr(i.resource) for i in self._cluster.informers if not i.synced]
        return f"not listed yet: {', '.join(missing)}" if missing else self._watchdog.silent()

    def _unhealthy(self) -> str:
        """What a restart would help."""
        return threads.failed() or self._watchdog.dead() or self._stuck()

    def _stuck(self) -> str:
        now = time.monotonic()
        in_hand = list(self._in_hand.values())
        found = [f"{'/'.join(key)} for {now - since:.0f} s" for key, since in in_hand if now - since > STUCK_SECONDS]
        return f"workers that do not come to an end: {', '.join(found)}" if found else ""


def _positive(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise InvalidSetting(f"{name}: must be a whole number of at least 1; found {text!r}")
    return int(text)


def run(options: Options) -> None:
    """Run the controller until stopped by a signal."""
    logs.configure(options.log_level, options.log_format)
    tracing.configure("asya-operator", options.environment)
    Controller(options).run()
