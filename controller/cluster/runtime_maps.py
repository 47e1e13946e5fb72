"""The ConfigMap ``asya-runtime`` with the runtime script, in every namespace with an actor or a labelled workload.

A pod can mount a ConfigMap of its own namespace only. An injected pod needs the ConfigMap as long as it may restart.
"""

from collections.abc import Iterator
from functools import lru_cache

from controller.cluster.access import Cluster, Contested, Locks
from controller.rules.desired import runtime_config_map
from controller.rules.remedies import remedy
from controller.rules.status import UNWATCHED_SECONDS, Verdict, false, true
from controller.script.source import Source
from crds.names import (
    ANNOTATION_SCRIPT,
    ANNOTATION_SCRIPT_ORIGIN,
    LABEL_ACTOR,
    LABEL_MANAGED_BY,
    OPERATOR,
    RUNTIME_CONFIGMAP,
    RUNTIME_KEY,
)
from injection.inject import map_of
from injection.plan import script_hash
from kube.failures import ApiError
from kube.objects import Object
from telemetry.logs import log


class RuntimeMaps:
    """Writes the ConfigMaps, and deletes those that no object needs. Safe to use from several threads.

    The namespace ``home`` always has one, unless it is empty.
    """

    def __init__(self, cluster: Cluster, source: Source, home: str) -> None:
        self._cluster, self._source, self._home = cluster, source, home
        self._locks = Locks()
        self._foreign: set[str] = set()
        """Namespaces with a ConfigMap of that name that is not the operator's."""
        self._pinned: str | None = None
        """The first script from a source that is not pinned. It stays in use until the settings name another source."""

    @property
    def script(self) -> str:
        """The hash of the current script, which is part of a plan's digest; empty if there is no script.

        Admission reads the hash from the ConfigMap of the operator's namespace. If that ConfigMap is foreign, admission
        has no hash, so there is none here either.
        """
        if self._home in self._foreign:
            return ""
        script = self._current()
        return script_hash(script) if script is not None else _hash(self._stored())

    def _set_foreign(self, namespace: str, *, is_foreign: bool) -> None:
        if is_foreign:
            self._foreign.add(namespace)
        else:
            self._foreign.discard(namespace)

    def _current(self) -> str | None:
        """The script to use: the source's, or the pinned one if the source may change without a user's decision."""
        script = self._source.script
        if script is None or not self._source.how_to_pin or not self._cluster.config_maps.is_synced:
            return script
        if self._pinned is None:
            stored = self._stored()
            is_same = map_of(stored, "annotations").get(ANNOTATION_SCRIPT_ORIGIN) == self._source.identity
            self._pinned = (_script(stored) if is_same else None) or script
        return self._pinned

    def _stored(self) -> Object:
        """The ConfigMap of the home namespace. Its script is in use while the source has none, as after a restart."""
        return self._cluster.config_maps.get(self._home, RUNTIME_CONFIGMAP) or {}

    def ensure(self, namespace: str) -> Verdict:
        """Write the current script to the ConfigMap of ``namespace``; returns the condition RuntimeReady.

        Raises:
            ApiError: for a failure that is not about the ConfigMap.
        """
        script, problem = self._current(), self._source.problem
        how_to_pin = self._source.how_to_pin
        if script is None:
            script = _script(self._stored())
        if script is None:
            message = f"there is no runtime script: {problem}. {remedy('RuntimeUnavailable')}"
            return false("RuntimeUnavailable", message, phase="ConfigError")
        with self._locks[namespace]:
            informer = self._cluster.config_maps
            live = self._cluster.get(informer, namespace, RUNTIME_CONFIGMAP)
            self._set_foreign(namespace, is_foreign=live is not None and not _is_ours(live))
            if live is not None and not _is_ours(live):
                message = f"the ConfigMap {RUNTIME_CONFIGMAP!r} of this namespace is not the operator's"
                do = remedy("ConfigMapNotOwned")
                return false("ConfigMapNotOwned", f"{message}. {do}", UNWATCHED_SECONDS, "ConfigError")
            origin = self._source.identity if how_to_pin else ""
            try:
                self._cluster.ensure(informer, live, _config_map(namespace, script, origin))
            except Contested as contested:
                return contested.verdict
            except ApiError as error:
                if not error.is_refusal:
                    raise
                log.warning("script_refused", namespace=namespace, error=error.message)
                message = f"the API server refuses the ConfigMap {RUNTIME_CONFIGMAP!r}: {error.message}"
                do = remedy("ConfigMapRefused")
                return false("ConfigMapRefused", f"{message}. {do}", UNWATCHED_SECONDS, "ConfigError")
        if problem:
            message = f"the last good runtime script is in use, because the source fails: {problem}"
            return false("RuntimeSourceFailed", f"{message}. {remedy('RuntimeSourceFailed')}")
        if how_to_pin:
            message = f"the runtime script of {self._source.origin} is not pinned"
            if self._source.script not in (None, script):
                message += ", and the source has a different one now, which the operator does not take by itself"
            return true("RuntimeNotPinned", f"{message}. To pin the script that the source has now: {how_to_pin}")
        return true("ConfigMapCreated", f"the ConfigMap {RUNTIME_CONFIGMAP!r} holds the runtime script")

    def reconcile(self, namespace: str) -> float | None:
        """Write the ConfigMap of ``namespace`` if an object there needs it, else delete it.

        Returns:
            Seconds until the next reconcile at the latest; None if a watch reports every change.

        Raises:
            ApiError: if the ConfigMap cannot be read, written or deleted.
        """
        if self._is_needed(namespace):
            return self.ensure(namespace).retry
        with self._locks[namespace]:
            live = self._cluster.config_maps.get(namespace, RUNTIME_CONFIGMAP)
            if live is not None and _is_ours(live) and not self._is_needed(namespace):
                self._cluster.delete(self._cluster.config_maps, live)
        return None

    def namespaces(self) -> set[str]:
        """Every namespace that has the ConfigMap or needs it."""
        namespaces = {obj["metadata"]["namespace"] for obj in self._cluster.config_maps.all()}
        namespaces |= {obj["metadata"]["namespace"] for obj in self._users()}
        return namespaces | ({self._home} if self._home else set())

    def is_affected_by(self, workload: Object, deleted: bool) -> bool:
        """Whether its namespace may need the ConfigMap because of ``workload``, or may not need it any more."""
        exists = self._cluster.config_maps.get(workload["metadata"]["namespace"], RUNTIME_CONFIGMAP) is not None
        return deleted or _is_labelled(workload) != exists

    def _users(self) -> Iterator[Object]:
        """The objects that need the ConfigMap in their namespace."""
        yield from self._cluster.actors.all()
        for informer in self._cluster.injectable:
            yield from filter(_is_labelled, informer.all())

    def _is_needed(self, namespace: str) -> bool:
        return namespace == self._home or any(obj["metadata"]["namespace"] == namespace for obj in self._users())


_config_map = lru_cache(maxsize=1000)(runtime_config_map)
"""Each reconcile of a namespace compares the same ConfigMap, and its digest covers the whole script."""


def _hash(config_map: Object) -> str:
    return str(map_of(config_map, "annotations").get(ANNOTATION_SCRIPT, ""))


def _script(config_map: Object) -> str | None:
    """The script in the operator's ConfigMap; None if it has drift."""
    script = (config_map.get("data") or {}).get(RUNTIME_KEY)
    return script if script is not None and script_hash(script) == _hash(config_map) else None


def _is_labelled(workload: Object) -> bool:
    return LABEL_ACTOR in map_of(workload, "labels")


def _is_ours(config_map: Object) -> bool:
    return map_of(config_map, "labels").get(LABEL_MANAGED_BY) == OPERATOR
