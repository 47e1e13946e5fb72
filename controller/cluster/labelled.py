"""Every workload that bears an actor's label, whoever made it: re-injected when the actor's plan changes,
and let go when the actor does.

Re-injection is re-admission: an empty patch changes nothing by itself, but admission sees the workload
and answers with the present plan. A workload that is injected by that plan already is left alone. One that
comes back as it was, say because admission does not ask the webhook about its namespace, is tried ever more
slowly.
"""

import threading
import time
from dataclasses import dataclass, field

import structlog

from controller.cluster.access import Cluster
from controller.cluster.refused import Refused, state_of
from controller.cluster.rollouts import NoPlace, Rollouts
from controller.rules import status
from controller.rules.injected import UNKNOWN, digest, opted_out
from controller.rules.status import Verdict
from crds.names import ANNOTATION_REPLICAS_BEFORE, LABEL_ACTOR
from injection.access import map_of
from injection.ownership import RELEASED, RENEWED, ownership
from injection.plan import Plan
from kube.failures import ApiError
from kube.informer import Informer
from kube.objects import Key, Object
from kube.resources import Resource

log = structlog.get_logger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 600.0
"""Between two tries at a workload that does not come to be injected by the plan; each is three times the one before."""
PATIENT_TRIES = 3
"""After so many tries it is no matter of a cache that is a moment behind."""
WAITING_SECONDS = 10.0
"""For a place, though one that comes free wakes the actor."""
LOOK_SECONDS = 2.0
"""Between two looks at workloads that were let go and still roll over."""
REMEMBERED = 10_000


@dataclass
class Renewal:
    """The result of a re-injection of an actor's labelled workloads."""

    outdated: int = 0
    """Workloads that still have an earlier injection."""
    to_release: int = 0
    """Workloads that must be released when the actor is deleted."""
    refused: list[tuple[Object, Verdict]] = field(default_factory=list)
    retry: float | None = None

    def requeue_after(self, seconds: float | None) -> None:
        """Requeue the actor in ``seconds`` at the latest."""
        if seconds is not None:
            self.retry = seconds if self.retry is None else min(self.retry, seconds)


@dataclass
class Released:
    """Workloads that were let go, and whether others wait for a place to roll over in."""

    workloads: list[Object] = field(default_factory=list)
    waiting: bool = False


@dataclass(frozen=True)
class _Tries:
    """Re-admissions of a workload that did not bring it the plan it should have."""

    of: tuple[str, int]
    count: int
    until: float


