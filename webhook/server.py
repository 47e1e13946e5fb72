"""The webhook process: the application under gunicorn with TLS, and one watch cache in each worker.

Most imports are inside functions. ``prometheus_client`` decides at its first import whether it merges the metrics of
several processes, so the variable for its directory must be set before.
"""

import gc
import importlib
import os
import shutil
import signal
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication

from injection.settings import from_environment, has_native_sidecars
from kube.credentials import NoCluster, load_configuration
from kube.throttle import BURST, QPS, Throttle
from telemetry import logs, tracing
from telemetry.addresses import bracketed, every_address
from telemetry.logs import log
from webhook.limits import PEER_CONNECTIONS
from webhook.loads import ABSENT, Loads
from webhook.review import Clients

if TYPE_CHECKING:
    from kube.client import Client
    from webhook.handler import Handler
    from webhook.tls import Certificate
    from webhook.worker import DirectAnswer


@dataclass(frozen=True)
class Options:
    """The settings of the process."""

    namespace: str = "asya-system"
    """The operator's own namespace."""
    secret: str = "asya-operator-webhook-cert"
    """The Secret in that namespace with the serving certificate. Not used if the certificate is in files."""
    certificate: Path | None = None
    key: Path | None = None
    home: str = "asya-system"
    """The namespace with the ConfigMap that names the current runtime script."""
    port: int = 8443
    bind: str = ""
    """Address and port to listen on. Empty for every address and ``port``."""
    metrics_port: int = 8080
    workers: int = 2
    threads: int = 64
    """The largest number of threads in each worker. Threads start as needed."""
    peer_connections: int = PEER_CONNECTIONS
    """The largest number of connections of one address to each worker."""
    watch_namespaces: Sequence[str] = ()
    """All namespaces if empty."""
    client_qps: int = QPS
    client_burst: int = BURST
    kubeconfig: str | None = None
    log_level: str = "INFO"
    log_format: str = "auto"
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))


SHARED = (
    "urllib3",
    "prometheus_client.multiprocess",
    "gunicorn.workers.gthread",
    "kube.watchdog",
    "telemetry.server",
    "webhook.direct",
    "webhook.worker",
    "webhook.actors",
    "webhook.tls",
)
"""Modules that the master imports, so that its workers share their memory and start sooner.

None of them starts a thread. :func:`run` takes back the zeros that their metrics export for the master.
"""
READY_SECONDS = 20.0
"""How long a worker waits at its start for the certificate and the list of actors."""
READ_SECONDS = 2.5
"""The limit of one live read of an actor. The API server waits five seconds for the whole admission."""


def run(options: Options) -> None:
    """Serve until a signal stops the process."""
    logs.configure(options.log_level, options.log_format)
    choose_temporary_directory()
    metrics_directory = tempfile.mkdtemp(prefix="asya-metrics-")
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics_directory
    master = os.getpid()
    # The garbage collector writes into every object that it visits, and a written page is no longer shared.
    gc.disable()
    for module in SHARED:
        importlib.import_module(module)
    _withdraw_metrics(master)
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # OpenSSL allocates its tables at the first context; workers share them
    gc.collect()  # else each process would keep the garbage of the imports
    try:
        _Gunicorn(options).run()
    except SystemExit as end:
        if os.getpid() != master:
            _end_worker(end.code)
        raise
    finally:
        if os.getpid() == master:
            shutil.rmtree(metrics_directory, ignore_errors=True)


def _end_worker(code: str | int | None) -> None:
    """End this worker without the exit handlers of the master, which the worker has inherited.

    That of the official client deletes the temporary files with the keys of a kubeconfig. The other workers need them.
    """
    tracing.shut_down()
    if isinstance(code, str):  # a message for the user, as in sys.exit
        print(code, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code & 0xFF if isinstance(code, int) else int(code is not None))


def _withdraw_metrics(pid: int) -> None:
    """Remove the gauges of a process, which a scrape would merge with those of the live workers."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid)  # type: ignore[no-untyped-call]


def choose_temporary_directory(memory: Path = Path("/dev/shm")) -> None:
    """Use ``memory`` for temporary files if no ordinary directory is writable, as on a read-only root file system.

    Raises:
        SystemExit: if ``memory`` is not writable either. The message says what to mount.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        if not os.access(memory, os.W_OK):
            raise SystemExit(
                f"webhook: no writable directory for its counters and its certificate: /tmp and {memory} are "
                "read-only; mount an emptyDir at /tmp, or name a writable directory in TMPDIR"
            ) from None
        tempfile.tempdir = str(memory)


