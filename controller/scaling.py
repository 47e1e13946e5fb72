"""KEDA's objects for an actor: there while scaling is enabled, gone when it is not."""

from controller import desired, status
from controller.cluster import Cluster, Contested, Keda
from controller.status import Verdict
from crds.models import AsyncActor
from injection.settings import SidecarDefaults
from kube import events
from kube.client import ApiError, Object
from kube.informer import Informer, controller_of


class Scaling:
    """Makes each actor's KEDA objects what they should be."""

    def __init__(self, cluster: Cluster, defaults: SidecarDefaults) -> None:
        self._cluster, self._defaults = cluster, defaults

    def release(self, actor: AsyncActor) -> None:
        """Remove the KEDA objects of an actor that is not to be scaled, before its replicas are another's again.

        Raises:
            ApiError: if that fails.
        """
        keda = self._cluster.keda
        if keda is not None:
            self._remove(_identity(actor), keda.scaled_objects, keda.trigger_authentications)

    def ensure(self, actor: AsyncActor) -> Verdict:
        """Have the KEDA objects of ``actor``, whose scaling is enabled, exist as desired.

        The ScaledJob itself is the workload and is seen to with the others.

        Raises:
            ApiError: for a failure that says nothing of these objects.
        """
        keda = self._cluster.keda
        if keda is None:
            return status.keda_not_installed()
        try:
            return self._ensure_all(actor, keda)
        except Contested as contested:
            return contested.verdict
        except ApiError as error:
            if error.is_refusal:
                return status.scaler_refused(error.message)
            raise

    def _ensure_all(self, actor: AsyncActor, keda: Keda) -> Verdict:
        authentication = desired.trigger_authentication(actor)
        if authentication is None:
            self._remove(_identity(actor), keda.trigger_authentications)
        else:
            made = self._ensure(actor, keda.trigger_authentications, authentication)
            if isinstance(made, Verdict):
                return made
        if desired.scaled_by_job(actor):
            self._remove(_identity(actor), keda.scaled_objects)
            return self._verdict(actor, keda.scaled_jobs.get(actor.metadata.namespace, actor.metadata.name))
        made = self._ensure(actor, keda.scaled_objects, desired.scaled_object(actor, self._defaults))
        return made if isinstance(made, Verdict) else self._verdict(actor, made)

    def scaled_object(self, actor: AsyncActor) -> Object | None:
        """The actor's ScaledObject, or the ScaledJob in its place, if it has one."""
        keda: Keda | None = self._cluster.keda
        if keda is None:
            return None
        informer = keda.scaled_jobs if desired.scaled_by_job(actor) else keda.scaled_objects
        live = informer.get(actor.metadata.namespace, actor.metadata.name)
        return live if live is not None and controller_of(live) == actor.metadata.uid else None

    def remove_all(self, owner: tuple[str, str]) -> bool:
        """Delete every KEDA object of the actor of that namespace and uid; whether any is still there.

        Raises:
            ApiError: if that fails.
        """
        keda = self._cluster.keda
        return keda is not None and self._remove(owner, *keda.informers)

    def _ensure(self, actor: AsyncActor, informer: Informer, wanted: Object) -> Object | Verdict:
        """The object as desired; or, if one of that name is somebody else's, what that means."""
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        live = informer.get(actor.metadata.namespace, name)
        if live is None or controller_of(live) == actor.metadata.uid:
            return self._cluster.ensure(informer, live, wanted)
        going = desired.is_predecessors(live, actor)
        return status.predecessors(kind, name) if going else status.scaler_not_owned(kind, name)

    def _remove(self, owner: tuple[str, str], *informers: Informer) -> bool:
        """Delete what the actor of that namespace and uid owns there; whether there was anything."""
        left = [(informer, obj) for informer in informers for obj in informer.owned_by(*owner)]
        for informer, obj in left:
            self._cluster.delete(informer, obj)
        return bool(left)

    def _verdict(self, actor: AsyncActor, live: Object | None) -> Verdict:
        if live is None:
            return Verdict("Unknown", "ScaledJobMissing", "the ScaledJob could not be made, see WorkloadReady")
        told = self._events(live) if status.not_ready(live) else []
        return status.scaling_verdict(actor, self._defaults, live["kind"], live, told)

    def _events(self, live: Object) -> list[str]:
        metadata = live["metadata"]
        try:
            found = events.warnings(self._cluster.client, live["kind"], metadata["namespace"], metadata["name"])
        except ApiError as error:
            return [f"(its Events could not be read: {error.message})"]
        return [e.get("message", "") for e in found[-2:]]


def _identity(actor: AsyncActor) -> tuple[str, str]:
    return actor.metadata.namespace, actor.metadata.uid
