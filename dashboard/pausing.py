"""Pauses an actor and has it go on, by ``spec.scaling.paused`` of its AsyncActor."""

from dashboard.ports import Refused
from dashboard.rights import missing_right
from kube.client import Client
from kube.failures import ApiError
from kube.resources import ASYNC_ACTORS


class Pausing:
    """Writes ``spec.scaling.paused``."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def pause(self, namespace: str, actor: str) -> str:
        """Have KEDA leave the number of pods as it is."""
        self._write(namespace, actor, paused=True)
        return f"{actor} is paused: the number of its pods stays as it is"

    def resume(self, namespace: str, actor: str) -> str:
        """Have KEDA scale it again."""
        self._write(namespace, actor, paused=False)
        return f"{actor} goes on"

    def _write(self, namespace: str, actor: str, *, paused: bool) -> None:
        found = self._client.get(ASYNC_ACTORS, namespace, actor)
        if found is None:
            raise Refused(f"there is no AsyncActor {actor!r} any more")
        if not ((found.get("spec") or {}).get("scaling") or {}).get("enabled"):
            raise Refused("spec.scaling.enabled is false, so nothing scales this actor: there is nothing to pause")
        try:
            self._client.merge_patch(ASYNC_ACTORS, namespace, actor, {"spec": {"scaling": {"paused": paused}}})
        except ApiError as error:
            if error.code == 403:
                raise Refused(missing_right("patch", "asyncactors.asya.io", namespace)) from error
            raise
