"""Workloads with and without an actor's label, and functions that show what admission changed."""

from typing import Any

from kube.objects import Object
from tests.harness.space import Space, actor

LABEL = "asya.io/actor"


def workload(kind: str, name: str, label: str | None = None, image: str = "app:1") -> Object:
    """A workload of a service owner."""
    pod: Object = {"containers": [{"name": "app", "image": image, "env": [{"name": "ASYA_HANDLER", "value": "a.b"}]}]}
    template: Object = {"metadata": {"labels": {"app": name}}, "spec": pod}
    metadata: Object = {"name": name, **({"labels": {LABEL: label}} if label else {})}
    if kind == "Pod":
        return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": pod}
    if kind in ("Job", "CronJob"):
        pod["restartPolicy"] = "Never"
        job = {"template": template}
        spec: Object = job if kind == "Job" else {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job}}
        return {"apiVersion": "batch/v1", "kind": kind, "metadata": metadata, "spec": spec}
    spec = {"selector": {"matchLabels": {"app": name}}, "template": template}
    if kind != "DaemonSet":
        spec["replicas"] = 2
    if kind == "StatefulSet":
        spec["serviceName"] = name
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


def template_of(obj: Object) -> Object:
    spec = obj["spec"]
    result: Object = (spec["jobTemplate"]["spec"] if obj["kind"] == "CronJob" else spec)["template"]
    return result


def label(space: Space, kind: str, name: str, value: str | None) -> Object:
    return space.patch(kind, name, {"metadata": {"labels": {LABEL: value}}})


def sidecar_of(obj: Object) -> Object | None:
    pod = template_of(obj)["spec"] if "template" in str(obj["spec"].keys()) or obj["kind"] == "CronJob" else obj["spec"]
    containers = [*(pod.get("initContainers") or ()), *pod["containers"]]
    return next((c for c in containers if c["name"] == "sidecar"), None)


def rollout_count(space: Space, name: str) -> int:
    """The number of different templates that a Deployment has had."""
    owned = [r for r in space.all("ReplicaSet") if r["metadata"]["ownerReferences"][0]["name"] == name]
    return len(owned)


def own(name: str = "a", **spec: Any) -> Object:
    return actor(name, workload={"name": "x"}, **spec)
