"""Whether a workload that exists as desired also runs: its own conditions and, while it is not ready, its pods.

No watch tells of a pod's troubles, so as long as some are not ready they are looked at every now and then.
"""

from controller import pods
from controller.cluster import Cluster
from controller.phase import Replicas, replicas_of
from controller.status import Verdict, false
from controller.workloads import Found
from crds.models import AsyncActor
from crds.names import LABEL_ACTOR
from kube.client import EVENTS, PODS, Object

SOON_SECONDS, LATER_SECONDS = 5.0, 30.0
"""Between two looks at pods that are not ready, at first and once they have not been for :data:`LONG_SECONDS`."""
LONG_SECONDS = 60.0
ASKED = 3
"""Pods whose Events are read, at most: what keeps one from starting keeps its siblings."""


class Health:
    """Looks after the pods of actors' workloads."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def examine(self, actor: AsyncActor, found: Found) -> tuple[Verdict, Replicas | None]:
        """The verdict on the workload with its pods taken into account, and how many there are.

        Raises:
            ApiError: if pods or Events cannot be read.
        """
        live = found.live
        if live is None:
            return found.verdict, None
        namespace, name = actor.metadata.namespace, actor.metadata.name
        scaled = live["kind"] == "ScaledJob"
        jobs = self._cluster.workloads["Job"].labelled(namespace, name) if scaled else []
        replicas = replicas_of(live, jobs)
        if found.verdict.status != "True":
            return found.verdict, replicas
        failed = pods.own_trouble(live)
        if failed is not None:
            return false(failed.phase, failed.message, phase=failed.phase), replicas
        if replicas.completed or not replicas.current or replicas.ready >= max(replicas.current, replicas.desired):
            return found.verdict, replicas
        selector = f"{LABEL_ACTOR}={name}" if scaled else _selector(live)
        seen = self._cluster.client.list(PODS, namespace, labelSelector=selector)
        replicas = replicas_of(live, jobs, pods.unready_seconds(seen, pods.now()))
        retry = LATER_SECONDS if replicas.unready_seconds >= LONG_SECONDS else SOON_SECONDS
        trouble = pods.trouble(seen, self._events(namespace, pods.starting(seen)))
        if trouble is not None:
            return false(trouble.phase, trouble.message, retry, trouble.phase), replicas
        return Verdict("True", found.verdict.reason, found.verdict.message, retry), replicas

    def _events(self, namespace: str, names: list[str]) -> list[Object]:
        return [
            event
            for name in names[:ASKED]
            for event in self._cluster.client.list(
                EVENTS, namespace, fieldSelector=f"involvedObject.kind=Pod,involvedObject.name={name},type=Warning"
            )
        ]


def _selector(live: Object) -> str:
    labels = ((live["spec"].get("selector") or {}).get("matchLabels") or {}).items()
    return ",".join(f"{key}={value}" for key, value in sorted(labels))
