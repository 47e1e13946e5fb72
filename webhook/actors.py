"""Where admission finds an actor's plan: a watch cache, and one live read when that may be behind.

A plan is made when its actor arrives and kept until the actor changes, so that a request costs a
look into a dictionary.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

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
from webhook.admission import NotCached, Wanted

log = structlog.get_logger(__name__)


REMEMBERED = 10_000
"""Deleted actors that are remembered, so that none rises from the answer to an earlier read."""


@dataclass(frozen=True)
class _Entry:
    obj: Object
    generation: int
    uid: str
    plan: Plan | InvalidActor


class ActorCache:
    """Plans of all actors of the cluster. Safe to use from several threads."""

    def __init__(self, client: Client, defaults: SidecarDefaults, home: str, namespaces: Sequence[str] = ()) -> None:
        """``home`` is the namespace whose ConfigMap tells which runtime script is current.

        Actors are those of ``namespaces``, or of all.
        """
        self._client, self._defaults = client, defaults
        self._lock = threading.Lock()
        """Held while entries, script and tombstones change, so that a plan is always of the script beside it."""
        self._entries: dict[Key, _Entry] = {}
        self._deleted: dict[str, None] = {}
        """Uids, oldest first."""
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
        """The watches that feed it."""
        return [self._scripts, self._informer]

    def start(self) -> None:
        """Start to watch."""
        for informer in self.informers:
            informer.start()

    @property
    def synced(self) -> bool:
        """Whether all actors are known, and the script."""
        return self._informer.synced and self._scripts.synced

    def cached_plan(self, wanted: Wanted) -> Plan:
        """The plan of the wanted actor, from memory.

        Raises:
            InvalidActor: if the actor is not valid.
            NotCached: if the actor is not in memory, or only in an older version.
        """
        entry = self._entries.get((wanted.namespace, wanted.actor))
        if entry is None or _stale(entry, wanted):
            raise NotCached
        return _valid(entry)

    def plan(self, wanted: Wanted) -> Plan | None:
        """The plan of the wanted actor, or None if there is no such actor. Reads from the API server if it must.

        Raises:
            InvalidActor: if the actor is not valid.
            ApiError: if the actor is not in the cache and cannot be read.
        """
        try:
            return self.cached_plan(wanted)
        except NotCached:
            live = self._client.get(ASYNC_ACTORS, wanted.namespace, wanted.actor)
        entry = self._remember(live) if live is not None else None
        return _valid(entry) if entry is not None else None  # None also if it was deleted during the read

    def _script_changed(self, config_map: Object, deleted: bool) -> None:
        if deleted:
            return  # it is made again, and until then the last one holds
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
            known = self._entries.get(key_of(obj))
            if known is not None and known.uid == uid:
                del self._entries[key_of(obj)]

    def _remember(self, obj: Object) -> _Entry | None:
        """The entry of an actor that was read or watched, or a newer one; None if it is deleted."""
        metadata, key = obj["metadata"], key_of(obj)
        generation, uid = metadata.get("generation", 0), metadata.get("uid", "")
        with self._lock:
            known = self._entries.get(key)
            if uid in self._deleted:
                return known
            if known is not None and known.uid == uid and known.generation > generation:
                return known
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


def _stale(entry: _Entry, wanted: Wanted) -> bool:
    return entry.generation < wanted.generation or bool(wanted.uid and entry.uid != wanted.uid)
