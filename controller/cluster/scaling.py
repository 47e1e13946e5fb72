"""KEDA's objects for an actor: the operator writes them while scaling is enabled, and else deletes them."""

import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from controller.cluster.access import Cluster, Contested, Keda
from controller.cluster.parameters import Parameters
from controller.rules import desired, keda, scalers, status
from controller.rules.status import Verdict
from crds.models import AsyncActor
from injection.generations import queue_name
from injection.ownership import ownership
from injection.settings import SidecarDefaults
from kube import events
from kube.failures import ApiError
from kube.informer import Informer
from kube.objects import Key, Object, controller_of

EVENTS_SECONDS, SOON_SECONDS = 30.0, 3.0
"""Seconds between two reads of Events about a failing object: while its conditions stay, and when they change."""
MAX_CACHED = 5000


class Scaling:
    """Writes each actor's KEDA objects and reads KEDA's conditions. Safe to use from several threads."""

    def __init__(self, cluster: Cluster, defaults: SidecarDefaults) -> None:
        self._cluster, self._defaults = cluster, defaults
        self._reads: dict[str, _EventsRead] = {}
        """By uid of KEDA's object: the last read of Events."""
        self._parameters = Parameters(cluster)

    def release(self, actor: AsyncActor) -> None:
        """Delete the KEDA objects of an actor whose scaling is disabled, before anything else sets its replicas.

        Raises:
            ApiError: if an object cannot be deleted.
        """
        installed = self._cluster.keda
        if installed is not None:
            self._remove(_identity(actor), installed.scaled_objects, installed.trigger_authentications)
            self._parameters.put(actor.metadata.namespace, actor.metadata.name, {})

    def ensure(self, actor: AsyncActor, before: Object) -> Verdict:
        """Write the KEDA objects of ``actor``, whose scaling is enabled; returns the condition ScalingReady.

        A ScaledJob is not written here: it is a workload.

        Args:
            actor: the actor.
            before: the condition ScalingReady so far.

        Raises:
            ApiError: for a failure that is not about these objects.
        """
        installed = self._cluster.keda
        if installed is None:
            return status.keda_not_installed()
        try:
            scaler = self._ensure_all(actor, installed)
        except Contested as contested:
            return contested.verdict
        except ApiError as error:
            if "custom resource definition is terminating" in error.message:
                return replace(status.keda_not_installed(), retry=status.UNWATCHED_SECONDS)
            if error.is_refusal:
                return status.scaler_refused(error.message)
            raise
        return scaler if isinstance(scaler, Verdict) else self._verdict(actor, scaler, before)

    def _ensure_all(self, actor: AsyncActor, installed: Keda) -> Object | Verdict:
        """The ScaledObject or ScaledJob; or a verdict if one of the objects belongs to another owner."""
        entries, authentication = scalers.trigger_parameters(actor), scalers.trigger_authentication(actor)
        not_owned = self._parameters.put(actor.metadata.namespace, actor.metadata.name, entries)
        if not_owned is not None:
            return not_owned
        if authentication is None:
            self._remove(_identity(actor), installed.trigger_authentications)
        else:
            written = self._ensure(actor, installed.trigger_authentications, authentication)
            if isinstance(written, Verdict):
                return written
        if desired.is_scaled_by_job(actor):
            self._remove(_identity(actor), installed.scaled_objects)
            live = installed.scaled_jobs.get(actor.metadata.namespace, actor.metadata.name)
            missing_verdict = Verdict("Unknown", "ScaledJobMissing", "the ScaledJob does not exist, see WorkloadReady")
            return live if live is not None else missing_verdict
        return self._ensure(actor, installed.scaled_objects, scalers.scaled_object(actor, self._defaults))

    def scaled_object(self, actor: AsyncActor) -> Object | None:
        """The actor's ScaledObject or ScaledJob; None if it owns none."""
        installed: Keda | None = self._cluster.keda
        if installed is None:
            return None
        informer = installed.scaled_jobs if desired.is_scaled_by_job(actor) else installed.scaled_objects
        live = informer.get(actor.metadata.namespace, actor.metadata.name)
        return live if live is not None and controller_of(live) == actor.metadata.uid else None

    def forget(self, key: Key) -> None:
        """Delete the parameters that only a deleted actor needed. Without a name: those that no actor needs.

        Raises:
            ApiError: if they cannot be deleted.
        """
        self._parameters.put(*key, {})

    def remove_all(self, namespace: str, name: str, uid: str) -> list[Object]:
        """Delete every KEDA object of the actor.

        Returns:
            The objects that still existed. KEDA's finalizer may keep them for some time.

        Raises:
            ApiError: if an object cannot be deleted.
        """
        installed = self._cluster.keda
        if installed is None:
            return []
        deleted = self._remove(
            (namespace, uid), installed.scaled_objects, installed.scaled_jobs, installed.trigger_authentications
        )
        self._parameters.put(namespace, name, {})
        return deleted

    def _ensure(self, actor: AsyncActor, informer: Informer, scaler: Object) -> Object | Verdict:
        """Apply one KEDA object; returns it, or a verdict if an object of that name belongs to another owner."""
        kind, name = scaler["kind"], scaler["metadata"]["name"]
        live = informer.get(actor.metadata.namespace, name)
        relation = "owned" if live is None else ownership(live, actor.metadata.name, actor.metadata.uid)
        if relation in ("owned", "orphaned"):
            return self._cluster.ensure(informer, live, scaler)
        if relation == "predecessor":
            return status.owned_by_predecessor(kind, name)
        return status.scaler_not_owned(kind, name)

    def _remove(self, owner: tuple[str, str], *informers: Informer) -> list[Object]:
        """Delete the objects of ``owner``, the namespace and uid of an actor, in these caches; returns them."""
        owned = [(informer, obj) for informer in informers for obj in informer.owned_by(*owner)]
        for informer, obj in owned:
            self._cluster.delete(informer, obj)
        return [obj for _, obj in owned]

    def _verdict(self, actor: AsyncActor, live: Object, before: Object) -> Verdict:
        """The condition ScalingReady from KEDA's conditions and, if scaling fails, from Events."""
        queue, now = queue_name(actor, self._defaults), datetime.now(UTC)
        if not keda.is_in_trouble(live):
            self._reads.pop(live["metadata"]["uid"], None)
            return keda.scaling_verdict(actor, queue, live, [], before, now)
        read = self._read_events(live)
        verdict = keda.scaling_verdict(actor, queue, live, read.messages, before, now)
        retry = max(0.1, read.time + EVENTS_SECONDS - time.monotonic())
        return replace(verdict, retry=retry if verdict.retry is None else min(verdict.retry, retry))

    def _read_events(self, live: Object) -> "_EventsRead":
        """The last Events about KEDA's object; from the cache until the next read is due."""
        uid, now = live["metadata"]["uid"], time.monotonic()
        conditions = tuple((c.get("type"), c.get("status"), c.get("reason")) for c in _conditions(live))
        last = self._reads.get(uid)
        if last is not None and now < last.time + (EVENTS_SECONDS if last.conditions == conditions else SOON_SECONDS):
            return last
        if len(self._reads) >= MAX_CACHED:
            self._reads.clear()  # most of them are about deleted objects
        read = self._reads[uid] = _EventsRead(now, conditions, self._events(live))
        return read

    def _events(self, live: Object) -> list[str]:
        metadata = live["metadata"]
        try:
            recent = events.list_warnings(self._cluster.client, live["kind"], metadata["namespace"], metadata["name"])
        except ApiError as error:
            return [f"(its Events could not be read: {error.message})"]
        return [e.get("message", "") for e in recent[-2:]]


@dataclass(frozen=True)
class _EventsRead:
    """The result of one read of Events about KEDA's object."""

    time: float
    """Time of the read, by the monotonic clock."""
    conditions: tuple[Any, ...]
    """KEDA's conditions at that time."""
    messages: list[str]


def _conditions(live: Object) -> list[Object]:
    return (live.get("status") or {}).get("conditions") or []


def _identity(actor: AsyncActor) -> tuple[str, str]:
    return actor.metadata.namespace, actor.metadata.uid
