"""The ConfigMap ``asya-runtime`` in every namespace with an actor or a labelled workload.

A pod mounts only its own namespace's, and one that was injected needs it for as long as it may be started again.
"""

from collections.abc import Iterator

import structlog

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

log = structlog.get_logger(__name__)


class RuntimeMaps:
    """Keeps them, and takes them away with the last that needs them.

    ``home`` is a namespace that always has one, or empty.
    """

    def __init__(self, cluster: Cluster, source: Source, home: str) -> None:
        self._cluster, self._source, self._home = cluster, source, home
        self._locks = Locks()
        self._foreign: set[str] = set()
        """Namespaces whose ConfigMap of that name is somebody else's."""
        self._taken: str | None = None
        """Of a source that may move: what was taken from it first, and is kept until the settings name another."""

    @property
    def script(self) -> str:
        """What stands for the current script in a plan's digest; empty if there is none.

        Admission reads it from the ConfigMap of the operator's namespace, and has none where that is a foreign one.
        """
        if self._home in self._foreign:
            return ""
        script = self._current()
        return script_hash(script) if script is not None else _hash(self._stored())

    def _note(self, namespace: str, *, is_foreign: bool) -> None:
        if is_foreign:
            self._foreign.add(namespace)
        else:
            self._foreign.discard(namespace)

    def _current(self) -> str | None:
        """The source's script; but where that may change without anybody's decision, the one that was taken before."""
        script = self._source.script
        if script is None or not self._source.moves_to or not self._cluster.config_maps.synced:
            return script
        if self._taken is None:
            stored = self._stored()
            is_same = map_of(stored, "annotations").get(ANNOTATION_SCRIPT_ORIGIN) == self._source.identity
            self._taken = (_script(stored) if is_same else None) or script
        return self._taken

    def _stored(self) -> Object:
        """What an operator before this one stored. Pods and admission go by it while the source has none."""
        return self._cluster.config_maps.get(self._home, RUNTIME_CONFIGMAP) or {}

    def ensure(self, namespace: str) -> Verdict:
        """Have the current script in ``namespace``.

        Raises:
            ApiError: for a failure that says nothing of the ConfigMap.
        """
        script, problem = self._current(), self._source.problem
        moves_to = self._source.moves_to
        if script is None:
            script = _script(self._stored())
        if script is None:
            message = f"there is no runtime script: {problem}. {remedy('RuntimeUnavailable')}"
            return false("RuntimeUnavailable", message, phase="ConfigError")
        with self._locks[namespace]:
            informer = self._cluster.config_maps
            live = self._cluster.get(informer, namespace, RUNTIME_CONFIGMAP)
            self._note(namespace, is_foreign=live is not None and not _ours(live))
            if live is not None and not _ours(live):
                message = f"the ConfigMap {RUNTIME_CONFIGMAP!r} of this namespace is not the operator's"
                do = remedy("ConfigMapNotOwned")
                return false("ConfigMapNotOwned", f"{message}. {do}", UNWATCHED_SECONDS, "ConfigError")
            origin = self._source.identity if moves_to else ""
            try:
                self._cluster.ensure(informer, live, runtime_config_map(namespace, script, origin))
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
            message = f"the last good runtime script is in use, since: {problem}"
            return false("RuntimeSourceFailed", f"{message}. {remedy('RuntimeSourceFailed')}")
        if moves_to:
            message = f"the runtime script of {self._source.origin} is not pinned"
            if self._source.script not in (None, script):
                message += ", and another one is there now, which is not taken by itself"
            return true("RuntimeNotPinned", f"{message}. To pin it, or to take what is there now: {moves_to}")
        return true("ConfigMapCreated", f"the ConfigMap {RUNTIME_CONFIGMAP!r} holds the runtime script")

    def reconcile(self, namespace: str) -> float | None:
        """Have the script in ``namespace`` if that is needed there, and else have it removed.

        Returns:
            Seconds after which at the latest to do so again, None if a watch will tell.

        Raises:
            ApiError: if that fails.
        """
        if self._needed(namespace):
            return self.ensure(namespace).retry
        with self._locks[namespace]:
            live = self._cluster.config_maps.get(namespace, RUNTIME_CONFIGMAP)
            if live is not None and _ours(live) and not self._needed(namespace):
                self._cluster.delete(self._cluster.config_maps, live)
        return None

    def namespaces(self) -> set[str]:
        """Every namespace that has the ConfigMap or should have it."""
        namespaces = {obj["metadata"]["namespace"] for obj in self._cluster.config_maps.all()}
        namespaces |= {obj["metadata"]["namespace"] for obj in self._users()}
        return namespaces | ({self._home} if self._home else set())

    def changes_with(self, workload: Object, deleted: bool) -> bool:
        """Whether a ``workload`` that came, changed or went may change what its namespace needs."""
        known = self._cluster.config_maps.get(workload["metadata"]["namespace"], RUNTIME_CONFIGMAP) is not None
        return deleted or _labelled(workload) != known

    def _users(self) -> Iterator[Object]:
        yield from self._cluster.actors.all()
        for informer in self._cluster.injectable:
            yield from filter(_labelled, informer.all())

    def _needed(self, namespace: str) -> bool:
        return namespace == self._home or any(obj["metadata"]["namespace"] == namespace for obj in self._users())


def _hash(config_map: Object) -> str:
    return str(map_of(config_map, "annotations").get(ANNOTATION_SCRIPT, ""))


def _script(config_map: Object) -> str | None:
    """The script in a ConfigMap of ours, unless somebody has changed it since."""
    script = (config_map.get("data") or {}).get(RUNTIME_KEY)
    return script if script is not None and script_hash(script) == _hash(config_map) else None


def _labelled(workload: Object) -> bool:
    return LABEL_ACTOR in map_of(workload, "labels")


def _ours(config_map: Object) -> bool:
    return map_of(config_map, "labels").get(LABEL_MANAGED_BY) == OPERATOR
