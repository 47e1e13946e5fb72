"""KEDA's parameters in the ConfigMap ``asya-keda``: actors share entries, and unneeded ones go."""

from typing import Any

import pytest

from controller.cluster.parameters import parameters_map
from crds.names import OPERATOR
from kube.objects import Object
from tests.cluster.watching import ready
from tests.harness.clusters import wait_for
from tests.harness.history import History
from tests.harness.operator import Operator
from tests.harness.space import Space, actor

U, V, W = {"username_u": "u"}, {"username_v": "v"}, {"username_w": "w"}


def of_user(name: str, user: str, **scaling: Any) -> Object:
    rabbitmq = {"host": "rabbitmq", "username": user, "passwordSecretRef": {"name": "rabbitmq", "key": "password"}}
    return actor(name, scaling={"enabled": True, **scaling}, transport={"type": "rabbitmq", "rabbitmq": rabbitmq})


def becomes(space: Space, data: dict[str, str] | None) -> None:
    def holds() -> bool:
        config_map = space.get("ConfigMap", "asya-keda")
        return (config_map["data"] if config_map is not None else None) == data

    wait_for(f"the entries {data}", holds)


def test_entries_follow_the_actors(space: Space) -> None:
    for name in ("a", "b"):
        space.apply(of_user(name, "u"))
        ready(space, name)
    becomes(space, U)
    space.apply(of_user("a", "v"))
    becomes(space, U | V)
    space.apply(of_user("b", "w", enabled=False))
    becomes(space, V)
    space.apply(of_user("a", "w"))
    becomes(space, W)
    space.apply(of_user("a", "w", authenticationRef={"name": "mine"}))
    becomes(space, None)
    space.apply(of_user("b", "u"))
    becomes(space, U)
    space.delete("AsyncActor", "b")
    becomes(space, None)


@pytest.mark.best_tier
def test_entries_of_an_actor_that_was_deleted_while_no_operator_ran_go(space: Space, operator: Operator) -> None:
    space.apply(of_user("a", "u"))
    ready(space, "a")
    operator.stop_controllers()
    space.delete("AsyncActor", "a")
    space.wait_gone("TriggerAuthentication", "a")
    operator.start_controller()
    becomes(space, None)


@pytest.mark.best_tier
def test_entries_of_an_older_release_stay_until_they_are_replaced(space: Space, operator: Operator) -> None:
    """The first release named an entry by the actor."""
    names = "abc"
    for name in names:
        space.apply(of_user(name, "u"))
        ready(space, name)
    operator.stop_controllers()
    space.apply(parameters_map(space.name, {f"{name}.username": "u" for name in names}), OPERATOR)
    for name in names:
        reference = {"parameter": "username", "name": "asya-keda", "key": f"{name}.username"}
        space.patch("TriggerAuthentication", name, {"spec": {"configMapTargetRef": [reference]}})
    authentications, config_maps = History(space, "TriggerAuthentication"), History(space, "ConfigMap")
    operator.start_controller()
    becomes(space, U)
    versions = [obj["data"] for obj in config_maps.stop() if obj["metadata"]["name"] == "asya-keda"]
    assert all("username_u" in data for data in versions[1:])
    keys = {obj["spec"]["configMapTargetRef"][0]["key"] for obj in authentications.stop()}
    assert keys == {"username_u", "a.username", "b.username", "c.username"}
