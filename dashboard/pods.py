"""What is asked of pods themselves by way of the API server: a sidecar's metrics, and logs.

A pod that does not answer makes the API server answer 502 or 503, which says nothing of the API server. So these
requests have a client of their own, whose failures hold back nothing else.
"""

from typing import Final

import urllib3

from crds.names import LABEL_ACTOR, METRICS_PORT
from kube.client import Client
from kube.failures import ApiError
from kube.objects import Object
from kube.resources import PODS

MAX_METRICS: Final = 1 << 20
"""Bytes of a pod's metrics that are read."""
MAX_LOG: Final = 256 << 10
"""Bytes of a container's log that are read."""
TIMEOUT: Final = urllib3.Timeout(connect=3.0, read=5.0)
SELECTOR: Final = LABEL_ACTOR
"""Pods that bear the label, whatever its value."""


def reduced(pod: Object) -> Object:
    """What the dashboard keeps of a pod to reach its sidecar."""
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    kept = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in metadata}
    kept["labels"] = {LABEL_ACTOR: (metadata.get("labels") or {}).get(LABEL_ACTOR, "")}
    running = (pod.get("status") or {}).get("phase") == "Running" and not metadata.get("deletionTimestamp")
    return {"metadata": kept, "port": metrics_port(spec) if running else None}


def metrics_port(spec: Object) -> int | None:
    """The port of the sidecar's metrics; None if no container has one of that name."""
    for part in ("containers", "initContainers"):
        for container in spec.get(part) or ():
            for port in container.get("ports") or ():
                if port.get("name") == METRICS_PORT:
                    return int(port["containerPort"])
    return None


def metrics(client: Client, namespace: str, pod: str, port: int) -> str:
    """The text of a sidecar's metrics, through the API server's proxy.

    Raises:
        ApiError: if it cannot be had.
    """
    return _text(client, PODS.path(namespace, f"{pod}:{port}", "proxy/metrics"), {}, MAX_METRICS)


def log(client: Client, namespace: str, pod: str, container: str, *, lines: int) -> str:
    """The last lines of a container's log, each after its time.

    Raises:
        ApiError: if it cannot be had.
    """
    query = {"container": container, "tailLines": lines, "timestamps": "true", "limitBytes": MAX_LOG}
    return _text(client, PODS.path(namespace, pod, "log"), query, MAX_LOG)


def _text(client: Client, path: str, query: Object, most: int) -> str:
    try:
        response = client.request("GET", path, query=query, stream=True, timeout=TIMEOUT)
    except ApiError as error:
        if error.code == 404 and "could not find the requested resource" in error.message:
            raise ApiError(
                404, "NotFound", "this API server does not reach into pods, as the sandbox does not"
            ) from None
        raise
    try:
        return str(response.read(most, decode_content=True).decode(errors="replace"))
    except urllib3.exceptions.HTTPError as error:
        raise ApiError(0, "Unreachable", f"the answer broke off: {error}") from error
    finally:
        response.close()
