"""Labelled workloads: re-injected when the actor's plan changes, released when the actor is deleted.

To re-inject a workload, the operator sends an empty patch. The patch itself changes nothing, but admission runs the
webhook, which injects the current plan. Workloads that have that plan are left alone. A workload may come back
unchanged, for example because admission does not call the webhook for its namespace. Then the next try follows with a
growing backoff.
"""

import threading
import time
from dataclasses import dataclass, field

from controller.cluster.access import Cluster
from controller.cluster.refused import Refused, state_of
from controller.cluster.rollouts import NoPlace, Rollouts
from controller.rules import status
from controller.rules.injected import UNKNOWN, digest, has_opted_out
from controller.rules.status import Verdict
from crds.names import ANNOTATION_REPLICAS_BEFORE, LABEL_ACTOR
from injection.access import map_of
from injection.ownership import RELEASED, RENEWED, ownership
from injection.plan import Plan
from kube.failures import ApiError
from kube.informer import Informer
from kube.objects import Key, Object
from kube.resources import Resource
from telemetry.logs import log

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 600.0
"""Seconds of backoff between two re-injections that do not bring the plan; each pause is three times the last."""
PATIENT_TRIES = 3
"""Number of tries after which the actor reports the workload. Earlier, a stale cache may be the cause."""
WAITING_SECONDS = 10.0
"""Seconds until an actor that waits for a place is requeued. A free place also wakes it at once."""
CHECK_SECONDS = 2.0
"""Seconds between two checks of released workloads that still roll over."""
MAX_CACHED = 10_000


@dataclass
class Renewal:
    """The result of a re-injection of an actor's labelled workloads."""

    outdated: int = 0
    """Workloads that still have an earlier plan."""
    to_release: int = 0
    """Workloads that must be released when the actor is deleted."""
    refused: list[tuple[Object, Verdict]] = field(default_factory=list)
    """Workloads that could not be re-injected, each with the reason."""
    retry: float | None = None
    """Seconds until the actor must be requeued at the latest."""

    def requeue_after(self, seconds: float | None) -> None:
        """Requeue the actor in ``seconds`` at the latest."""
        if seconds is not None:
            self.retry = seconds if self.retry is None else min(self.retry, seconds)


@dataclass
class Released:
    """The result of a release of an actor's labelled workloads."""

    workloads: list[Object] = field(default_factory=list)
    """Workloads that were released."""
    waiting: bool = False
    """Whether other workloads wait for a place."""


@dataclass(frozen=True)
class _Tries:
    """Re-injections of a workload that did not bring the plan."""

    state: tuple[str, int]
    """Digest of the plan, and the workload's generation."""
    count: int
    until: float
    """Time of the next try, by the monotonic clock."""


