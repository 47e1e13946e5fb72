"""Acts as KEDA for every new ScaledObject and ScaledJob: reports that it is ready and has no messages."""

import threading
from collections.abc import Callable

from crds.names import KEDA_API_VERSION
from kube.client import Client
from kube.failures import ApiError
from kube.informer import Informer
from kube.objects import Object
from kube.resources import SCALED_JOBS, SCALED_OBJECTS, Resource

IGNORED = "ignored"
"""Objects with this prefix of their name get no status, as if KEDA did not run."""
CONDITIONS = [
    {"type": "Ready", "status": "True", "reason": "ScaledObjectReady", "message": "ready for scaling"},
    {"type": "Active", "status": "False", "reason": "ScalerNotActive", "message": "triggers are not active"},
    {"type": "Fallback", "status": "False", "reason": "NoFallbackFound", "message": "no fallbacks are active"},
    {"type": "Paused", "status": "Unknown"},
]


class Keda:
    """Watches KEDA's objects. It scales nothing."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stopping = threading.Event()
        self._informers = [Informer(client, r, self._observer(r)) for r in (SCALED_OBJECTS, SCALED_JOBS)]

    def start(self) -> None:
        """Start the watch as soon as KEDA's resources exist."""
        threading.Thread(target=self._start, daemon=True).start()

    def stop(self) -> None:
        """Stop the watch."""
        self._stopping.set()
        for informer in self._informers:
            informer.stop()

    def _start(self) -> None:
        while not self._stopping.wait(0.5):
            try:
                served = self._client.serves(KEDA_API_VERSION, SCALED_OBJECTS.plural)
            except ApiError:
                continue  # the cluster has not started, or has stopped
            if served:
                for informer in self._informers:
                    informer.start()
                return

    def _observer(self, resource: Resource) -> Callable[[Object, bool], None]:
        def changed(obj: Object, deleted: bool) -> None:
            metadata = obj["metadata"]
            known = (obj.get("status") or {}).get("conditions")
            if deleted or known or metadata.get("deletionTimestamp") or metadata["name"].startswith(IGNORED):
                return
            # With the version, so that a status that a test writes meanwhile is not lost.
            patch = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": {"conditions": CONDITIONS}}
            try:
                self._client.merge_patch(resource, metadata["namespace"], metadata["name"], patch, subresource="status")
            except ApiError:
                return  # the object or its namespace is deleted

        return changed
