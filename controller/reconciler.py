"""One reconcile: from what an AsyncActor asks for and what the cluster holds to writes and a status.

Level-triggered: nothing is remembered between two reconciles but what saves work, so it does not
matter which event led here, or how many were missed.
"""

from collections.abc import Callable

import structlog

from controller import desired, events, status
from controller.cluster import Cluster
from controller.runtime_maps import RuntimeMaps
from controller.scaling import Scaling
from controller.status import Observation, Verdict
from controller.workloads import Found, Workloads
from crds.models import AsyncActor
from crds.parse import InvalidActor, parse_actor
from kube.client import ASYNC_ACTORS, ApiError, Object
from kube.informer import Key

log = structlog.get_logger(__name__)

Readiness = Callable[[Key, str | None], None]
"""Told each actor's ``Ready``, or None when it is gone."""


class Reconciler:
    """Reconciles actors and, for keys without a name, namespaces. Safe to use from several threads."""

    def __init__(
        self,
        cluster: Cluster,
        workloads: Workloads,
        scaling: Scaling,
        runtime: RuntimeMaps,
        identity: str,
        on_readiness: Readiness = lambda key, ready: None,
    ) -> None:
        self._cluster, self._workloads, self._scaling, self._runtime = cluster, workloads, scaling, runtime
        self._identity, self._on_readiness = identity, on_readiness

    def reconcile(self, key: Key) -> float | None:
        """Reconcile ``key``; seconds after which at the latest to do so again, None if a watch will tell.

        Raises:
            ApiError: if the API could not be read or written; to be tried again.
        """
        namespace, name = key
        if not name:
            self._runtime.reconcile(namespace)
            return None
        obj = self._cluster.actors.get(namespace, name)
        if obj is None:
            self._on_readiness(key, None)
            self._runtime.reconcile(namespace)
            return None
        if obj["metadata"].get("deletionTimestamp"):
            return None
        seen = self._observe(obj)
        self._report(obj, seen)
        pauses = [v.retry for v in (seen.workload, seen.scaling, seen.runtime) if v is not None and v.retry is not None]
        return min(pauses, default=None)

    def _observe(self, obj: Object) -> Observation:
        try:
            actor = parse_actor(obj)
        except InvalidActor as invalid:
            return Observation(status.invalid_spec(invalid.errors), None, self._runtime_verdict(obj))
        runtime = self._runtime_verdict(obj)
        self._scaling.release(actor)
        found = self._workloads.ensure(actor)
        scaling = self._scale(actor, found)
        return Observation(found.verdict, scaling, runtime, found.live, self._scaling.exists(actor))

    def _scale(self, actor: AsyncActor, found: Found) -> Verdict | None:
        if not actor.spec.scaling.enabled:
            return None
        if found.verdict.status != "True" and self._cluster.keda is not None and not desired.scaled_by_job(actor):
            return Verdict("Unknown", "WaitingForWorkload", "scaling is set up once the workload is, see WorkloadReady")
        return self._scaling.ensure(actor)

    def _runtime_verdict(self, obj: Object) -> Verdict:
        return self._runtime.ensure(obj["metadata"]["namespace"])

    def _report(self, obj: Object, seen: Observation) -> None:
        metadata, before = obj["metadata"], obj.get("status") or {}
        after = status.status_of(metadata, seen, before, events.timestamp())
        key = (metadata["namespace"], metadata["name"])
        self._on_readiness(key, next(c["status"] for c in after["conditions"] if c["type"] == status.READY))
        if after == before:
            return
        patch = {**dict.fromkeys(before), **after}
        try:
            written = self._cluster.client.merge_patch(ASYNC_ACTORS, *key, {"status": patch}, subresource="status")
        except ApiError as error:
            if error.code == 404:
                return  # deleted meanwhile
            raise
        self._cluster.actors.observe(written)
        changed = status.changes(before, after)
        if changed:
            log.info(
                "conditions",
                namespace=key[0],
                actor=key[1],
                **{c["type"]: f"{c['status']}/{c['reason']}" for c in changed},
            )
            events.record(self._cluster.client, events.transitions(obj, changed, self._identity))
