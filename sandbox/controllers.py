"""Imitates kube-controller-manager and kubelet, as far as the API shows their effects.

Deployments create ReplicaSets; ReplicaSets, StatefulSets and Jobs create pods. Deleting an owner deletes its
dependents, and deleting a namespace deletes its objects. Pods are ready at once.
In a pod that can complete, each container exits after a moment, except a sidecar, which never exits. So a Job with a
sidecar as a plain container never completes, as in a real cluster.
"""

import hashlib
import heapq
import itertools
import threading
import time
from typing import Any

import orjson

from sandbox.api import Api, Call
from sandbox.definitions import CRDS, withdraw
from sandbox.errors import Failure
from sandbox.store import Change, Key
from sandbox.writes import now

Object = dict[str, Any]
Item = tuple[str, Key]

DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS = "deployments.apps", "replicasets.apps", "statefulsets.apps"
JOBS, PODS, NAMESPACES = "jobs.batch", "pods", "namespaces"
REVISION = "deployment.kubernetes.io/revision"
RETRY_SECONDS = 0.5
RUN_SECONDS = 0.3
"""Run time of a container that completes."""


class Controllers:
    """One thread that processes changed objects one by one."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._wake = threading.Condition()
        self._due: list[tuple[float, int, Item]] = []
        self._queued: set[Item] = set()
        self._count = itertools.count()
        self._stopped = False
        api.store.listeners.append(self._changed)

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, name="sandbox-controllers", daemon=True).start()

    def stop(self) -> None:
        """Stop the thread."""
        with self._wake:
            self._stopped = True
            self._wake.notify()

    def _changed(self, resource: str, change: Change) -> None:
        metadata = change.object["metadata"]
        key = (metadata.get("namespace", ""), metadata["name"])
        if resource in _RECONCILERS or change.type == "DELETED":
            self._add((resource if change.type != "DELETED" else f"gone:{metadata['uid']}", key))
        if resource == NAMESPACES and change.type == "DELETED":
            self._add(("empty:", ("", metadata["name"])))
        if resource == CRDS and change.type == "DELETED":
            withdraw(self._api.store, self._api.types, change.object)
        for owner in metadata.get("ownerReferences") or ():
            plural = _PLURALS.get(owner["kind"])
            if plural:
                self._add((plural, (key[0], owner["name"])))
            if change.type == "ADDED" and not self._api.store.exists(owner["uid"]):
                self._add((f"gone:{owner['uid']}", key))

    def _add(self, item: Item, delay: float = 0.0) -> None:
        with self._wake:
            if delay or item not in self._queued:
                if not delay:
                    self._queued.add(item)
                heapq.heappush(self._due, (time.monotonic() + delay, next(self._count), item))
                self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._stopped and (not self._due or self._due[0][0] > time.monotonic()):
                    self._wake.wait(self._due[0][0] - time.monotonic() if self._due else None)
                if self._stopped:
                    return
                _, _, item = heapq.heappop(self._due)
                self._queued.discard(item)
            try:
                pause = self._reconcile(*item)
            except Failure:
                pause = RETRY_SECONDS
            if pause:
                self._add(item, pause)

    def _reconcile(self, resource: str, key: Key) -> float:
        if resource.startswith("gone:"):
            return self._collect(resource.removeprefix("gone:"))
        if resource == "empty:":
            for kind in list(self._api.types.values()):
                for member in self._api.store.all(kind.qualified, key[1]) if kind.namespaced else ():
                    self._delete(member)
            return 0
        obj = self._api.store.get(resource, key)
        if obj is None:
            return 0
        if obj["metadata"].get("deletionTimestamp"):
            return 0
        pause: float = _RECONCILERS[resource](self, obj)
        return pause

    def _collect(self, uid: str) -> float:
        for resource, key in self._api.store.dependents(uid):
            obj = self._api.store.get(resource, key)
            if obj is None or any(self._api.store.exists(o["uid"]) for o in obj["metadata"]["ownerReferences"]):
                continue
            self._delete(obj)
        return 0

    def _delete(self, obj: Object) -> None:
        metadata = obj["metadata"]
        group, _, version = obj["apiVersion"].rpartition("/")
        plural = next(
            t.plural for t in self._api.types.values() if (t.group, t.version, t.kind) == (group, version, obj["kind"])
        )
        try:
            self._api.delete(
                self._api.type(group, version, plural), metadata.get("namespace", ""), metadata["name"], _CALL
            )
        except Failure as failure:
            if failure.code != 404:
                raise

    def _owned(self, owner: Object, resource: str) -> list[Object]:
        uid = owner["metadata"]["uid"]
        dependents = [self._api.store.get(r, k) for r, k in self._api.store.dependents(uid) if r == resource]
        return [obj for obj in dependents if obj is not None]

    def _create(
        self, api_version: str, plural: str, kind: str, owner: Object, metadata: Object, spec: Object
    ) -> Object:
        group, _, version = api_version.rpartition("/")
        namespace = owner["metadata"]["namespace"]
        obj = {
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {**metadata, "namespace": namespace, "ownerReferences": [_reference(owner)]},
            "spec": spec,
        }
        return self._api.create(self._api.type(group, version, plural), namespace, obj, _CALL)

    def _create_pod(self, owner: Object, template: Object, name: str = "") -> Object:
        metadata = {k: v for k, v in (template.get("metadata") or {}).items() if k in ("labels", "annotations")}
        metadata |= {"name": name} if name else {"generateName": owner["metadata"]["name"] + "-"}
        return self._create("v1", "pods", "Pod", owner, metadata, template["spec"])

    def _status(self, obj: Object, status: Object, annotations: Object | None = None) -> None:
        group, _, version = obj["apiVersion"].rpartition("/")
        plural = _PLURALS.get(obj["kind"], PODS).partition(".")[0]
        metadata = obj["metadata"]
        live_annotations = metadata.get("annotations") or {}
        patch: Object = {"status": status}
        if annotations:
            patch["metadata"] = {"annotations": annotations}
        is_new = {**(obj.get("status") or {}), **status} != (obj.get("status") or {})
        if is_new or {**live_annotations, **(annotations or {})} != live_annotations:
            self._api.patch(
                self._api.type(group, version, plural),
                metadata["namespace"],
                metadata["name"],
                "application/merge-patch+json",
                patch,
                Call("sandbox", subresource="status"),
            )

    def _deployment(self, deployment: Object) -> float:
        spec = deployment["spec"]
        digest = hashlib.sha256(orjson.dumps(spec["template"], option=orjson.OPT_SORT_KEYS)).hexdigest()[:10]
        name = f"{deployment['metadata']['name']}-{digest}"
        sets = self._owned(deployment, REPLICA_SETS)
        current = next((s for s in sets if s["metadata"]["name"] == name), None)
        latest = max((_revision(s) for s in sets), default=0)
        template = spec["template"]
        metadata = template.get("metadata") or {}
        labels = {**(metadata.get("labels") or {}), "pod-template-hash": digest}
        if current is None:
            self._create(
                "apps/v1",
                "replicasets",
                "ReplicaSet",
                deployment,
                {"name": name, "labels": labels, "annotations": {REVISION: str(latest + 1)}},
                {
                    "replicas": spec["replicas"],
                    "selector": {"matchLabels": labels},
                    "template": {**template, "metadata": {**metadata, "labels": labels}},
                },
            )
            return 0
        revision = _revision(current) if _revision(current) == latest else latest + 1
        for replica_set in sets:
            desired_replicas = spec["replicas"] if replica_set is current else 0
            patch: Object = {}
            if replica_set["spec"]["replicas"] != desired_replicas:
                patch["spec"] = {"replicas": desired_replicas}
            if replica_set is current and _revision(current) != revision:
                patch["metadata"] = {"annotations": {REVISION: str(revision)}}
            if patch:
                self._api.patch(
                    self._api.type("apps", "v1", "replicasets"),
                    replica_set["metadata"]["namespace"],
                    replica_set["metadata"]["name"],
                    "application/merge-patch+json",
                    patch,
                    _CALL,
                )
        ready = (current.get("status") or {}).get("readyReplicas", 0)
        total = sum((s.get("status") or {}).get("replicas", 0) for s in sets)
        self._status(
            deployment,
            {
                "observedGeneration": deployment["metadata"]["generation"],
                "replicas": total,
                "readyReplicas": ready,
                "updatedReplicas": (current.get("status") or {}).get("replicas", 0),
                "availableReplicas": ready,
            },
            {REVISION: str(revision)},
        )
        return 0

    def _replica_set(self, replica_set: Object) -> float:
        pods = self._owned(replica_set, PODS)
        missing = replica_set["spec"]["replicas"] - len(pods)
        has_failed = False
        try:
            for _ in range(missing):
                self._create_pod(replica_set, replica_set["spec"]["template"])
        except Failure:
            has_failed = True
        for pod in pods[: max(0, -missing)]:
            self._delete(pod)
        pods = self._owned(replica_set, PODS)
        ready = sum(_is_ready(pod) for pod in pods)
        self._status(replica_set, {"replicas": len(pods), "readyReplicas": ready})
        return RETRY_SECONDS if has_failed else 0

    def _stateful_set(self, stateful_set: Object) -> float:
        spec, name = stateful_set["spec"], stateful_set["metadata"]["name"]
        revision = hashlib.sha256(orjson.dumps(spec["template"], option=orjson.OPT_SORT_KEYS)).hexdigest()[:10]
        pods = {p["metadata"]["name"]: p for p in self._owned(stateful_set, PODS)}
        pod_names = [f"{name}-{i}" for i in range(spec["replicas"])]
        for pod_name, pod in pods.items():
            if pod_name not in pod_names or pod["metadata"]["labels"].get("controller-revision-hash") != revision:
                self._delete(pod)
        claims = spec.get("volumeClaimTemplates") or ()
        template = spec["template"]
        labels = {
            **((template.get("metadata") or {}).get("labels") or {}),
            "controller-revision-hash": revision,
        }
        for pod_name in pod_names:
            volumes = [
                {
                    "name": c["metadata"]["name"],
                    "persistentVolumeClaim": {"claimName": f"{c['metadata']['name']}-{pod_name}"},
                }
                for c in claims
            ]
            pod_spec = {**template["spec"], "volumes": [*(template["spec"].get("volumes") or ()), *volumes]}
            metadata = {**(template.get("metadata") or {}), "labels": labels}
            if self._api.store.get(PODS, (stateful_set["metadata"]["namespace"], pod_name)) is None:
                self._create_pod(stateful_set, {"metadata": metadata, "spec": pod_spec}, pod_name)
        pods_now = self._owned(stateful_set, PODS)
        ready = sum(_is_ready(p) for p in pods_now)
        self._status(
            stateful_set,
            {
                "observedGeneration": stateful_set["metadata"]["generation"],
                "replicas": len(pods_now),
                "readyReplicas": ready,
                "availableReplicas": ready,
                "currentRevision": revision,
                "updateRevision": revision,
            },
        )
        return 0

    def _job(self, job: Object) -> float:
        spec = job["spec"]
        pods = self._owned(job, PODS)
        phases = [(p.get("status") or {}).get("phase") for p in pods]
        succeeded, active = (
            phases.count("Succeeded"),
            len(pods) - phases.count("Succeeded") - phases.count("Failed"),
        )
        is_done = succeeded >= (spec.get("completions") or 1) and not (spec.get("completions") is None and active)
        if not is_done and not spec.get("suspend"):
            desired_active = min(
                spec.get("parallelism", 1),
                (spec.get("completions") or spec.get("parallelism", 1)) - succeeded,
            )
            for _ in range(desired_active - active):
                self._create_pod(job, spec["template"])
                active += 1
        status: Object = {"active": active, "succeeded": succeeded, "ready": active}
        conditions = (job.get("status") or {}).get("conditions")
        if is_done and not conditions:
            status["conditions"] = [{"type": "Complete", "status": "True", "lastTransitionTime": now()}]
        self._status(job, status)
        return 0

    def _pod(self, pod: Object) -> float:
        spec, status = pod["spec"], pod.get("status") or {}
        if status.get("phase") in ("Succeeded", "Failed"):
            return 0
        can_complete = spec.get("restartPolicy") != "Always"
        started = status.get("startTime")
        if not started:
            self._status(
                pod,
                {
                    "phase": "Running",
                    "startTime": now(),
                    "conditions": [{"type": t, "status": "True"} for t in ("Initialized", "ContainersReady", "Ready")],
                    "containerStatuses": [_container_status(c, has_ended=False) for c in spec["containers"]],
                },
            )
            return RUN_SECONDS if can_complete else 0
        if can_complete and all("sidecar" not in c["image"] for c in spec["containers"]):
            self._status(
                pod,
                {
                    "phase": "Succeeded",
                    "conditions": [{"type": "Ready", "status": "False", "reason": "PodCompleted"}],
                    "containerStatuses": [_container_status(c, has_ended=True) for c in spec["containers"]],
                },
            )
        return 0


def _container_status(container: Object, *, has_ended: bool) -> Object:
    state = {"terminated": {"exitCode": 0, "reason": "Completed"}} if has_ended else {"running": {"startedAt": now()}}
    return {
        "name": container["name"],
        "image": container["image"],
        "ready": not has_ended,
        "restartCount": 0,
        "state": state,
    }


def _is_ready(pod: Object) -> bool:
    return any(
        c["type"] == "Ready" and c["status"] == "True" for c in (pod.get("status") or {}).get("conditions") or ()
    )


def _revision(replica_set: Object) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(REVISION, 0))


def _reference(owner: Object) -> Object:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


_CALL = Call("sandbox", user="system:serviceaccount:kube-system:sandbox")
_PLURALS = {
    "Deployment": DEPLOYMENTS,
    "ReplicaSet": REPLICA_SETS,
    "StatefulSet": STATEFUL_SETS,
    "Job": JOBS,
}
_RECONCILERS: dict[str, Any] = {
    DEPLOYMENTS: Controllers._deployment,
    REPLICA_SETS: Controllers._replica_set,
    STATEFUL_SETS: Controllers._stateful_set,
    JOBS: Controllers._job,
    PODS: Controllers._pod,
}
