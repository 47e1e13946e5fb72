"""Decides which keys a change puts into the work queue.

A key is an actor's namespace and name. A key without a name stands for a namespace and its runtime ConfigMap.
"""

from controller.cluster.access import Cluster
from controller.cluster.parameters import is_intact
from controller.cluster.rollouts import Rollouts
from controller.cluster.runtime_maps import RuntimeMaps
from crds.names import KIND, LABEL_ACTOR
from kube.objects import Key, Object, key_of
from kube.workqueue import WorkQueue


class Triggers:
    """The callbacks of the watch caches."""

    cluster: Cluster
    rollouts: Rollouts
    runtime: RuntimeMaps

    def __init__(self, queue: WorkQueue[Key]) -> None:
        """``cluster``, ``rollouts`` and ``runtime`` need this object first, so the caller sets them before a start."""
        self._queue = queue

    def on_actor(self, actor: Object, deleted: bool) -> None:
        """An AsyncActor changed."""
        self._queue.add(key_of(actor))

    def on_owned(self, obj: Object, deleted: bool) -> None:
        """An owned or labelled object changed."""
        metadata = obj["metadata"]
        self.rollouts.observe(obj, deleted)
        scaled_job = self.cluster.scaled_job_of(obj)
        if scaled_job is not None and self.rollouts.holds(scaled_job["metadata"]["uid"]):
            self.rollouts.observe(scaled_job)
        names = {o["name"] for o in metadata.get("ownerReferences") or () if o.get("kind") == KIND}
        label = (metadata.get("labels") or {}).get(LABEL_ACTOR)
        for name in names | ({label} if label else set()):
            self._queue.add((metadata["namespace"], name))
        if self.runtime.is_affected_by(obj, deleted):
            self._queue.add((metadata["namespace"], ""))

    def on_config_map(self, config_map: Object, deleted: bool) -> None:
        """A runtime ConfigMap changed."""
        self._queue.add((config_map["metadata"]["namespace"], ""))

    def on_parameters(self, config_map: Object, deleted: bool) -> None:
        """The ConfigMap with KEDA's parameters changed: queue the namespace's actors, unless it has no drift.

        Without actors, queue the namespace itself: the last one may have gone while nobody watched.
        """
        namespace = config_map["metadata"]["namespace"]
        actors = [key for key in map(key_of, self.cluster.actors.all()) if key[0] == namespace]
        if deleted or not is_intact(config_map):
            for key in actors:
                self._queue.add(key)
        if not deleted and not actors:
            self._queue.add((namespace, ""))

    def on_everything(self) -> None:
        """Queue every actor and namespace: at a resync, when the script changes, when KEDA is installed or removed."""
        for namespace in self.runtime.namespaces():
            self._queue.add((namespace, ""))
        for actor in self.cluster.actors.all():
            self._queue.add(key_of(actor))
