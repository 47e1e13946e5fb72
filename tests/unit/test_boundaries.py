"""No value that a user writes into an object makes the operator act outside of that object's namespace."""

from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crds.parse import InvalidActor, parse_actor
from injection.settings import SidecarDefaults
from kube.client import Client
from kube.failures import ApiError
from kube.informer import Informer
from kube.resources import ASYNC_ACTORS, CONFIG_MAPS, DEPLOYMENTS
from tests.harness.space import actor
from webhook.actors import ActorCache
from webhook.admission import PlanRequest

HOSTILE = [
    "..",
    ".",
    "../other/x",
    "a/b",
    "%2e%2e",
    "a%2fb",
    "a?b=c",
    "a#b",
    "a b",
    "é",
    "x" * 300,
    "\x00",
    "-a",
    "a\n",
    "//",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_an_impossible_name_is_in_no_path(name: str) -> None:
    for arguments in ((name, "x"), ("ns", name)):
        with pytest.raises(ApiError) as raised:
            DEPLOYMENTS.path(*arguments)
        assert raised.value.code == 404


@given(st.text(max_size=300), st.text(max_size=300))
def test_a_path_has_the_expected_segments(namespace: str, name: str) -> None:
    try:
        path = DEPLOYMENTS.path(namespace or "ns", name or "x")
    except ApiError:
        return
    assert path.split("/") == ["", "apis", "apps", "v1", "namespaces", namespace or "ns", "deployments", name or "x"]
    assert path.isascii()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_label_with_an_invalid_name_requests_no_actor(name: str) -> None:
    cache = ActorCache(Client.__new__(Client), SidecarDefaults(), "asya-system")
    assert cache.plan(PlanRequest("ns", name)) is None


@pytest.mark.parametrize("name", HOSTILE)
def test_an_actor_names_no_workload_outside_its_namespace(name: str) -> None:
    obj = actor("a")
    obj["spec"]["workload"]["name"] = name
    with pytest.raises(InvalidActor):
        parse_actor(obj)


def test_a_forged_owner_in_another_namespace_owns_nothing() -> None:
    informer = Informer(cast(Client, None), CONFIG_MAPS)
    owners = [{"apiVersion": "asya.io/v1alpha1", "kind": "AsyncActor", "name": "a", "uid": "u", "controller": True}]
    forged = {"metadata": {"namespace": "other", "name": "x", "uid": "1", "ownerReferences": owners}}
    informer.apply({"type": "ADDED", "object": forged})
    assert informer.owned_by("ns", "u") == []
    assert [obj["metadata"] for obj in informer.owned_by("other", "u")] == [forged["metadata"]]


def test_references_have_no_namespace_to_name() -> None:
    obj = actor("a")
    obj["spec"]["transport"]["rabbitmq"]["passwordSecretRef"] = {"name": "s", "key": "k", "namespace": "other"}
    parsed = parse_actor(obj)
    assert "other" not in parsed.model_dump_json()
    assert ASYNC_ACTORS.path("ns", "a").startswith("/apis/asya.io/v1alpha1/namespaces/ns/")
