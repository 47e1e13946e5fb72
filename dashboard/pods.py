"""Requests to pods through the API server: a sidecar's metrics, and logs.

If a pod does not answer, the API server answers 502 or 503, although it works itself. So these requests need their own
client: its failures must not delay other requests.
"""

from typing import Final

import urllib3

from crds.names import LABEL_ACTOR, METRICS_PORT
from kube.client import Client
from kube.failures import ApiError
from kube.objects import Object
from kube.resources import PODS

MAX_METRICS: Final = 1 << 20
"""Maximum size of a pod's metrics, in bytes. The rest is not read."""
MAX_LOG: Final = 256 << 10
"""Maximum size of a container's log, in bytes. The rest is not read."""
TIMEOUT: Final = urllib3.Timeout(connect=3.0, read=5.0)
SELECTOR: Final = LABEL_ACTOR
"""Selects pods that carry the label with any value."""


def reduced(pod: Object) -> Object:
    """The fields of a pod that the dashboard needs to reach its sidecar; ``port`` is None if the pod does not run."""
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    kept = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in metadata}
    kept["labels"] = {LABEL_ACTOR: (metadata.get("labels") or {}).get(LABEL_ACTOR, "")}
    running = (pod.get("status") or {}).get("phase") == "Running" and not metadata.get("deletionTimestamp")
    return {"metadata": kept, "port": metrics_port(spec) if running else None}


def metrics_port(spec: Object) -> int | None:
    """The port of the sidecar's metrics; None if no container has a port of that name."""
    for part in ("containers", "initContainers"):
        for container in spec.get(part) or ():
            for port in container.get("ports") or ():
                if port.get("name") == METRICS_PORT:
                    return int(port["containerPort"])
    return None


def metrics(client: Client, namespace: str, pod: str, port: int) -> str:
    """The text of a sidecar's metrics, through the API server's proxy.

    Raises:
        ApiError: if the sidecar or the API server does not answer.
    """
    return _text(client, PODS.path(namespace, f"{pod}:{port}", "proxy/metrics"), {}, MAX_METRICS)


def log(client: Client, namespace: str, pod: str, container: str, *, lines: int) -> str:
    """The last lines of a container's log, each with its time at the beginning.

    Raises:
        ApiError: if the log cannot be read.
    """
    query = {"container": container, "tailLines": lines, "timestamps": "true", "limitBytes": MAX_LOG}
    return _text(client, PODS.path(namespace, pod, "log"), query, MAX_LOG)


def _text(client: Client, path: str, query: Object, most: int) -> str:
    try:
        response = client.request("GET", path, query=query, stream=True, timeout=TIMEOUT)
    except ApiError as error:
        if error.code == 404 and "could not find the requested resource" in error.message:
            raise ApiError(
                404, "NotFound", "this API server cannot reach pods; the sandbox, for example, cannot"
            ) from None
        raise
    try:
        return str(response.read(most, decode_content=True).decode(errors="replace"))
    except urllib3.exceptions.HTTPError as error:
        raise ApiError(0, "Unreachable", f"the response broke off: {error}") from error
    finally:
        response.close()
