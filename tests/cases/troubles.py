"""The statuses that a kubelet reports for broken pods, by the phase of their actor."""

from typing import Any

from kube.objects import Object
from tests.harness.clusters import wait_for
from tests.harness.space import Space

NOW = "2026-01-01T00:00:00Z"


def container_status(name: str, state: dict[str, Any], **more: Any) -> Object:
    image = {"name": name, "image": "app:1", "imageID": "", "ready": False, "restartCount": 2, "state": state, **more}
    return {"containerStatuses": [image]}


def waits(reason: str, message: str, name: str = "runtime", **more: Any) -> Object:
    return container_status(name, {"waiting": {"reason": reason, "message": message}}, **more)


ENDED: Any = {"lastState": {"terminated": {"exitCode": 3}}}
TROUBLES: dict[str, tuple[Object, str]] = {
    "ImagePullError": (waits("ImagePullBackOff", "no such tag"), "no such tag. Check the image's name"),
    "RuntimeError": (waits("CrashLoopBackOff", "back-off", **ENDED), "exit code 3"),
    "SidecarError": (waits("CrashLoopBackOff", "back-off", "sidecar", **ENDED), "-c sidecar (add --previous"),
    "ConfigError": (waits("CreateContainerConfigError", 'secret "s" not found'), "Create the Secret"),
    "PendingResources": (
        {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no cpu"}]},
        "no cpu",
    ),
}


def running_pod(space: Space, name: str) -> Object:
    """The actor's pod, as soon as it runs."""

    def running() -> Object | None:
        obj = [p for p in space.all("Pod") if p["metadata"]["labels"].get("asya.io/actor") == name]
        return next((p for p in obj if (p.get("status") or {}).get("phase") == "Running"), None)

    obj = wait_for("a pod that runs", running)
    assert obj is not None
    return obj


def report(space: Space, pod: Object, *, ready: bool, status: Object) -> None:
    """Write a status of the pod as a kubelet does."""
    state = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": NOW}
    conditions = [state, *({"lastTransitionTime": NOW, **c} for c in status.get("conditions") or ())]
    space.patch("Pod", pod["metadata"]["name"], {"status": {**status, "conditions": conditions}}, "status")
