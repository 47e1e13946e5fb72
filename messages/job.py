"""The objects of the short-lived pod: a Job, and Secrets with the request. Pure.

Nothing stays behind even if the plugin is killed: the Job has a deadline, Kubernetes deletes it a minute after its
end, and the Job owns its Secrets. The pod fits the Pod Security profile ``restricted``.
"""

import base64
import json
from typing import Final

from crds.names import LABEL_MANAGED_BY
from injection.settings import RESTRICTED
from kube.objects import Object
from messages.controls import MANAGER
from messages.requests import Request
from messages.target import Target

CONTAINER: Final = "messages"
LABEL: Final = "asya.io/messages"
"""Label of the Job, its pod and its Secrets. The value is the Job's name."""
DIRECTORY: Final = "/var/run/asya-messages"
PART_BYTES: Final = 700_000
"""The most bytes of a request in one Secret, whose limit is 1 MiB."""
KEPT_SECONDS: Final = 60
"""How long Kubernetes keeps an ended Job if the plugin does not delete it."""
SPARE_SECONDS: Final = 300
"""The time in the pod's deadline for scheduling, image pull and work, in addition to the request's own wait."""


def job(target: Target, name: str, image: str, request: Request, parts: int) -> Object:
    """The Job that runs ``request``.

    Args:
        target: the actor.
        name: of the Job.
        image: the operator's image.
        request: the request.
        parts: how many Secrets hold the request.
    """
    labels = {LABEL: name, LABEL_MANAGED_BY: MANAGER}
    sources = [{"secret": {"name": part_name(name, n)}} for n in range(parts)]
    container: Object = {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["messages", DIRECTORY],
        "env": [*target.environment],
        "resources": {
            "requests": {"cpu": "10m", "memory": "64Mi"},
            "limits": {"cpu": "1", "memory": "512Mi"},
        },
        "securityContext": {**RESTRICTED, "readOnlyRootFilesystem": True},
        "volumeMounts": [{"name": "request", "mountPath": DIRECTORY, "readOnly": True}, *target.mounts],
    }
    spec: Object = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 15,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "request", "projected": {"sources": sources}}, *target.volumes],
    }
    if target.service_account:
        spec["serviceAccountName"] = target.service_account
    if target.pull_secrets:
        spec["imagePullSecrets"] = list(target.pull_secrets)
    waits = request.seconds if request.wait_for or request.every else 0
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": target.namespace, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": int(waits) + SPARE_SECONDS,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def encoded(request: Request, key: str) -> list[bytes]:
    """A request and its key as JSON, in parts that each fit into a Secret."""
    data = json.dumps({"key": key, "request": request.to_json()}).encode()
    return [data[n : n + PART_BYTES] for n in range(0, len(data), PART_BYTES)]


def secrets(name: str, namespace: str, uid: str, parts: list[bytes]) -> list[Object]:
    """The Secrets with the parts of a request. The Job with this name and uid owns them."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid}
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": part_name(name, n),
                "namespace": namespace,
                "labels": {LABEL: name, LABEL_MANAGED_BY: MANAGER},
                "ownerReferences": [owner],
            },
            "immutable": True,
            "data": {f"part-{n:03}": base64.b64encode(part).decode()},
        }
        for n, part in enumerate(parts)
    ]


def part_name(name: str, number: int) -> str:
    """The name of the Secret with one part of a Job's request."""
    return f"{name}-{number}"
