"""The controller process: what it consists of, how the parts are wired, and how they start and stop."""

import os
import random
import signal
import socket
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog
from prometheus_client import REGISTRY

from certs.keeper import Keeper
from certs.settings import from_environment as certificate_settings
from controller import gauges
from controller.actor_metrics import ActorMetrics
from controller.cluster.access import Cluster
from controller.cluster.labelled import Labelled
from controller.cluster.rollouts import Rollouts
from controller.cluster.runtime_maps import RuntimeMaps
from controller.handling import handle
from controller.reconciler import Reconciler
from controller.rules.injected import digest, opted_out
from controller.rules.remedies import settle_in
from controller.script.source import from_environment as runtime_source
from controller.triggers import Triggers
from crds.names import OPERATOR
from injection.settings import InvalidSetting, from_environment, has_native_sidecars
from kube.client import Client
from kube.credentials import load_configuration
from kube.failures import ApiError
from kube.informer import Informer
from kube.leader import Election
from kube.lease import LeaseTimes
from kube.objects import Key
from kube.throttle import BURST, QPS, Throttle
from kube.watchdog import Watchdog
from kube.workers import Workers
from kube.workqueue import WorkQueue
from telemetry import logs, threads, tracing
from telemetry.addresses import every_address
from telemetry.metrics import build_version
from telemetry.metrics.shared import BUILD
from telemetry.server import serve

log = structlog.get_logger(__name__)

KEDA_SECONDS = 10.0
"""Between two looks at whether the API server serves KEDA's resources."""
RESYNC_SECONDS = 600.0
STOP_SECONDS = 10.0
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
    """Everything but the process around it: what exists, and who calls whom."""

    def __init__(self, options: Options) -> None:
        self._options = options
        environment = options.environment
        self.identity = f"{environment.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"
        self._stop = threading.Event()
        self._keda_known = threading.Event()
        self._source_loaded = threading.Event()
        settle_in(options.namespace, options.lease)
        self._defaults = from_environment(environment)
        self._actor_metrics = ActorMetrics()
        self._queue: WorkQueue[Key] = WorkQueue()
        self._queue.pause()  # until this process leads
        self._workers = Workers(self._queue, options.workers, self._handle)
        self._plain = Client(load_configuration(options.kubeconfig), pool_size=2)
        self._election = self._make_election()
        self._client = self._make_client()
        self._triggers = Triggers(self._queue)
        home = environment.get("ASYA_RUNTIME_NAMESPACE") or options.namespace
        self._cluster = self._triggers.cluster = self._make_cluster(home)
        self._source = runtime_source(environment, self._triggers.on_everything)
        self._runtime = self._triggers.runtime = RuntimeMaps(self._cluster, self._source, home)
        self._rollouts = self._triggers.rollouts = Rollouts(
            _positive(environment, "ASYA_REINJECTION_PARALLEL", 10),
            _positive(environment, "ASYA_REINJECTION_TIMEOUT", 300),
            self._queue.add,
            self._cluster.jobs_of,
        )
        self._keeper = self._make_keeper()
        self._watchdog = Watchdog(self._informers)

    # -- what is wired together --------------------------------------------------------------------

    def _make_election(self) -> Election:
        options = self._options
        return Election(
            self._plain,
            options.namespace,
            options.lease,
            self.identity,
            self._lead,
            self._stop_leading,
            options.lease_times,
        )

    def _make_client(self) -> Client:
        """The client that writes only while this process leads."""
        options = self._options
        return Client(
            load_configuration(options.kubeconfig),
            pool_size=options.workers + 16,  # a watch keeps its connection for as long as it lasts
            may_write=lambda: self._election.leading,
            throttle=Throttle(options.client_qps, options.client_burst),
        )

    def _make_cluster(self, home: str) -> Cluster:
        return Cluster(
            self._client,
            self._triggers.on_actor,
            self._triggers.on_owned,
            self._triggers.on_config_map,
            self._queue.add,
            self._triggers.on_everything,
            namespaces=self._options.watch_namespaces,
            home=home,
            on_parameters=self._triggers.on_parameters,
        )

    def _make_keeper(self) -> Keeper:
        """What keeps the webhook's certificate."""
        return Keeper(
            self._client,
            certificate_settings(self._options.environment, self._options.namespace),
            lambda: self._election.leading,
            self.identity,
            any_time=self._plain,
        )

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

    # -- the life of the process -------------------------------------------------------------------

    def run(self) -> None:
        """Work until stopped by a signal."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stop.set())
        BUILD.labels(build_version()).set(1)
        gauges.export(self._election, self._queue, self._rollouts, self._actor_metrics)
        probes = {"/healthz": self._unhealthy, "/readyz": self._not_ready}
        server = serve(every_address(), self._options.metrics_port, REGISTRY, probes)
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
            pass  # a single wait without a limit would miss a signal that comes just before it
        log.info("stopping", identity=self.identity)
        self._source.stop()
        self._keeper.stop()
        self._watchdog.stop()
        self._queue.close()
        self._workers.join(STOP_SECONDS)
        self._election.release()
        server.shutdown()

    def _handle(self, key: Key) -> None:
        handle(self._reconciler, self._queue, key)

    def _start_source(self) -> None:
        self._source.start()
        self._source_loaded.set()
        self._triggers.on_everything()

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
        self._triggers.on_everything()
        self._workers.start()
        # If the lease is lost meanwhile, the workers' first write is refused.
        self._queue.resume()

    def _stop_leading(self) -> None:
        self._queue.pause()
        self._actor_metrics.clear()

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
            self._triggers.on_everything()

    # -- health ------------------------------------------------------------------------------------

    def _informers(self) -> list[Informer]:
        return [*self._cluster.informers, *self._keeper.informers]

    def _not_ready(self) -> str:
        missing = [repr(i.resource) for i in self._cluster.informers if not i.synced]
        return f"not listed yet: {', '.join(missing)}" if missing else self._watchdog.silent()

    def _unhealthy(self) -> str:
        """What a restart would help."""
        return threads.failed() or self._watchdog.dead() or self._workers.stuck()


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