class Labelled:
    """Finds, re-injects and releases labelled workloads. Safe to use from several threads."""

    def __init__(self, cluster: Cluster, rollouts: Rollouts) -> None:
        self._cluster, self._rollouts = cluster, rollouts
        self._refused = Refused()
        self._tries: dict[str, _Tries] = {}
        self._released: dict[str, tuple[Resource, Key]] = {}
        """By uid: released workloads that may still hold a place. Without the label, no watch reports them."""
        self._last_check = 0.0
        self._lock = threading.Lock()

    def find(self, key: Key, *, live: bool = False) -> list[tuple[Informer, Object]]:
        """All workloads that carry the label of the actor ``key``, each with the cache of its kind.

        ``live`` reads them from the API instead of the caches, which may lag.
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
        """Re-inject the actor's labelled workloads that do not have ``plan``, as far as places are free.

        Args:
            key: the actor.
            uid: the actor's uid.
            plan: the current plan.
            skip: uid of a workload that the caller handles itself.

        Raises:
            ApiError: for a failure that is not about the workload.
        """
        renewal = Renewal()
        self._check_released()
        for informer, obj in self.find(key):
            relation = ownership(obj, key[1], uid)
            renewal.to_release += relation in RELEASED
            if relation not in RENEWED or obj["metadata"].get("deletionTimestamp") or has_opted_out(obj):
                continue
            if obj["kind"] == "Job" or digest(obj) in (plan.digest, UNKNOWN):
                continue
            renewal.outdated += 1
            if obj["metadata"]["uid"] != skip and self._readmit(informer, obj, key, plan, renewal):
                renewal.outdated -= 1
        return renewal

    def _readmit(self, informer: Informer, obj: Object, key: Key, plan: Plan, renewal: Renewal) -> bool:
        """Send the workload through admission; returns whether it has the plan afterwards."""
        uid, name = obj["metadata"]["uid"], obj["metadata"]["name"]
        state = plan.digest, obj["metadata"].get("generation", 0)
        write = plan.digest, state_of(obj)
        refusal = self._refused.find(uid, write)
        if refusal is not None:
            renewal.refused.append((obj, refusal))
            renewal.requeue_after(refusal.retry)
            return False
        before = self._tries_of(uid, state)
        if before is not None and time.monotonic() < before.until:
            self._report_unchanged(obj, renewal, before)
            return False
        try:
            written = self._rollouts.write(
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
                return True  # the workload is deleted
            verdict = status.workload_refused(obj["kind"], name, error)
            if verdict is None:
                raise
            self._refused.remember(uid, write, verdict)
            renewal.refused.append((obj, verdict))
            renewal.requeue_after(verdict.retry)
            return False
        informer.observe(written)
        if digest(written) != plan.digest:
            state = plan.digest, written["metadata"].get("generation", 0)
            self._report_unchanged(written, renewal, self._count_try(uid, state, before))
            return False
        with self._lock:
            self._tries.pop(uid, None)
        log.info("reinjected", kind=obj["kind"], namespace=key[0], name=name, actor=key[1])
        return True

    def _tries_of(self, uid: str, state: tuple[str, int]) -> _Tries | None:
        """The tries with this plan and generation of the workload; None if there was none."""
        with self._lock:
            tries = self._tries.get(uid)
        return tries if tries is not None and tries.state == state else None

    def _count_try(self, uid: str, state: tuple[str, int], before: _Tries | None) -> _Tries:
        count = before.count + 1 if before is not None else 1
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 3.0 ** (count - 1))
        with self._lock:
            if len(self._tries) >= MAX_CACHED:
                self._tries.clear()  # most of them are about deleted workloads
            tries = self._tries[uid] = _Tries(state, count, time.monotonic() + pause)
        return tries

    def _report_unchanged(self, obj: Object, renewal: Renewal, tries: _Tries) -> None:
        """Requeue the actor for the next try; after PATIENT_TRIES, report the workload as refused."""
        pause = max(0.1, tries.until - time.monotonic())
        renewal.requeue_after(pause)
        if tries.count >= PATIENT_TRIES:
            kind, name = obj["kind"], obj["metadata"]["name"]
            make = status.workload_not_injected if digest(obj) is None else status.workload_outdated
            renewal.refused.append((obj, make(kind, name, pause)))

    def release(self, key: Key, uid: str, *, injected_only: bool = False) -> Released:
        """Take the actor's label off its labelled workloads, so that admission un-injects them.

        Owned workloads, also those of an earlier actor of the same name, are left to garbage collection. Orphans stay
        as they are. ``injected_only`` skips workloads without a sidecar, which wait for their actor to be created.

        Raises:
            ApiError: if a workload cannot be changed.
        """
        released = Released()
        self._check_released()
        for informer, obj in self.find(key, live=not injected_only):
            if ownership(obj, key[1], uid) not in RELEASED or (injected_only and digest(obj) is None):
                continue
            if obj["metadata"].get("deletionTimestamp"):
                continue
            try:
                informer.observe(self._release(informer, obj, key))
            except NoPlace:
                released.waiting = True
                continue
            except ApiError as error:
                if error.code == 404 or error.is_namespace_terminating:
                    continue
                raise
            released.workloads.append(obj)
        return released

    def _release(self, informer: Informer, obj: Object, key: Key) -> Object:
        name, uid = obj["metadata"]["name"], obj["metadata"]["uid"]
        patch: Object = {"metadata": {"labels": {LABEL_ACTOR: None}}}
        if ANNOTATION_REPLICAS_BEFORE in map_of(obj, "annotations"):
            patch["metadata"]["annotations"] = {ANNOTATION_REPLICAS_BEFORE: None}
        with self._lock:
            self._released[uid] = informer.resource, (key[0], name)
        return self._rollouts.write(
            obj,
            key,
            lambda: self._cluster.client.merge_patch(informer.resource, key[0], name, patch, uid=uid),
            rolls=lambda: digest(obj) is not None,
            latest=None,  # without the label, the watch no longer selects it
        )

    def _check_released(self) -> None:
        """Free the places of released workloads that have rolled out, since no watch reports them."""
        now = time.monotonic()
        with self._lock:
            if not self._released or now < self._last_check + CHECK_SECONDS:
                return
            self._last_check = now
            released = list(self._released.items())
        for uid, (resource, key) in released:
            live = self._cluster.client.get(resource, *key) if self._rollouts.holds(uid) else None
            if live is not None and live["metadata"]["uid"] == uid:
                self._rollouts.observe({"kind": resource.kind, **live})
            else:
                self._rollouts.give_back(uid)
            if not self._rollouts.holds(uid):
                with self._lock:
                    self._released.pop(uid, None)
