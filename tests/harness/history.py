"""What happens to objects on the way, which a look at the end does not tell."""

from kube.informer import Informer
from kube.objects import Object
from kube.resources import Resource
from tests.harness.space import BY_KIND, Space


class History:
    """Every version that the objects of a namespace have had, one kind, as a watch brings them."""

    def __init__(self, space: Space, kind: str | Resource) -> None:
        self.versions: list[Object] = []
        self.deleted: set[str] = set()
        """Uids of those that are gone, as far as the watch has told."""
        resource = BY_KIND[kind] if isinstance(kind, str) else kind
        self._informer = Informer(space.client, resource, self._changed, namespace=space.name)
        self._informer.start()
        assert self._informer.wait(20)

    def _changed(self, obj: Object, deleted: bool) -> None:
        if deleted:
            self.deleted.add(obj["metadata"]["uid"])
        self.versions.append({**obj, "deleted": True} if deleted else obj)

    def stop(self) -> list[Object]:
        """All of them, in order."""
        self._informer.stop()
        return self.versions
