"""Reduces pods before they are cached, to the fields that show whether a pod works.

A pod has about 12 kB, and a cluster has thousands. The controller never reads the rest, such as environment and
volumes.
"""

from typing import Final

import orjson

from crds.names import LABEL_ACTOR
from kube.objects import Object

PACKED: Final = "packed"
_METADATA: Final = ("name", "namespace", "uid", "labels", "creationTimestamp", "deletionTimestamp")
_STATUS: Final = ("phase", "reason")
_CONDITIONS: Final = ("Ready", "PodScheduled")
_WELL: Final = ("name", "ready")
_ENDED: Final = ("exitCode", "reason", "finishedAt", "message")


def slim_pod(pod: Object) -> Object:
    """``pod`` with the fields that the controller reads."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    kept: Object = {"metadata": {key: metadata[key] for key in _METADATA if key in metadata}}
    kept["metadata"]["ownerReferences"] = [
        {"uid": owner["uid"], "controller": True}
        for owner in metadata.get("ownerReferences") or ()
        if owner.get("controller")
    ]
    kept["spec"] = {"restartPolicy": spec.get("restartPolicy", "Always")}
    if spec.get("initContainers"):
        kept["spec"]["initContainers"] = [
            {key: c[key] for key in ("name", "restartPolicy") if key in c} for c in spec["initContainers"]
        ]
    kept["status"] = {key: status[key] for key in _STATUS if key in status}
    conditions = [_condition(c) for c in status.get("conditions") or () if c.get("type") in _CONDITIONS]
    kept["status"]["conditions"] = [c for c in conditions if c]
    for part in ("initContainerStatuses", "containerStatuses"):
        if status.get(part):
            kept["status"][part] = [_container(c) for c in status[part]]
    return kept


def _condition(condition: Object) -> Object:
    if condition["type"] == "PodScheduled" and condition.get("status") == "True":
        return {}
    return {
        key: condition[key] for key in ("type", "status", "reason", "message", "lastTransitionTime") if key in condition
    }


def _container(status: Object) -> Object:
    state, last = status.get("state") or {}, status.get("lastState") or {}
    kept: Object = {key: status[key] for key in _WELL if key in status}
    if "running" in state and not last:
        return {**kept, "state": {"running": {}}}
    kept["restartCount"] = status.get("restartCount", 0)
    if "waiting" in state and "image" in status:
        kept["image"] = status["image"]
    return {**kept, "state": _state(state), **({"lastState": _state(last)} if last else {})}


def _state(state: Object) -> Object:
    kept = {name: dict(value or {}) for name, value in state.items()}
    if "terminated" in kept:
        kept["terminated"] = {key: value for key, value in kept["terminated"].items() if key in _ENDED}
    return kept


def pack(pod: Object) -> Object:
    """``pod`` as it is cached: the fields that the cache and its index need, and the rest as JSON.

    The JSON takes a fifth of the memory that Python objects would.
    """
    metadata = pod["metadata"]
    labels = metadata.get("labels") or {}
    kept = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in metadata}
    kept["labels"] = {LABEL_ACTOR: labels[LABEL_ACTOR]} if LABEL_ACTOR in labels else {}
    return {"metadata": kept, PACKED: orjson.dumps(slim_pod(pod)).decode()}


def unpack(packed: Object) -> Object:
    """The reduced pod, as :func:`slim_pod` returned it."""
    pod: Object = orjson.loads(packed[PACKED])
    return pod
