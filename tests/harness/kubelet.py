"""Acts as a kubelet for every pod of a real control plane: reports that it runs and is ready."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from kube.client import Client
from kube.failures import ApiError
from kube.informer import Informer
from kube.objects import Object
from kube.resources import PODS
from tests.harness.clusters import Cluster, start
from tests.harness.keda import Keda

BROKEN = "broken"
"""Pods with images of this prefix never run. Tests write their status themselves."""


class Kubelet:
    """Watches pods, and reports new ones as ready. It runs nothing."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._informer = Informer(client, PODS, self._changed)

    def start(self) -> None:
        """Start the watch."""
        self._informer.start()

    def stop(self) -> None:
        """Stop the watch."""
        self._informer.stop()

    def _changed(self, pod: Object, deleted: bool) -> None:
        metadata, status = pod["metadata"], pod.get("status") or {}
        if deleted or metadata.get("deletionTimestamp") or status.get("phase") not in (None, "Pending"):
            return
        if any(c["image"].startswith(BROKEN) for c in pod["spec"]["containers"]):
            return
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [
            {"type": t, "status": "True", "lastTransitionTime": now}
            for t in ("Initialized", "ContainersReady", "Ready")
        ]
        patch = {"status": {"phase": "Running", "startTime": now, "conditions": conditions}}
        try:
            self._client.merge_patch(PODS, metadata["namespace"], metadata["name"], patch, subresource="status")
        except ApiError:
            return  # the pod or its namespace is deleted


@contextmanager
def played(cluster: Cluster) -> Iterator[None]:
    """Act as kubelet, and as KEDA once its resources exist, on ``cluster`` while the block runs."""
    kubelet, keda = Kubelet(cluster.client()), Keda(cluster.client())
    if cluster.real:  # the sandbox needs no kubelet
        kubelet.start()
    keda.start()
    try:
        yield
    finally:
        kubelet.stop()
        keda.stop()


@contextmanager
def running(directory: Path, *, real: bool) -> Iterator[Cluster]:
    """A cluster with stand-ins for kubelet and KEDA. It is removed afterwards."""
    cluster = start(directory, real=real)
    try:
        with played(cluster):
            yield cluster
    finally:
        cluster.stop()
