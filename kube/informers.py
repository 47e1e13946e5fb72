"""One watch cache over several namespaces, for an operator that may look into these alone."""

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
    """An informer of ``namespaces``, or of all if none is named; ``options`` are those of :class:`Informer`."""
    if not namespaces:
        return Informer(client, resource, on_change, **options)
    parts = {name: Informer(client, resource, on_change, namespace=name, **options) for name in namespaces}
    return SeveralInformers(resource, parts)


class SeveralInformers(Informer):
    """Informers by namespace, that look like one. What is in no namespace of theirs is not known."""

    def __init__(self, resource: Resource, parts: dict[str, Informer]) -> None:
        self.resource, self._parts = resource, parts

    @property
    def last_contact(self) -> float:
        """When the one of them that is silent for longest heard of the API server."""
        return min(part.last_contact for part in self._parts.values())

    @property
    def last_attempt(self) -> float:
        """When the one of them that hangs for longest listened or asked."""
        return min(part.last_attempt for part in self._parts.values())

    def start(self) -> None:
        """Start all."""
        for part in self._parts.values():
            part.start()

    def restart(self) -> None:
        """Start anew the one that hangs for longest."""
        min(self._parts.values(), key=lambda part: part.last_attempt).restart()

    def stop(self) -> None:
        """Stop all."""
        for part in self._parts.values():
            part.stop()

    @property
    def synced(self) -> bool:
        """Whether all are."""
        return all(part.synced for part in self._parts.values())

    def wait(self, timeout: float) -> bool:
        """Wait at most so long for each."""
        return all(part.wait(timeout) for part in self._parts.values())

    def get(self, namespace: str, name: str) -> Object | None:
        """The cached object, or None."""
        part = self._parts.get(namespace)
        return part.get(namespace, name) if part is not None else None

    def observe(self, obj: Object) -> None:
        """Have :meth:`get` answer with ``obj`` until the watch has caught up."""
        part = self._parts.get(obj["metadata"].get("namespace", ""))
        if part is not None:
            part.observe(obj)

    def owned_by(self, namespace: str, uid: str) -> list[Object]:
        """Cached objects of ``namespace`` that the object of that uid controls."""
        part = self._parts.get(namespace)
        return part.owned_by(namespace, uid) if part is not None else []

    def labelled(self, namespace: str, value: str) -> list[Object]:
        """Cached objects of ``namespace`` whose index label has that value."""
        part = self._parts.get(namespace)
        return part.labelled(namespace, value) if part is not None else []

    def all(self) -> list[Object]:
        """All cached objects."""
        return [obj for part in self._parts.values() for obj in part.all()]