class _Gunicorn(BaseApplication):  # type: ignore[misc]
    def __init__(self, options: Options) -> None:
        self._options = options
        self.peer_connections = options.peer_connections
        """Workers read it here, because they have only this object and gunicorn's settings."""
        # An invalid setting stops the process here, before it forks workers.
        from_environment(options.environment)
        Clients.from_environment(options.environment)
        self._configuration = load_configuration(options.kubeconfig)
        self.answer: DirectAnswer = lambda request, certificate, is_last: None
        """Answers requests in the worker's event loop. :meth:`load` sets it."""
        self._certificate: Certificate | None = None
        self.loads = Loads(2 * options.workers + 1)  # a reload starts new workers before the old ones stop
        super().__init__()

    def load_config(self) -> None:
        options = self._options
        settings: dict[str, Any] = {
            "bind": options.bind or f"{bracketed(every_address())}:{options.port}",
            "workers": options.workers,
            "worker_class": "webhook.worker.Worker",
            "threads": options.threads,
            # An API server closes an unused connection after 90 s. The webhook must not close it first.
            "keepalive": 120,
            "timeout": 60,
            "graceful_timeout": 25,
            "max_requests": 0,
            "worker_tmp_dir": "/dev/shm" if Path("/dev/shm").is_dir() else None,
            # gunicorn turns TLS on if this names a file. The certificate of each connection comes from `_context`.
            "certfile": os.devnull,
            "ssl_context": lambda _config, _default: self._context(),
            "loglevel": "warning",
            "logger_class": "webhook.gunicorn_log.GunicornLog",
            # Nothing uses the control socket, and a read-only file system refuses it.
            "control_socket_disable": True,
            "proc_name": "asya-webhook",
            "limit_request_line": 2048,
            "pre_fork": self._pre_fork,
            "when_ready": self._when_ready,
            "child_exit": self._child_exit,
        }
        for name, value in settings.items():
            if value is not None:
                self.cfg.set(name, value)

    def load(self) -> Any:
        """Create the application. Each worker calls this after its fork, because threads do not survive a fork."""
        from kube.client import Client
        from kube.watchdog import Watchdog
        from telemetry.metrics import build_version
        from telemetry.metrics.shared import BUILD
        from webhook import direct
        from webhook.actors import ActorCache
        from webhook.handler import Handler
        from webhook.tls import Certificate

        options = self._options
        tracing.configure("asya-operator-webhook", options.environment)
        clients = Clients.from_environment(options.environment)
        client = Client(
            self._configuration,
            read_timeout=READ_SECONDS,
            throttle=Throttle(options.client_qps, options.client_burst),
        )
        native_sidecars = has_native_sidecars(_version(client))
        defaults = from_environment(options.environment, native_sidecars=native_sidecars)
        cache = ActorCache(client, defaults, options.home, options.watch_namespaces)
        cache.start()
        watched = cache.informers
        loaded = self._certificate = Certificate(_note_validity, clients.authority)
        if options.certificate is not None and options.key is not None:
            certificate, key = options.certificate.read_bytes(), options.key.read_bytes()
            loaded.load(certificate, key, str(options.certificate))
        else:
            watched.append(loaded.watch(client, options.namespace, options.secret))
        # gunicorn replaces a worker whose watches are dead.
        Watchdog(lambda: watched, lambda why: os.kill(os.getpid(), signal.SIGTERM)).start()
        BUILD.labels(build_version()).set(1)

        def not_ready() -> str:
            return _not_ready(cache.is_synced, loaded.is_loaded)

        handler = Handler(cache.plan, defaults, cached=cache.cached_plan, clients=clients)
        self.answer = partial(direct.answer, handler, not_ready)
        # The worker has accepted no connection yet, so a slow start fails no request.
        _wait_while(not_ready)
        # These objects stay for the life of the process. Scanning them took 10 % of each request.
        gc.collect()
        gc.freeze()
        return _FlaskWhenNeeded(handler, not_ready)

    def _context(self) -> ssl.SSLContext:
        assert self._certificate is not None, "a worker accepts connections after it has loaded the application"
        return self._certificate.context()

    def _pre_fork(self, server: Any, worker: Any) -> None:
        # A new worker gets credentials that have changed since the start. The master reads them, because reading in
        # each worker would write into memory that all share.
        try:
            self._configuration = load_configuration(self._options.kubeconfig)
        except NoCluster as problem:
            log.error("credentials_kept", error=str(problem))  # the new worker uses those that were read last
        worker.slot = self.loads.free_slot({other.slot for other in server.WORKERS.values()})
        # Take all present objects out of the garbage collector's sight, for this process and the worker.
        gc.freeze()
        gc.enable()

    def _child_exit(self, _server: Any, worker: Any) -> None:
        self.loads.write(worker.slot, ABSENT)
        _withdraw_metrics(worker.pid)

    def _when_ready(self, _server: Any) -> None:
        from prometheus_client import CollectorRegistry
        from prometheus_client.multiprocess import MultiProcessCollector

        from telemetry.server import serve

        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        serve(every_address(), self._options.metrics_port, registry, {"/healthz": lambda: ""})


class _FlaskWhenNeeded:
    """The Flask application, imported and created at the first request that the event loop does not answer.

    Of API servers, only a large review or one about an actor that is not in the cache is such a request; of kubelets,
    none. Flask takes 9 MB in each process.
    """

    def __init__(self, handler: "Handler", not_ready: Callable[[], str]) -> None:
        self._handler, self._not_ready = handler, not_ready
        self._lock = threading.Lock()
        self._app: Any = None

    def __call__(self, environ: Any, start_response: Any) -> Any:
        with self._lock:
            if self._app is None:
                from webhook.app import create_app

                self._app = create_app(self._handler, self._not_ready)
        return self._app(environ, start_response)


def _note_validity(starts: datetime, expires: datetime) -> None:
    from telemetry.metrics.webhook import CERTIFICATE_EXPIRY, CERTIFICATE_LIFETIME

    CERTIFICATE_EXPIRY.set(expires.timestamp())
    CERTIFICATE_LIFETIME.set((expires - starts).total_seconds())


def _version(client: "Client") -> tuple[int, int]:
    """Return the version of Kubernetes. Wait for the API server; gunicorn replaces a worker that waits long."""
    from kube.failures import ApiError

    while True:
        try:
            return client.version()
        except ApiError as error:
            log.warning("api_unreachable", error=str(error))
            time.sleep(1)


def _wait_while(not_ready: Callable[[], str]) -> None:
    """Wait until the worker is ready, at most :data:`READY_SECONDS`. After that, ``/readyz`` reports the reason."""
    deadline = time.monotonic() + READY_SECONDS
    while not_ready() and time.monotonic() < deadline:
        time.sleep(0.01)


def _not_ready(is_synced: bool, loaded: bool) -> str:
    if not loaded:
        return "no certificate has been loaded yet"
    return "" if is_synced else "the list of AsyncActors has not arrived yet"
