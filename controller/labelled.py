"""Every workload that bears an actor's label, whoever made it: re-injected when the actor's plan changes,
and let go when the actor does.

Re-injection is re-admission: an empty patch changes nothing by itself, but admission sees the workload
and answers with the present plan. A workload that is injected by that plan already is left alone.
"""

from dataclasses import dataclass, field

import structlog

from controller import status
from controller.cluster import Cluster
from controller.rollouts import Rollouts
from controller.status import Verdict
from crds.names import LABEL_ACTOR
from injection.inject import disabled, read_record
from injection.kinds import KINDS
from injection.plan import Plan
from kube.client import ApiError, Object
from kube.informer import Informer, Key, controller_of

log = structlog.get_logger(__name__)

_KIND_OF = {kind.name: kind for kind in KINDS.values()}

LATE_SECONDS = 1.0
"""When admission answered with an older plan: how soon its cache will have caught up."""
WAITING_SECONDS = 10.0
"""For a place, though one that comes free wakes the actor."""


@dataclass
class Census:
    """What became of an actor's labelled workloads."""

    outdated: int = 0
    """Those that are still to be re-injected."""
    foreign: int = 0
    """Those that the actor does not own."""
    refused: list[tuple[Object, Verdict]] = field(default_factory=list)
    retry: float | None = None

    def again(self, seconds: float | None) -> None:
        """Look again in ``seconds`` at the latest."""
        if seconds is not None:
            self.retry = seconds if self.retry is None else min(self.retry, seconds)


class Labelled:
    """Finds and renews labelled workloads."""

    def __init__(self, cluster: Cluster, rollouts: Rollouts) -> None:
        self._cluster, self._rollouts = cluster, rollouts

    def find(self, key: Key, *, live: bool = False) -> list[tuple[Informer, Object]]:
        """All workloads that bear the label of the actor ``key``, with the caches they are from.

        ``live`` asks the API instead, which also knows those that no watch has told of yet.
        """
        informers = self._cluster.injectable
        if not live:
            return [(informer, obj) for informer in informers for obj in informer.labelled(*key)]
        namespace, name = key
        return [
            (informer, {"kind": informer.resource.kind, **obj})
            for informer in informers
            for obj in self._cluster.client.list(informer.resource, namespace, labelSelector=f"{LABEL_ACTOR}={name}")
        ]

    def renew(self, key: Key, uid: str, plan: Plan, skip: str = "") -> Census:
        """Have all of them injected by ``plan``, as far as there are places to roll over in.

        Args:
            key: the actor.
            uid: its uid.
            plan: what they should be injected by.
            skip: uid of a workload that is seen to elsewhere.
        """
        census = Census()
        for informer, obj in self.find(key):
            owned = controller_of(obj) == uid
            census.foreign += not owned
            if obj["metadata"].get("deletionTimestamp") or opted_out(obj):
                continue
            if obj["kind"] == "Job" or digest(obj) == plan.digest:
                continue
            census.outdated += 1
            if obj["metadata"]["uid"] != skip and self._readmit(informer, obj, key, plan, census):
                census.outdated -= 1
        return census

    def _readmit(self, informer: Informer, obj: Object, key: Key, plan: Plan, census: Census) -> bool:
        """Show the workload to admission; whether it is injected by the plan then."""
        uid = obj["metadata"]["uid"]
        if not self._rollouts.take(uid, key):
            census.again(WAITING_SECONDS)
            return False
        try:
            result = self._cluster.client.merge_patch(informer.resource, key[0], obj["metadata"]["name"], {})
        except ApiError as error:
            self._rollouts.give_back(uid)
            if error.code == 404:
                return True  # gone meanwhile
            verdict = status.workload_refused(obj["kind"], obj["metadata"]["name"], error)
            if verdict is None:
                raise
            census.refused.append((obj, verdict))
            census.again(verdict.retry)
            return False
        informer.observe(result)
        if digest(result) != plan.digest:
            self._rollouts.give_back(uid)
            census.again(LATE_SECONDS)
            return False
        self._rollouts.started(result)
        # It may have rolled out, or have gone, before this answer was read; what the watch told then was for nobody.
        latest = informer.get(key[0], obj["metadata"]["name"])
        self._rollouts.seen(latest or result, deleted=latest is None)
        log.info("reinjected", kind=obj["kind"], namespace=key[0], name=obj["metadata"]["name"], actor=key[1])
        return True

    def release(self, key: Key, uid: str, *, injected_only: bool = False) -> list[Object]:
        """Take the actor's label off those that it does not own, so that admission takes the sidecar out; these.

        ``injected_only`` spares those that wait for an actor that does not exist yet.

        Raises:
            ApiError: if one could not be changed.
        """
        released = []
        for informer, obj in self.find(key, live=not injected_only):
            if controller_of(obj) == uid != "" or (injected_only and digest(obj) is None):
                continue
            patch = {"metadata": {"labels": {LABEL_ACTOR: None}}}
            try:
                informer.observe(
                    self._cluster.client.merge_patch(informer.resource, key[0], obj["metadata"]["name"], patch)
                )
            except ApiError as error:
                if error.code == 404 or error.namespace_is_going:
                    continue
                raise
            released.append(obj)
        return released


def digest(workload: Object) -> str | None:
    """Digest of the plan that the workload's template was injected by, if it was."""
    record = read_record(_KIND_OF[workload["kind"]].template(workload) or {})
    return record.digest if record is not None else None


def opted_out(workload: Object) -> bool:
    """Whether the workload or its template says ``asya.io/inject: disabled``."""
    return disabled(workload) or disabled(_KIND_OF[workload["kind"]].template(workload) or {})