class Labelled:
    """Finds and renews labelled workloads."""

    def __init__(self, cluster: Cluster, rollouts: Rollouts) -> None:
        self._cluster, self._rollouts = cluster, rollouts
        self._refused = Refused()
        self._tries: dict[str, _Tries] = {}
        self._let_go_of: dict[str, tuple[Resource, Key]] = {}
        """By uid: those that may still hold a place."""
        self._looked = 0.0
        self._lock = threading.Lock()

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

    def renew(self, key: Key, uid: str, plan: Plan, skip: str = "") -> Renewal:
        """Have all of them injected by ``plan``, as far as there are places to roll over in.

        Args:
            key: the actor.
            uid: its uid.
            plan: what they should be injected by.
            skip: uid of a workload that is seen to elsewhere.
        """
        renewal = Renewal()
        self._look_at_those_let_go()
        for informer, obj in self.find(key):
            relation = ownership(obj, key[1], uid)
            renewal.to_release += relation in RELEASED
            if relation not in RENEWED or obj["metadata"].get("deletionTimestamp") or opted_out(obj):
                continue
            if obj["kind"] == "Job" or digest(obj) in (plan.digest, UNKNOWN):
                continue
            renewal.outdated += 1
            if obj["metadata"]["uid"] != skip and self._readmit(informer, obj, key, plan, renewal):
                renewal.outdated -= 1
        return renewal

    def _readmit(self, informer: Informer, obj: Object, key: Key, plan: Plan, renewal: Renewal) -> bool:
        """Show the workload to admission; whether it is injected by the plan then."""
        uid, name = obj["metadata"]["uid"], obj["metadata"]["name"]
        of = plan.digest, obj["metadata"].get("generation", 0)
        write = plan.digest, state_of(obj)
        known = self._refused.find(uid, write)
        if known is not None:
            renewal.refused.append((obj, known))
            renewal.requeue_after(known.retry)
            return False
        before = self._tried(uid, of)
        if before is not None and time.monotonic() < before.until:
            self._unconverged(obj, renewal, before)
            return False
        try:
            result = self._rollouts.write(
                obj,
                key,
                lambda: self._cluster.client.merge_patch(informer.resource, key[0], name, {}, uid=uid),
                latest=lambda: informer.get(key[0], name),
            )
        except NoPlace:
            renewal.requeue_after(WAITING_SECONDS)
            return False
        except ApiError as error:
            if error.code == 404:
                return True  # gone meanwhile
            verdict = status.workload_refused(obj["kind"], name, error)
            if verdict is None:
                raise
            self._refused.remember(uid, write, verdict)
            renewal.refused.append((obj, verdict))
            renewal.requeue_after(verdict.retry)
            return False
        informer.observe(result)
        if digest(result) != plan.digest:
            of = plan.digest, result["metadata"].get("generation", 0)
            self._unconverged(result, renewal, self._remember(uid, of, before))
            return False
        with self._lock:
            self._tries.pop(uid, None)
        log.info("reinjected", kind=obj["kind"], namespace=key[0], name=name, actor=key[1])
        return True

    def _tried(self, uid: str, of: tuple[str, int]) -> _Tries | None:
        """The tries at the workload as it is, for the plan as it is."""
        with self._lock:
            tries = self._tries.get(uid)
        return tries if tries is not None and tries.of == of else None

    def _remember(self, uid: str, of: tuple[str, int], before: _Tries | None) -> _Tries:
        count = before.count + 1 if before is not None else 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 3.0 ** (count - 1))
        with self._lock:
            if len(self._tries) >= REMEMBERED:
                self._tries.clear()  # of workloads that are gone, most likely
            tries = self._tries[uid] = _Tries(of, count, time.monotonic() + pause)
        return tries

    def _unconverged(self, obj: Object, renewal: Renewal, tries: _Tries) -> None:
        pause = max(0.1, tries.until - time.monotonic())
        renewal.requeue_after(pause)
        if tries.count >= PATIENT_TRIES:
            kind, name = obj["kind"], obj["metadata"]["name"]
            make = status.workload_not_injected if digest(obj) is None else status.workload_outdated
            renewal.refused.append((obj, make(kind, name, pause)))

    def release(self, key: Key, uid: str, *, injected_only: bool = False) -> Released:
        """Take the actor's label off those that only bear it, so that admission takes the sidecar out.

        What an actor owns, or one of its name owned, is left to garbage collection, and orphans stay as they are.
        ``injected_only`` spares those that wait for an actor that does not exist yet.

        Raises:
            ApiError: if one could not be changed.
        """
        released = Released()
        self._look_at_those_let_go()
        for informer, obj in self.find(key, live=not injected_only):
            if ownership(obj, key[1], uid) not in RELEASED or (injected_only and digest(obj) is None):
                continue
            if obj["metadata"].get("deletionTimestamp"):
                continue
            try:
                informer.observe(self._let_go(informer, obj, key))
            except NoPlace:
                released.waiting = True
                continue
            except ApiError as error:
                if error.code == 404 or error.namespace_is_going:
                    continue
                raise
            released.workloads.append(obj)
        return released

    def _let_go(self, informer: Informer, obj: Object, key: Key) -> Object:
        name, uid = obj["metadata"]["name"], obj["metadata"]["uid"]
        patch: Object = {"metadata": {"labels": {LABEL_ACTOR: None}}}
        if ANNOTATION_REPLICAS_BEFORE in map_of(obj, "annotations"):
            patch["metadata"]["annotations"] = {ANNOTATION_REPLICAS_BEFORE: None}
        with self._lock:
            self._let_go_of[uid] = informer.resource, (key[0], name)
        return self._rollouts.write(
            obj,
            key,
            lambda: self._cluster.client.merge_patch(informer.resource, key[0], name, patch, uid=uid),
            rolls=lambda: digest(obj) is not None,
            latest=None,  # it leaves the watch's selection with its label
        )

    def _look_at_those_let_go(self) -> None:
        """Have the places that come free again of those that no watch tells of; asked for by whoever waits."""
        now = time.monotonic()
        with self._lock:
            if not self._let_go_of or now < self._looked + LOOK_SECONDS:
                return
            self._looked = now
            released = list(self._let_go_of.items())
        for uid, (resource, key) in released:
            live = self._cluster.client.get(resource, *key) if self._rollouts.holds(uid) else None
            if live is not None and live["metadata"]["uid"] == uid:
                self._rollouts.observe({"kind": resource.kind, **live})
            else:
                self._rollouts.give_back(uid)
            if not self._rollouts.holds(uid):
                with self._lock:
                    self._let_go_of.pop(uid, None)
