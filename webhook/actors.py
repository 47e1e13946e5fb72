"""Finds an actor's plan for admission: in a watch cache, or by one read from the API server if the cache may be stale.

The cache computes a plan when the watch delivers the actor, and keeps it until the actor changes. A request then costs
only a dictionary lookup.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from crds.names import ANNOTATION_SCRIPT, LABEL_MANAGED_BY, OPERATOR, RUNTIME_CONFIGMAP
from crds.parse import InvalidActor, parse_actor
from injection.inject import map_of
from injection.plan import Plan, make_plan
from injection.settings import SidecarDefaults
from kube.client import Client
from kube.informer import Informer
from kube.informers import make_informer
from kube.objects import Key, Object, key_of
from kube.resources import ASYNC_ACTORS, CONFIG_MAPS
from telemetry.logs import log
from webhook.admission import NotCached, PlanRequest

REMEMBERED = 10_000
"""Number of deleted uids to remember. The response to an earlier read must not bring a deleted actor back."""


@dataclass(frozen=True)
class _Entry:
    obj: Object
    generation: int
    uid: str
    plan: Plan | InvalidActor


class ActorCache:
    """The plans of all watched actors. All methods are thread-safe.

    Args:
        client: a client of the API server.
        defaults: the operator's settings for sidecars.
        home: the operator's namespace. Its ConfigMap names the current runtime script.
        namespaces: the namespaces of the actors. Empty for all namespaces.
    """

    def __init__(self, client: Client, defaults: SidecarDefaults, home: str, namespaces: Sequence[str] = ()) -> None:
        self._client, self._defaults = client, defaults
        self._lock = threading.Lock()
        """Protects ``_entries``, ``_script`` and ``_deleted``, so that each plan matches the current script."""
        self._entries: dict[Key, _Entry] = {}
        self._deleted: dict[str, None] = {}
        """Uids of the last deleted actors, oldest first."""
        self._script = ""
        self._informer = make_informer(client, ASYNC_ACTORS, self._changed, namespaces=namespaces)
        self._scripts = Informer(
            client,
            CONFIG_MAPS,
            self._script_changed,
            field_selector=f"metadata.name={RUNTIME_CONFIGMAP}",
            namespace=home,
        )

    @property
    def informers(self) -> list[Informer]:
        """The informers that update the cache."""
        return [self._scripts, self._informer]

    def start(self) -> None:
        """Start the informers."""
        for informer in self.informers:
            informer.start()

    @property
    def is_synced(self) -> bool:
        """Whether the first lists of actors and of the script have arrived."""
        return self._informer.is_synced and self._scripts.is_synced

    def cached_plan(self, wanted: PlanRequest) -> Plan:
        """Return the plan of the wanted actor from the cache.

        Raises:
            InvalidActor: the actor is invalid.
            NotCached: the cache does not have the actor, or has only an older version.
        """
        entry = self._entries.get((wanted.namespace, wanted.actor))
        if entry is None or _is_stale(entry, wanted):
            raise NotCached
        return _valid(entry)

    def plan(self, wanted: PlanRequest) -> Plan | None:
        """Return the plan of the wanted actor, or None if the actor does not exist.

        The method reads from the API server if the cache does not have the actor.

        Raises:
            InvalidActor: the actor is invalid.
            ApiError: the cache does not have the actor, and the API server returned an error.
        """
        try:
            return self.cached_plan(wanted)
        except NotCached:
            live = self._client.get(ASYNC_ACTORS, wanted.namespace, wanted.actor)
        entry = self._remember(live) if live is not None else None
        return _valid(entry) if entry is not None else None  # None also if the actor was deleted during the read

    def _script_changed(self, config_map: Object, deleted: bool) -> None:
        if deleted:
            return  # the controller creates it again, and until then the last script stays current
        is_ours = map_of(config_map, "labels").get(LABEL_MANAGED_BY) == OPERATOR
        script = map_of(config_map, "annotations").get(ANNOTATION_SCRIPT, "") if is_ours else ""
        with self._lock:
            if script != self._script:
                self._script = script
                self._entries = {k: replace(e, plan=self._plan(e.obj)) for k, e in self._entries.items()}

    def _changed(self, obj: Object, deleted: bool) -> None:
        if not deleted:
            self._remember(obj)
            return
        uid = obj["metadata"].get("uid", "")
        with self._lock:
            self._deleted[uid] = None
            if len(self._deleted) > REMEMBERED:
                del self._deleted[next(iter(self._deleted))]
            entry = self._entries.get(key_of(obj))
            if entry is not None and entry.uid == uid:
                del self._entries[key_of(obj)]

    def _remember(self, obj: Object) -> _Entry | None:
        """Add an actor unless the cache has a newer version of it. Return its entry, or None if it is deleted."""
        metadata, key = obj["metadata"], key_of(obj)
        generation, uid = metadata.get("generation", 0), metadata.get("uid", "")
        with self._lock:
            cached = self._entries.get(key)
            if uid in self._deleted:
                return cached
            if cached is not None and cached.uid == uid and cached.generation > generation:
                return cached
            entry = self._entries[key] = _Entry(obj, generation, uid, self._plan(obj))
            return entry

    def _plan(self, obj: Object) -> Plan | InvalidActor:
        try:
            return make_plan(parse_actor(obj), self._defaults, self._script)
        except InvalidActor as invalid:
            log.warning("invalid_actor", actor="/".join(key_of(obj)), errors=invalid.errors)
            return invalid


def _valid(entry: _Entry) -> Plan:
    if isinstance(entry.plan, InvalidActor):
        raise entry.plan
    return entry.plan


def _is_stale(entry: _Entry, wanted: PlanRequest) -> bool:
    return entry.generation < wanted.generation or bool(wanted.uid and entry.uid != wanted.uid)
