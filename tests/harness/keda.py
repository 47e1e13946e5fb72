"""Says of every new ScaledObject and ScaledJob what KEDA would: that it is ready, and sees no messages."""

from collections.abc import Callable

from kube.client import SCALED_JOBS, SCALED_OBJECTS, ApiError, Client, Object, Resource
from kube.informer import Informer

IGNORED = "ignored"
"""Objects of a name that starts so are not looked at, as if KEDA did not run."""
CONDITIONS = [
    {"type": "Ready", "status": "True", "reason": "ScaledObjectReady", "message": "ready for scaling"},
    {"type": "Active", "status": "False", "reason": "ScalerNotActive", "message": "triggers are not active"},
    {"type": "Fallback", "status": "False", "reason": "NoFallbackFound", "message": "no fallbacks are active"},
    {"type": "Paused", "status": "Unknown"},
]


class Keda:
    """Watches KEDA's objects. Nothing is scaled."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._informers = [Informer(client, r, self._observer(r)) for r in (SCALED_OBJECTS, SCALED_JOBS)]

    def start(self) -> None:
        """Start to watch."""
        for informer in self._informers:
            informer.start()

    def stop(self) -> None:
        """Stop."""
        for informer in self._informers:
            informer.stop()

    def _observer(self, resource: Resource) -> Callable[[Object, bool], None]:
        def changed(obj: Object, deleted: bool) -> None:
            metadata = obj["metadata"]
            known = (obj.get("status") or {}).get("conditions")
            if deleted or known or metadata.get("deletionTimestamp") or metadata["name"].startswith(IGNORED):
                return
            # With the version, so that what a test has KEDA say meanwhile is not lost.
            patch = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "status": {"conditions": CONDITIONS}}
            try:
                self._client.merge_patch(resource, metadata["namespace"], metadata["name"], patch, subresource="status")
            except ApiError:
                return  # it is gone, or its namespace is

        return changed
