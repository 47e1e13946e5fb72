"""The reconcilers' access to the cluster: one watch cache per resource, and writes that update the cache at once.

The operator applies an object only if the live one differs. Some differences stay: the API server or admission keeps
a field as it is. After one such try the object counts as settled. The operator applies it again only when the live or
the desired object changes.
"""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from controller.cluster.references import References
from controller.rules import status
from controller.rules.remedies import remedy
from controller.rules.slim import PACKED, pack, unpack
from controller.rules.status import Verdict
from controller.rules.trim import trim_job
from crds.names import ANNOTATION_APPLIED, KEDA_API_VERSION, KEDA_CONFIGMAP, LABEL_ACTOR, RUNTIME_CONFIGMAP
from kube import resources
from kube.client import Client
from kube.compare import contains
from kube.contests import Backoff, Contests
from kube.failures import ApiError
from kube.informer import Informer
from kube.informers import make_informer
from kube.objects import Key, Object, annotation, controller_of

WORKLOADS = (
    resources.DEPLOYMENTS,
    resources.STATEFUL_SETS,
    resources.DAEMON_SETS,
    resources.JOBS,
    resources.CRON_JOBS,
)

Changed = Callable[[Object, bool], None]
"""A callback for each change: the object, and whether it was deleted."""


class Contested(ApiError):
    """Another writer keeps changing an object of the operator's. ``retry_after`` is the backoff in seconds."""

    def __init__(self, obj: Object, retry_after: float) -> None:
        kind, name = obj["kind"], obj["metadata"]["name"]
        problem = (
            f"another writer keeps changing the {kind} {name!r}; the operator changes it back, less and less often"
        )
        message = f"{problem}. {remedy('Contested', kind=kind.lower(), name=name)}"
        super().__init__(409, "Contested", message, retry_after)

    @property
    def verdict(self) -> Verdict:
        """The verdict for the actor's status."""
        return status.contested(self.message, self.retry_after)


class Keda:
    """Watch caches of KEDA's resources; they exist while the API server serves them."""

    def __init__(
        self, client: Client, on_change: Changed, on_parameters: Changed, namespaces: Sequence[str] = ()
    ) -> None:
        watch = partial(make_informer, client, on_change=on_change, namespaces=namespaces)
        self.scaled_objects = watch(resources.SCALED_OBJECTS)
        self.scaled_jobs = watch(resources.SCALED_JOBS, index_label=LABEL_ACTOR)
        self.references = References()

        def authentication_changed(obj: Object, deleted: bool) -> None:
            self.references.observe(obj, deleted)
            on_change(obj, deleted)

        self.trigger_authentications = watch(resources.TRIGGER_AUTHENTICATIONS, on_change=authentication_changed)
        self.parameters = watch(
            resources.CONFIG_MAPS, on_change=on_parameters, field_selector=f"metadata.name={KEDA_CONFIGMAP}"
        )
        """The ConfigMaps with the parameters of TriggerAuthentications that are not secret."""
        self.informers = (self.scaled_objects, self.scaled_jobs, self.trigger_authentications, self.parameters)


class Pods:
    """The pods of all actors, reduced by :mod:`controller.rules.slim`."""

    def __init__(self, client: Client, on_change: Callable[[Key], None], namespaces: Sequence[str] = ()) -> None:
        self._on_change = on_change
        self._hashes: dict[str, int] = {}
        """By uid: a hash of the reduced pod. A change of a pod that does not change the hash queues nothing."""
        self.informer = make_informer(
            client,
            resources.PODS,
            self._changed,
            label_selector=LABEL_ACTOR,
            index_label=LABEL_ACTOR,
            reduce=pack,
            namespaces=namespaces,
        )

    def labelled(self, namespace: str, actor: str) -> list[Object]:
        """The pods that carry that actor's label."""
        return [unpack(pod) for pod in self.informer.labelled(namespace, actor)]

    def _changed(self, pod: Object, deleted: bool) -> None:
        metadata, after = pod["metadata"], hash(pod[PACKED])
        before = self._hashes.pop(metadata["uid"], None)
        if not deleted:
            self._hashes[metadata["uid"]] = after
        if deleted or before != after:
            self._on_change((metadata["namespace"], metadata["labels"].get(LABEL_ACTOR, "")))


