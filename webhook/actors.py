"""Where admission finds an actor's plan: a watch cache, and one live read when that may be behind.

A plan is made when its actor arrives and kept until the actor changes, so that a request costs a
look into a dictionary.
"""

from dataclasses import dataclass

import structlog

from crds.names import ANNOTATION_SCRIPT, RUNTIME_CONFIGMAP
from crds.parse import InvalidActor, parse_actor
from injection.plan import Plan, make_plan
from injection.settings import SidecarDefaults
from kube.client import ASYNC_ACTORS, CONFIG_MAPS, Client, Object
from kube.informer import Informer, Key, key_of
from webhook.admission import Wanted

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Entry:
    generation: int
    uid: str
    plan: Plan | InvalidActor


class ActorCache:
    """Plans of all actors of the cluster."""

    def __init__(self, client: Client, defaults: SidecarDefaults, home: str) -> None:
        """``home`` is the namespace whose ConfigMap tells which runtime script is current."""
        self._client, self._defaults = client, defaults
        self._entries: dict[Key, _Entry] = {}
        self._script = ""
        self._informer = Informer(client, ASYNC_ACTORS, self._changed)
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

    def plan(self, wanted: Wanted) -> Plan | None:
        """The plan of the wanted actor, or None if there is none.

        Raises:
            InvalidActor: if it is not valid.
            ApiError: if it is not in the cache and cannot be read.
        """
        entry = self._entries.get((wanted.namespace, wanted.actor))
        if entry is None or _stale(entry, wanted):
            live = self._client.get(ASYNC_ACTORS, wanted.namespace, wanted.actor)
            if live is None:
                return None
            entry = self._remember(live)
        if isinstance(entry.plan, InvalidActor):
            raise entry.plan
        return entry.plan

    def _script_changed(self, config_map: Object, deleted: bool) -> None:
        if deleted:
            return  # it is made again, and until then the last one holds
        script = (config_map["metadata"].get("annotations") or {}).get(ANNOTATION_SCRIPT, "")
        if script != self._script:
            self._script = script
            for obj in self._informer.all():
                self._remember(obj)

    def _changed(self, obj: Object, deleted: bool) -> None:
        if deleted:
            self._entries.pop(key_of(obj), None)
        else:
            self._remember(obj)

    def _remember(self, obj: Object) -> _Entry:
        metadata = obj["metadata"]
        known = self._entries.get(key_of(obj))
        entry = _Entry(metadata.get("generation", 0), metadata.get("uid", ""), self._plan(obj))
        if known is None or known.uid != entry.uid or known.generation <= entry.generation:
            self._entries[key_of(obj)] = entry
            return entry
        return known

    def _plan(self, obj: Object) -> Plan | InvalidActor:
        try:
            return make_plan(parse_actor(obj), self._defaults, self._script)
        except InvalidActor as invalid:
            log.warning("invalid_actor", actor="/".join(key_of(obj)), errors=invalid.errors)
            return invalid


def _stale(entry: _Entry, wanted: Wanted) -> bool:
    return entry.generation < wanted.generation or bool(wanted.uid and entry.uid != wanted.uid)
