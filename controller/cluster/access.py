"""What the reconcilers see of the cluster: a watch cache a resource, and writes that these know at once.

Objects are applied only where the live one does not hold what is wanted. Where the API server or
admission keeps a field different from what was applied, for good reasons of its own, that is noticed
after one try and not tried again until something changes.
"""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from controller.rules import status
from controller.rules.remedies import remedy
from controller.rules.slim import PACKED, pack, unpack
from controller.rules.status import Verdict
from controller.rules.trim import trim_job
from crds.names import ANNOTATION_APPLIED, KEDA_API_VERSION, KEDA_CONFIGMAP, LABEL_ACTOR, RUNTIME_CONFIGMAP
from kube import resources
from kube.client import Client
from kube.compare import contains
from kube.contests import Contests, NotYet
from kube.failures import ApiError
from kube.informer import Informer
from kube.informers import watching
from kube.objects import Key, Object, annotation, controller_of

WORKLOADS = (
    resources.DEPLOYMENTS,
    resources.STATEFUL_SETS,
    resources.DAEMON_SETS,
    resources.JOBS,
    resources.CRON_JOBS,
)

Changed = Callable[[Object, bool], None]
"""Called with each object that changed, and whether it was deleted."""


class Contested(ApiError):
    """Another writer keeps changing an object of ours; ``retry_after`` is when it is the object's turn again."""

    def __init__(self, obj: Object, retry_after: float) -> None:
        kind, name = obj["kind"], obj["metadata"]["name"]
        problem = f"something else keeps changing the {kind} {name!r}, and the operator puts it right ever more slowly"
        message = f"{problem}. {remedy('Contested', kind=kind.lower(), name=name)}"
        super().__init__(409, "Contested", message, retry_after)

    @property
    def verdict(self) -> Verdict:
        """What a status says of it."""
        return status.contested(self.message, self.retry_after)


class Keda:
    """KEDA's resources, while the cluster has them."""

    def __init__(
        self, client: Client, on_change: Changed, on_parameters: Changed, namespaces: Sequence[str] = ()
    ) -> None:
        watch = partial(watching, client, on_change=on_change, namespaces=namespaces)
        self.scaled_objects = watch(resources.SCALED_OBJECTS)
        self.scaled_jobs = watch(resources.SCALED_JOBS, index_label=LABEL_ACTOR)
        self.trigger_authentications = watch(resources.TRIGGER_AUTHENTICATIONS)
        self.parameters = watch(
            resources.CONFIG_MAPS, on_change=on_parameters, field_selector=f"metadata.name={KEDA_CONFIGMAP}"
        )
        """What the operator's TriggerAuthentications name that is no secret."""
        self.informers = (self.scaled_objects, self.scaled_jobs, self.trigger_authentications, self.parameters)


class Pods:
    """The pods of all actors, each as little as :mod:`controller.rules.slim` leaves of it."""

    def __init__(self, client: Client, on_change: Callable[[Key], None], namespaces: Sequence[str] = ()) -> None:
        self._on_change = on_change
        self._hashes: dict[str, int] = {}
        """By uid, of what is kept, since most changes of a pod are of something else."""
        self.informer = watching(
            client,
            resources.PODS,
            self._changed,
            label_selector=LABEL_ACTOR,
            index_label=LABEL_ACTOR,
            reduce=pack,
            namespaces=namespaces,
        )

    def labelled(self, namespace: str, actor: str) -> list[Object]:
        """Those that bear the label of that actor."""
        return [unpack(pod) for pod in self.informer.labelled(namespace, actor)]

    def _changed(self, pod: Object, deleted: bool) -> None:
        metadata, after = pod["metadata"], hash(pod[PACKED])
        before = self._hashes.pop(metadata["uid"], None)
        if not deleted:
            self._hashes[metadata["uid"]] = after
        if deleted or before != after:
            self._on_change((metadata["namespace"], metadata["labels"].get(LABEL_ACTOR, "")))


