"""The controller process: it creates the parts, connects them, and starts and stops them.

The process watches at all times. It reconciles and writes only while it holds the lease.
"""

import os
import random
import signal
import socket
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

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
from controller.rules.injected import digest, has_opted_out
from controller.rules.remedies import set_operator
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
from telemetry.logs import log
from telemetry.metrics import build_version
from telemetry.metrics.shared import BUILD
from telemetry.server import serve

KEDA_SECONDS = 10.0
"""Seconds between two checks whether the API server serves KEDA's resources."""
RESYNC_SECONDS = 600.0
STOP_SECONDS = 10.0
"""How long a stop waits for the workers to finish their keys."""
SOURCE_SECONDS = 5.0
"""How long the first reconciles wait for the runtime script. Without the wait, each actor first reports its absence."""


@dataclass(frozen=True)
class Options:
    """The process's command-line flags and environment."""

    namespace: str = "asya-system"
    """The operator's own namespace, which holds its Lease."""
    metrics_port: int = 8080
    workers: int = 8
    watch_namespaces: Sequence[str] = ()
    """Namespaces to watch; empty: all."""
    client_qps: int = QPS
    client_burst: int = BURST
    lease: str = OPERATOR
    lease_times: LeaseTimes = field(default_factory=LeaseTimes)
    kubeconfig: str | None = None
    log_level: str = "INFO"
    log_format: str = "auto"
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


class Controller:
    """Creates the parts of the controller and connects them."""

    def __init__(self, options: Options) -> None:
        self._options = options
        environment = options.environment
        self.identity = f"{environment.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"
        self._stop = threading.Event()
        self._keda_checked = threading.Event()
        """Set once the process knows whether the cluster has KEDA."""
        self._source_loaded = threading.Event()
        set_operator(options.namespace, options.lease)
        self._defaults = from_environment(environment)
        self._actor_metrics = ActorMetrics()
        self._queue: WorkQueue[Key] = WorkQueue()
        self._queue.pause()  # the election resumes it when this process leads
        self._workers = Workers(self._queue, options.workers, self._handle)
        self._unlimited = Client(load_configuration(options.kubeconfig), pool_size=2)
        """Has no throttle and may write without the lease: the election and the certificates need that."""
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

    # -- the parts -----------------------------------------------------------------------------------

    def _make_election(self) -> Election:
        options = self._options
        return Election(
            self._unlimited,
            options.namespace,
            options.lease,
            self.identity,
            self._lead,
            self._stop_leading,
            options.lease_times,
        )

    def _make_client(self) -> Client:
        """The client that is throttled, and that writes only while this process leads."""
        options = self._options
        return Client(
            load_configuration(options.kubeconfig),
            pool_size=options.workers + 16,  # each watch holds a connection as long as it runs
            may_write=lambda: self._election.is_leading,
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
        """The part that issues and renews the webhook's certificate."""
        return Keeper(
            self._client,
            certificate_settings(self._options.environment, self._options.namespace),
            lambda: self._election.is_leading,
            self.identity,
            follower_client=self._unlimited,
        )

    def _make_reconciler(self) -> Reconciler:
        """The reconciler. Waits for the API server's version, because injection depends on it."""
        while not self._stop.is_set():
            try:
                native_sidecars = has_native_sidecars(self._unlimited.version())
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

    # -- start and stop ------------------------------------------------------------------------------

    def run(self) -> None:
        """Run until SIGINT or SIGTERM stops the process."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stop.set())
        BUILD.labels(build_version()).set(1)
        gauges.export(self._election, self._queue, self._rollouts, self._actor_metrics)
        probes = {"/healthz": self._unhealthy, "/readyz": self._not_ready}
        server = serve(every_address(), self._options.metrics_port, REGISTRY, probes)
        self._reconciler = self._make_reconciler()
        # On its own thread: a slow server must not delay the other parts.
        threads.start("runtime-source-start", self._start_source)
        self._cluster.start()
        self._keeper.start()
        self._watchdog.start()
        threads.start("keda-discovery", self._discover_keda)
        threads.start("resync", self._resync)
        self._election.start()
        while not self._stop.wait(1.0):
            pass  # one wait without a timeout would miss a signal that arrives just before it
        log.info("stopping", identity=self.identity)
        self._source.stop()
        self._keeper.stop()
        self._watchdog.stop()
        self._queue.close()
        self._workers.join(STOP_SECONDS)
        self._reconciler.flush(STOP_SECONDS)
        self._election.release()
        server.shutdown()

    def _handle(self, key: Key) -> None:
        handle(self._reconciler, self._queue, key)

    def _start_source(self) -> None:
        self._source.start()
        self._source_loaded.set()
        self._triggers.on_everything()

    def _lead(self) -> None:
        """Start the workers. The election calls this, on its own thread, each time this process gets the lease."""
        log.info("leading", identity=self.identity)
        while not self._cluster.is_synced or not self._keda_checked.is_set():
            if self._stop.wait(0.02):
                return
        self._source_loaded.wait(SOURCE_SECONDS)
        self._rollouts.resume(
            obj
            for informer in self._cluster.injectable
            for obj in informer.all()
            if digest(obj) is not None and not has_opted_out(obj)
        )
        self._triggers.on_everything()
        self._workers.start()
        # If the process has lost the lease in the meantime, the client refuses the workers' first write.
        self._queue.resume()

    def _stop_leading(self) -> None:
        self._queue.pause()
        self._actor_metrics.clear()

    def _discover_keda(self) -> None:
        """Check every KEDA_SECONDS whether the cluster has KEDA."""
        while True:
            pause = KEDA_SECONDS
            try:
                self._cluster.discover_keda()
                self._keda_checked.set()
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
        """Why the process is not ready; empty if it is."""
        missing = [repr(i.resource) for i in self._cluster.informers if not i.is_synced]
        return f"not listed yet: {', '.join(missing)}" if missing else self._watchdog.silent_watches()

    def _unhealthy(self) -> str:
        """A problem that a restart solves; empty if there is none."""
        return threads.failed_threads() or self._watchdog.dead_watches() or self._workers.stuck_workers()


def _positive(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or int(text) < 1:
        raise InvalidSetting(f"{name}: must be a whole number of at least 1; found {text!r}")
    return int(text)


def run(options: Options) -> None:
    """Run the controller until SIGINT or SIGTERM stops it.

    Raises:
        InvalidSetting: if an environment variable is not valid.
    """
    logs.configure(options.log_level, options.log_format)
    tracing.configure("asya-operator", options.environment)
    Controller(options).run()
