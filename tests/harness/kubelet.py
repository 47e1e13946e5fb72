"""Says of every pod of a real control plane what a kubelet would: that it runs and is ready."""

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
"""Pods of an image whose name starts so never run, and what is wrong with them is a test's to say."""


class Kubelet:
    """Watches pods, and reports those that are new as ready. Nothing is run."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._informer = Informer(client, PODS, self._changed)

    def start(self) -> None:
        """Start to watch."""
        self._informer.start()

    def stop(self) -> None:
        """Stop."""
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
            return  # it is gone, or its namespace is


@contextmanager
def played(cluster: Cluster) -> Iterator[None]:
    """On ``cluster``, pods become ready and KEDA, once its resources are there, looks at them, for a while."""
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
    """A cluster, gone afterwards, on which pods become ready and KEDA, once its resources are there, looks at them."""
    cluster = start(directory, real=real)
    try:
        with played(cluster):
            yield cluster
    finally:
        cluster.stop()