class Cluster:
    """Watch caches of everything the controller deals with. Start it, and wait until it is synced."""

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
        """Of ``namespaces``, or of all; with the runtime ConfigMap of ``home`` besides."""
        self.client, self._namespaces = client, tuple(namespaces)
        self._on_owned, self._on_keda, self._on_parameters = on_owned, on_keda, on_parameters
        self.actors = watching(client, resources.ASYNC_ACTORS, on_actor, namespaces=namespaces)
        self.workloads = {
            resource.kind: watching(
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
        self.config_maps = watching(
            client,
            resources.CONFIG_MAPS,
            on_config_map,
            field_selector=f"metadata.name={RUNTIME_CONFIGMAP}",
            namespaces=tuple(dict.fromkeys([*namespaces, home])) if namespaces else (),
        )
        self.pods = Pods(client, on_pod, namespaces)
        self.keda: Keda | None = None
        self._settled: dict[tuple[str, str], tuple[Any, ...]] = {}
        self._contests = Contests()

    @property
    def injectable(self) -> list[Informer]:
        """Those of every kind that is injected, KEDA's own while there is one."""
        return [*self.workloads.values(), *([self.keda.scaled_jobs] if self.keda else ())]

    @property
    def informers(self) -> list[Informer]:
        """All that are running."""
        keda = self.keda.informers if self.keda else ()
        return [self.actors, *self.workloads.values(), self.config_maps, self.pods.informer, *keda]

    def start(self) -> None:
        """Start to watch, KEDA's resources too if the API server serves them."""
        for informer in (self.actors, *self.workloads.values(), self.config_maps, self.pods.informer):
            informer.start()

    @property
    def synced(self) -> bool:
        """Whether all caches are filled."""
        return all(informer.synced for informer in self.informers)

    def discover_keda(self, timeout: float = 10.0) -> None:
        """Start or stop watching KEDA's resources, as the API server has come to serve them or no longer does.

        Raises:
            ApiError: if the API server cannot be asked.
        """
        served = self.client.serves(KEDA_API_VERSION, resources.SCALED_OBJECTS.plural)
        if served and self.keda is None:
            keda = Keda(self.client, self._on_owned, self._on_parameters, self._namespaces)
            for informer in keda.informers:
                informer.start()
            if not all(informer.wait(timeout) for informer in keda.informers):
                for informer in keda.informers:
                    informer.stop()
                return  # its resources are still being established; looked for again
            self.keda = keda
            self._on_keda()
        elif not served and self.keda is not None:
            for informer in self.keda.informers:
                informer.stop()
            self.keda = None
            self._on_keda()

    def get(self, informer: Informer, namespace: str, name: str) -> Object | None:
        """The object, from the cache or, as the cache may hold labelled ones only, from the API."""
        obj = informer.get(namespace, name)
        return obj if obj is not None else self.client.get(informer.resource, namespace, name)

    def jobs_of(self, scaled_job: Object) -> list[Object]:
        """The Jobs that KEDA made for a ScaledJob; they bear its labels."""
        metadata = scaled_job["metadata"]
        actor = (metadata.get("labels") or {}).get(LABEL_ACTOR, "")
        jobs = self.workloads["Job"].labelled(metadata["namespace"], actor)
        return [job for job in jobs if controller_of(job) == metadata["uid"]]

    def scaled_job_of(self, job: Object) -> Object | None:
        """The ScaledJob that KEDA made an object for, if it is such a Job."""
        if job["kind"] != "Job" or self.keda is None:
            return None
        owners = job["metadata"].get("ownerReferences") or ()
        name = next((o["name"] for o in owners if o.get("kind") == "ScaledJob" and o.get("controller")), "")
        scaled_job = self.keda.scaled_jobs.get(job["metadata"]["namespace"], name) if name else None
        return scaled_job if scaled_job is not None and scaled_job["metadata"]["uid"] == controller_of(job) else None

    def ensure(self, informer: Informer, live: Object | None, desired: Object) -> Object:
        """Apply ``desired`` unless ``live`` holds it; the object as it is then.

        Raises:
            Contested: if another writer keeps changing it, whether that was put right just now or not.
            ApiError: if the API server refuses it.
        """
        if live is not None and self.is_as(live, desired):
            result = live
        else:
            result = self._put(informer, live, desired)
        pause = self._contests.contested(result["metadata"]["uid"])
        if pause:
            raise Contested(desired, pause)
        return result

    def is_as(self, live: Object, desired: Object) -> bool:
        """Whether nothing would be written to make ``live`` what is desired."""
        return holds(live, desired) or self._is_settled(live, desired)

    def _put(self, informer: Informer, live: Object | None, desired: Object) -> Object:
        def write() -> Object:
            return self.client.apply(informer.resource, desired, uid=uid)

        uid = live["metadata"]["uid"] if live is not None else ""
        if live is not None and not controller_of(live):
            self._confirm_owner(desired)
        try:
            result = self._contests.restore(uid, _digest(desired), live, write)
        except NotYet as later:
            raise Contested(desired, later.seconds) from None
        informer.observe(result)
        identity = (informer.resource.kind, result["metadata"]["uid"])
        if holds(result, desired):
            self._settled.pop(identity, None)
        else:
            self._settled[identity] = _state(result, desired)
        return result

    def _confirm_owner(self, desired: Object) -> None:
        """Read the actor that is to adopt an object, past the cache.

        Garbage collection takes owner references off while an actor is deleted with ``--cascade=orphan``. The
        change of the object may reach its watch before that of the actor does. An owner reference to an actor
        that is gone would have the orphan deleted.

        Raises:
            ApiError: a conflict, if the actor is gone, is being deleted, or is another of its name.
        """
        for owner in desired["metadata"].get("ownerReferences") or ():
            actor = self.client.get(resources.ASYNC_ACTORS, desired["metadata"]["namespace"], owner["name"])
            if actor is None or actor["metadata"]["uid"] != owner["uid"] or actor["metadata"].get("deletionTimestamp"):
                kind, name = desired["kind"], desired["metadata"]["name"]
                message = f"the {kind} {name!r} is not adopted: the AsyncActor {owner['name']!r} is being deleted"
                raise ApiError(409, "Conflict", message)

    def delete(self, informer: Informer, obj: Object) -> None:
        """Delete ``obj``, and no other of its name."""
        metadata = obj["metadata"]
        if not metadata.get("deletionTimestamp"):
            self.client.delete(informer.resource, metadata["namespace"], metadata["name"], uid=metadata["uid"])
        self._settled.pop((informer.resource.kind, metadata["uid"]), None)

    def _is_settled(self, live: Object, desired: Object) -> bool:
        return self._settled.get((desired["kind"], live["metadata"]["uid"])) == _state(live, desired)


def holds(live: Object, desired: Object) -> bool:
    """Whether ``desired``, with its digest, is what was applied last and is still there."""
    return _digest(live) == _digest(desired) and contains(live, desired)


def _digest(obj: Object) -> str:
    return annotation(obj, ANNOTATION_APPLIED)


def _state(live: Object, desired: Object) -> tuple[Any, ...]:
    """Changes when the spec, the metadata that we set, or what is wanted does."""
    metadata = live["metadata"]
    names = desired["metadata"]
    return (
        _digest(desired),
        metadata.get("generation"),
        *(contains(metadata.get(part), names.get(part)) for part in ("labels", "annotations", "ownerReferences")),
    )


class Locks:
    """A lock a name, made when first asked for."""

    def __init__(self) -> None:
        self._locks: dict[str, threading.Lock] = {}

    def __getitem__(self, name: str) -> threading.Lock:
        return self._locks.setdefault(name, threading.Lock())
