"""The work of a worker on a key: reconcile it, count the outcome, and requeue it if needed."""

import time

from controller.reconciler import Reconciler
from kube.failures import ApiError
from kube.objects import Key
from kube.workqueue import WorkQueue
from telemetry import tracing
from telemetry.logs import log
from telemetry.metrics.controller import RECONCILE_SECONDS, RECONCILES

UNWELL_SECONDS = 5.0
"""The longest backoff of a key while the API server does not work."""


def handle(reconciler: Reconciler, queue: WorkQueue[Key], key: Key) -> None:
    """Reconcile ``key``. Logs and retries every failure."""
    started = time.perf_counter()
    try:
        with tracing.span("reconcile") as span:
            outcome = _reconcile(reconciler, queue, key)
            span.set(namespace=key[0], actor=key[1], outcome=outcome)
        if outcome:
            RECONCILES.labels(outcome).inc()
    finally:
        RECONCILE_SECONDS.observe(time.perf_counter() - started)


def _reconcile(reconciler: Reconciler, queue: WorkQueue[Key], key: Key) -> str:
    """Reconcile ``key`` and requeue it if needed; returns the outcome, empty if this process does not lead."""
    try:
        pause = reconciler.reconcile(key)
    except ApiError as error:
        if error.reason == "NotLeading":
            queue.retry(key)  # if this process gets the lease back, no other process has handled the key
            return ""
        if error.is_namespace_terminating:
            queue.forget(key)
            return "success"
        # A short backoff: while the API server is down, the throttle holds requests back. Once it answers, the key
        # must not wait long.
        pause = queue.retry(key, UNWELL_SECONDS if error.is_server_unwell else None)
        log.warning("reconcile_failed", namespace=key[0], actor=key[1], error=str(error), retry_in=round(pause, 2))
        return "error"
    except Exception:
        pause = queue.retry(key)
        log.exception("reconcile_crashed", namespace=key[0], actor=key[1], retry_in=round(pause, 2))
        return "error"
    if pause is None:
        queue.forget(key)
        return "success"
    queue.recheck_later(key, pause)
    return "waiting"
