"""An actor adopts an orphan only if the API server itself says that the actor exists and is not being deleted."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from controller.cluster.access import Cluster
from crds.names import API_VERSION, KIND
from kube.client import Client
from kube.failures import ApiError
from kube.informer import Informer
from kube.objects import Object
from kube.resources import DEPLOYMENTS

OWNER = {"apiVersion": API_VERSION, "kind": KIND, "name": "a", "uid": "1", "controller": True}
WANTED: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "a", "namespace": "n", "labels": {"new": "1"}, "ownerReferences": [OWNER]},
}


def deployment(**metadata: Any) -> Object:
    return {**WANTED, "metadata": {"name": "a", "namespace": "n", "uid": "d", **metadata}}


class Api:
    """Has one actor, and records what is applied."""

    def __init__(self, actor: Object | None) -> None:
        self.actor, self.applied = actor, list[Object]()

    def get(self, resource: object, namespace: str, name: str) -> Object | None:
        return self.actor

    def apply(self, resource: object, obj: Object, uid: str) -> Object:
        self.applied.append(obj)
        return {**obj, "metadata": {**obj["metadata"], "uid": uid}}


def ensure(api: Api, live: Object) -> Object:
    cluster = Cluster(cast(Client, api), *[lambda *_: None] * 5)
    informer = cast(Informer, SimpleNamespace(resource=DEPLOYMENTS, observe=lambda obj: None))
    return cluster.ensure(informer, live, WANTED)


@pytest.mark.parametrize(
    "actor",
    [
        None,
        {"metadata": {"name": "a", "uid": "2"}},
        {"metadata": {"name": "a", "uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z"}},
    ],
    ids=["gone", "another", "being deleted"],
)
def test_a_missing_or_deleted_actor_adopts_nothing(actor: Object | None) -> None:
    api = Api(actor)
    with pytest.raises(ApiError, match="is not adopted: the AsyncActor 'a' is being deleted") as caught:
        ensure(api, deployment())
    assert caught.value.kind == "conflict"
    assert not api.applied


def test_an_existing_actor_adopts() -> None:
    api = Api({"metadata": {"name": "a", "uid": "1"}})
    ensure(api, deployment())
    assert api.applied == [WANTED]


def test_an_owned_object_is_written_without_a_read() -> None:
    api = Api(None)
    ensure(api, deployment(ownerReferences=[OWNER]))
    assert api.applied == [WANTED]
