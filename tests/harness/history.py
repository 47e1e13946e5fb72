"""Records the changes of objects, which a look at the final state does not show."""

from kube.informer import Informer
from kube.objects import Object
from kube.resources import Resource
from tests.harness.space import BY_KIND, Space


class History:
    """Every version of the objects of one kind in a namespace, from a watch."""

    def __init__(self, space: Space, kind: str | Resource) -> None:
        self.versions: list[Object] = []
        self.deleted: set[str] = set()
        """Uids of deleted objects, as far as the watch has reported them."""
        resource = BY_KIND[kind] if isinstance(kind, str) else kind
        self._informer = Informer(space.client, resource, self._changed, namespace=space.name)
        self._informer.start()
        assert self._informer.wait(20)

    def _changed(self, obj: Object, deleted: bool) -> None:
        if deleted:
            self.deleted.add(obj["metadata"]["uid"])
        self.versions.append({**obj, "deleted": True} if deleted else obj)

    def stop(self) -> list[Object]:
        """Stop recording. Return all versions in order."""
        self._informer.stop()
        return self.versions
