"""A watch cache over several namespaces, for an operator that may read only these."""

from collections.abc import Callable, Sequence
from typing import Any

from kube.client import Client
from kube.informer import Informer
from kube.objects import Object
from kube.resources import Resource


def make_informer(
    client: Client,
    resource: Resource,
    on_change: Callable[[Object, bool], None] | None = None,
    *,
    namespaces: Sequence[str] = (),
    **options: Any,
) -> Informer:
    """Return an informer for ``namespaces``, or for all if it is empty. ``options`` are those of :class:`Informer`."""
    if not namespaces:
        return Informer(client, resource, on_change, **options)
    parts = {name: Informer(client, resource, on_change, namespace=name, **options) for name in namespaces}
    return SeveralInformers(resource, parts)


class SeveralInformers(Informer):
    """One informer per namespace, with the interface of a single informer. It does not know other namespaces."""

    def __init__(self, resource: Resource, parts: dict[str, Informer]) -> None:
        self.resource, self._parts = resource, parts

    @property
    def last_contact(self) -> float:
        """The earliest ``last_contact`` of all informers."""
        return min(part.last_contact for part in self._parts.values())

    @property
    def last_attempt(self) -> float:
        """The earliest ``last_attempt`` of all informers."""
        return min(part.last_attempt for part in self._parts.values())

    def start(self) -> None:
        """Start all informers."""
        for part in self._parts.values():
            part.start()

    def restart(self) -> None:
        """Restart the informer with the earliest ``last_attempt``."""
        min(self._parts.values(), key=lambda part: part.last_attempt).restart()

    def stop(self) -> None:
        """Stop all informers."""
        for part in self._parts.values():
            part.stop()

    @property
    def is_synced(self) -> bool:
        """Whether all informers are synced."""
        return all(part.is_synced for part in self._parts.values())

    def wait(self, timeout: float) -> bool:
        """Wait at most ``timeout`` seconds for each informer. Return whether all first lists have arrived."""
        return all(part.wait(timeout) for part in self._parts.values())

    def get(self, namespace: str, name: str) -> Object | None:
        """Return the cached object, or None."""
        part = self._parts.get(namespace)
        return part.get(namespace, name) if part is not None else None

    def observe(self, obj: Object) -> None:
        """Make :meth:`get` return ``obj`` until the watch has caught up."""
        part = self._parts.get(obj["metadata"].get("namespace", ""))
        if part is not None:
            part.observe(obj)

    def owned_by(self, namespace: str, uid: str) -> list[Object]:
        """Return the cached objects in ``namespace`` whose controller has this uid."""
        part = self._parts.get(namespace)
        return part.owned_by(namespace, uid) if part is not None else []

    def labelled(self, namespace: str, value: str) -> list[Object]:
        """Return the cached objects in ``namespace`` whose index label has this value."""
        part = self._parts.get(namespace)
        return part.labelled(namespace, value) if part is not None else []

    def all(self) -> list[Object]:
        """Return all cached objects."""
        return [obj for part in self._parts.values() for obj in part.all()]
