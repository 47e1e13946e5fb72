"""KEDA's objects for an actor: there while scaling is enabled, gone when it is not."""

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
"""Between two reads of the Events about an object in trouble: while its conditions stay, and when they change."""
REMEMBERED = 5000


class Scaling:
    """Makes each actor's KEDA objects what they should be."""

    def __init__(self, cluster: Cluster, defaults: SidecarDefaults) -> None:
        self._cluster, self._defaults = cluster, defaults
        self._looks: dict[str, _Look] = {}
        """By uid of KEDA's object."""
        self._parameters = Parameters(cluster)

    def release(self, actor: AsyncActor) -> None:
        """Remove the KEDA objects of an actor that is not to be scaled, before its replicas are another's again.

        Raises:
            ApiError: if that fails.
        """
        installed = self._cluster.keda
        if installed is not None:
            self._remove(_identity(actor), installed.scaled_objects, installed.trigger_authentications)
            self._parameters.put(actor.metadata.namespace, actor.metadata.name, {})

    def ensure(self, actor: AsyncActor, before: Object) -> Verdict:
        """Have the KEDA objects of ``actor``, whose scaling is enabled, exist as desired.

        The ScaledJob itself is the workload and is seen to with the others.

        Args:
            actor: the actor.
            before: the condition ScalingReady so far.

        Raises:
            ApiError: for a failure that says nothing of these objects.
        """
        installed = self._cluster.keda
        if installed is None:
            return status.keda_not_installed()
        try:
            made = self._ensure_all(actor, installed)
        except Contested as contested:
            return contested.verdict
        except ApiError as error:
            if "custom resource definition is terminating" in error.message:
                return replace(status.keda_not_installed(), retry=status.UNWATCHED_SECONDS)
            if error.is_refusal:
                return status.scaler_refused(error.message)
            raise
        return made if isinstance(made, Verdict) else self._verdict(actor, made, before)

    def _ensure_all(self, actor: AsyncActor, installed: Keda) -> Object | Verdict:
        """The ScaledObject or ScaledJob, or what stands in its way."""
        entries, authentication = scalers.trigger_parameters(actor), scalers.trigger_authentication(actor)
        taken = self._parameters.put(actor.metadata.namespace, actor.metadata.name, entries)
        if taken is not None:
            return taken
        if authentication is None:
            self._remove(_identity(actor), installed.trigger_authentications)
        else:
            made = self._ensure(actor, installed.trigger_authentications, authentication)
            if isinstance(made, Verdict):
                return made
        if desired.scaled_by_job(actor):
            self._remove(_identity(actor), installed.scaled_objects)
            live = installed.scaled_jobs.get(actor.metadata.namespace, actor.metadata.name)
            missing = Verdict("Unknown", "ScaledJobMissing", "the ScaledJob could not be made, see WorkloadReady")
            return live if live is not None else missing
        return self._ensure(actor, installed.scaled_objects, scalers.scaled_object(actor, self._defaults))

    def scaled_object(self, actor: AsyncActor) -> Object | None:
        """The actor's ScaledObject, or the ScaledJob in its place, if it has one."""
        installed: Keda | None = self._cluster.keda
        if installed is None:
            return None
        informer = installed.scaled_jobs if desired.scaled_by_job(actor) else installed.scaled_objects
        live = informer.get(actor.metadata.namespace, actor.metadata.name)
        return live if live is not None and controller_of(live) == actor.metadata.uid else None

    def forget(self, key: Key) -> None:
        """The actor of that namespace and name is gone.

        Raises:
            ApiError: if something of it cannot be removed.
        """
        self._parameters.drop_orphaned(*key)

    def remove_all(self, namespace: str, name: str, uid: str) -> list[Object]:
        """Delete every KEDA object of the actor; those that were still there.

        Raises:
            ApiError: if that fails.
        """
        installed = self._cluster.keda
        if installed is None:
            return []
        left = self._remove(
            (namespace, uid), installed.scaled_objects, installed.scaled_jobs, installed.trigger_authentications
        )
        self._parameters.put(namespace, name, {})
        return left

    def _ensure(self, actor: AsyncActor, informer: Informer, wanted: Object) -> Object | Verdict:
        """The object as desired; or, if one of that name is somebody else's, what that means."""
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        live = informer.get(actor.metadata.namespace, name)
        relation = "owned" if live is None else ownership(live, actor.metadata.name, actor.metadata.uid)
        if relation in ("owned", "orphaned"):
            return self._cluster.ensure(informer, live, wanted)
        going = relation == "predecessor"
        return status.predecessors(kind, name) if going else status.scaler_not_owned(kind, name)

    def _remove(self, owner: tuple[str, str], *informers: Informer) -> list[Object]:
        """Delete what the actor of that namespace and uid owns there; what there was."""
        left = [(informer, obj) for informer in informers for obj in informer.owned_by(*owner)]
        for informer, obj in left:
            self._cluster.delete(informer, obj)
        return [obj for _, obj in left]

    def _verdict(self, actor: AsyncActor, live: Object, before: Object) -> Verdict:
        queue, now = queue_name(actor, self._defaults), datetime.now(UTC)
        if not keda.is_in_trouble(live):
            self._looks.pop(live["metadata"]["uid"], None)
            return keda.scaling_verdict(actor, queue, live, [], before, now)
        look = self._look(live)
        verdict = keda.scaling_verdict(actor, queue, live, look.messages, before, now)
        retry = max(0.1, look.at + EVENTS_SECONDS - time.monotonic())
        return replace(verdict, retry=retry if verdict.retry is None else min(verdict.retry, retry))

    def _look(self, live: Object) -> "_Look":
        """The last Events about KEDA's object, read every now and then and not at each change of its status."""
        uid, now = live["metadata"]["uid"], time.monotonic()
        conditions = tuple((c.get("type"), c.get("status"), c.get("reason")) for c in _conditions(live))
        last = self._looks.get(uid)
        if last is not None and now < last.at + (EVENTS_SECONDS if last.of == conditions else SOON_SECONDS):
            return last
        if len(self._looks) >= REMEMBERED:
            self._looks.clear()  # of objects that are gone, most likely
        look = self._looks[uid] = _Look(now, conditions, self._events(live))
        return look

    def _events(self, live: Object) -> list[str]:
        metadata = live["metadata"]
        try:
            recent = events.warnings(self._cluster.client, live["kind"], metadata["namespace"], metadata["name"])
        except ApiError as error:
            return [f"(its Events could not be read: {error.message})"]
        return [e.get("message", "") for e in recent[-2:]]


@dataclass(frozen=True)
class _Look:
    """What Events told of KEDA's object, when, and of which conditions."""

    at: float
    of: tuple[Any, ...]
    messages: list[str]


def _conditions(live: Object) -> list[Object]:
    return (live.get("status") or {}).get("conditions") or []


def _identity(actor: AsyncActor) -> tuple[str, str]:
    return actor.metadata.namespace, actor.metadata.uid