class Cluster:
    """The watch caches of the controller, and its writes. Call :meth:`start`, then wait for ``is_synced``."""

    def __init__(
        self,
        client: Client,
        on_actor: Changed,
        on_owned: Changed,
        on_config_map: Changed,
        on_pod: Callable[[Key], None],
        on_keda: Callable[[], None],
        *,
        namespaces: Sequence[str] = (),
        home: str = "",
        on_parameters: Changed = lambda obj, deleted: None,
    ) -> None:
        """Watch ``namespaces``, or all if empty. The runtime ConfigMap of the namespace ``home`` is always watched."""
        self.client, self._namespaces = client, tuple(namespaces)
        self._on_owned, self._on_keda, self._on_parameters = on_owned, on_keda, on_parameters
        self.actors = make_informer(client, resources.ASYNC_ACTORS, on_actor, namespaces=namespaces)
        self.workloads = {
            resource.kind: make_informer(
                client,
                resource,
                on_owned,
                label_selector=LABEL_ACTOR,
                index_label=LABEL_ACTOR,
                reduce=trim_job if resource is resources.JOBS else None,
                namespaces=namespaces,
            )
            for resource in WORKLOADS
        }
        self.config_maps = make_informer(
            client,
            resources.CONFIG_MAPS,
            on_config_map,
            field_selector=f"metadata.name={RUNTIME_CONFIGMAP}",
            namespaces=tuple(dict.fromkeys([*namespaces, home])) if namespaces else (),
        )
        self.pods = Pods(client, on_pod, namespaces)
        self.keda: Keda | None = None
        self._settled: dict[tuple[str, str], tuple[Any, ...]] = {}
        """By kind and uid: the state of an object that still differed from the desired one after an apply."""
        self._contests = Contests()

    @property
    def injectable(self) -> list[Informer]:
        """The caches of every kind that admission injects; ScaledJobs only while the cluster has KEDA."""
        return [*self.workloads.values(), *([self.keda.scaled_jobs] if self.keda else ())]

    @property
    def informers(self) -> list[Informer]:
        """All caches that run."""
        keda = self.keda.informers if self.keda else ()
        return [self.actors, *self.workloads.values(), self.config_maps, self.pods.informer, *keda]

    def start(self) -> None:
        """Start to watch all but KEDA's resources; :meth:`discover_keda` starts those."""
        for informer in (self.actors, *self.workloads.values(), self.config_maps, self.pods.informer):
            informer.start()

    @property
    def is_synced(self) -> bool:
        """Whether all caches are filled."""
        return all(informer.is_synced for informer in self.informers)

    def discover_keda(self, timeout: float = 10.0) -> None:
        """Watch KEDA's resources while the API server serves them, and stop when it no longer does.

        Args:
            timeout: seconds to wait until each cache has its first list.

        Raises:
            ApiError: if the API server does not answer.
        """
        served = self.client.serves(KEDA_API_VERSION, resources.SCALED_OBJECTS.plural)
        if served and self.keda is None:
            keda = Keda(self.client, self._on_owned, self._on_parameters, self._namespaces)
            for informer in keda.informers:
                informer.start()
            if not all(informer.wait(timeout) for informer in keda.informers):
                for informer in keda.informers:
                    informer.stop()
                return  # KEDA's CRDs are not established yet; the next call tries again
            self.keda = keda
            self._on_keda()
        elif not served and self.keda is not None:
            for informer in self.keda.informers:
                informer.stop()
            self.keda = None
            self._on_keda()

    def get(self, informer: Informer, namespace: str, name: str) -> Object | None:
        """The object from the cache; if it is not there, from the API, since a cache may hold labelled objects only."""
        obj = informer.get(namespace, name)
        return obj if obj is not None else self.client.get(informer.resource, namespace, name)

    def jobs_of(self, scaled_job: Object) -> list[Object]:
        """The Jobs that KEDA made for a ScaledJob; they carry its labels."""
        metadata = scaled_job["metadata"]
        actor = (metadata.get("labels") or {}).get(LABEL_ACTOR, "")
        jobs = self.workloads["Job"].labelled(metadata["namespace"], actor)
        return [job for job in jobs if controller_of(job) == metadata["uid"]]

    def scaled_job_of(self, job: Object) -> Object | None:
        """The ScaledJob for which KEDA made ``job``; None if ``job`` is another Job or no Job."""
        if job["kind"] != "Job" or self.keda is None:
            return None
        owners = job["metadata"].get("ownerReferences") or ()
        name = next((o["name"] for o in owners if o.get("kind") == "ScaledJob" and o.get("controller")), "")
        scaled_job = self.keda.scaled_jobs.get(job["metadata"]["namespace"], name) if name else None
        return scaled_job if scaled_job is not None and scaled_job["metadata"]["uid"] == controller_of(job) else None

    def ensure(self, informer: Informer, live: Object | None, desired: Object) -> Object:
        """Apply ``desired`` unless ``live`` holds it already.

        Returns:
            The object after the write.

        Raises:
            Contested: if another writer keeps changing it. The operator may have changed it back just now, or not.
            ApiError: if the API server refuses it.
        """
        if live is not None and self.is_current(live, desired):
            current = live
        else:
            current = self._apply(informer, live, desired)
        pause = self._contests.contested(current["metadata"]["uid"])
        if pause:
            raise Contested(desired, pause)
        return current

    def is_current(self, live: Object, desired: Object) -> bool:
        """Whether :meth:`ensure` would write nothing."""
        return holds(live, desired) or self._is_settled(live, desired)

    def _apply(self, informer: Informer, live: Object | None, desired: Object) -> Object:
        def write() -> Object:
            return self.client.apply(informer.resource, desired, uid=uid)

        uid = live["metadata"]["uid"] if live is not None else ""
        if live is not None and not controller_of(live):
            self._confirm_owner(desired)
        try:
            written = self._contests.restore(uid, _digest(desired), live, write)
        except Backoff as later:
            raise Contested(desired, later.seconds) from None
        informer.observe(written)
        identity = (informer.resource.kind, written["metadata"]["uid"])
        if holds(written, desired):
            self._settled.pop(identity, None)
        else:
            self._settled[identity] = _state(written, desired)
        return written

    def _confirm_owner(self, desired: Object) -> None:
        """Check with the API, not the cache, that the actor which adopts ``desired`` still exists.

        With ``--cascade=orphan``, garbage collection removes the owner references while the actor is deleted. The
        watch of the object may report that before the watch of the actor does. If the operator then set an owner
        reference to a deleted actor, garbage collection would delete the orphan.

        Raises:
            ApiError: a conflict, if the actor is deleted or being deleted, or a new one has its name.
        """
        for owner in desired["metadata"].get("ownerReferences") or ():
            actor = self.client.get(resources.ASYNC_ACTORS, desired["metadata"]["namespace"], owner["name"])
            if actor is None or actor["metadata"]["uid"] != owner["uid"] or actor["metadata"].get("deletionTimestamp"):
                kind, name = desired["kind"], desired["metadata"]["name"]
                message = f"the {kind} {name!r} is not adopted: the AsyncActor {owner['name']!r} is being deleted"
                raise ApiError(409, "Conflict", message)

    def delete(self, informer: Informer, obj: Object) -> None:
        """Delete ``obj``; a new object with its name is left alone."""
        metadata = obj["metadata"]
        if not metadata.get("deletionTimestamp"):
            self.client.delete(informer.resource, metadata["namespace"], metadata["name"], uid=metadata["uid"])
        self._settled.pop((informer.resource.kind, metadata["uid"]), None)

    def _is_settled(self, live: Object, desired: Object) -> bool:
        return self._settled.get((desired["kind"], live["metadata"]["uid"])) == _state(live, desired)


def holds(live: Object, desired: Object) -> bool:
    """Whether ``desired`` is what the operator applied last, by its digest, and ``live`` has no drift from it."""
    return _digest(live) == _digest(desired) and contains(live, desired)


def _digest(obj: Object) -> str:
    return annotation(obj, ANNOTATION_APPLIED)


def _state(live: Object, desired: Object) -> tuple[Any, ...]:
    """A value that changes with the live spec, the metadata that the operator sets, and the desired object."""
    metadata = live["metadata"]
    names = desired["metadata"]
    return (
        _digest(desired),
        metadata.get("generation"),
        *(contains(metadata.get(part), names.get(part)) for part in ("labels", "annotations", "ownerReferences")),
    )


class Locks:
    """One lock per name, created on first use."""

    def __init__(self) -> None:
        self._locks: dict[str, threading.Lock] = {}

    def __getitem__(self, name: str) -> threading.Lock:
        return self._locks.setdefault(name, threading.Lock())
