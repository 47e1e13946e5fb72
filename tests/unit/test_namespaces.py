"""Several informers that act as one, and the settings of the processes for them."""

import threading
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.options import namespaces
from cli.release import release_all, remove_leftovers
from kube.client import Client
from kube.informer import Informer
from kube.informers import SeveralInformers, make_informer
from kube.lease import InvalidLeaseTimes, LeaseTimes
from kube.objects import Object
from kube.resources import CONFIG_MAPS


class Api:
    """Lists the objects of a namespace. Its watches are silent until they are stopped."""

    def __init__(self, objects: dict[str, list[Object]]) -> None:
        self.objects, self.namespaces = objects, list[str]()
        self.quiet = threading.Event()

    def list_all(
        self, resource: Any, namespace: str, query: Any, *, each: Any, on_page: Any
    ) -> tuple[list[Object], str]:
        self.namespaces.append(namespace)
        return [each(obj) for obj in self.objects[namespace]], "1"

    def request(self, *_: Any, **__: Any) -> Any:
        self.quiet.wait(5)
        raise AssertionError("the test is over")


def config_map(namespace: str, name: str, **labels: str) -> Object:
    owner = {"uid": "o", "controller": True, "kind": "AsyncActor", "name": "o"}
    metadata = {"namespace": namespace, "name": name, "uid": f"{namespace}-{name}", "labels": labels}
    return {"metadata": {**metadata, "resourceVersion": "5", "ownerReferences": [owner]}}


def test_one_cache_over_several_namespaces() -> None:
    api = Api({"a": [config_map("a", "x", app="1")], "b": [config_map("b", "x", app="1"), config_map("b", "y")]})
    several = make_informer(cast(Client, api), CONFIG_MAPS, namespaces=["a", "b"], index_label="app")
    assert isinstance(several, SeveralInformers)
    assert not several.is_synced
    several.start()
    try:
        assert several.wait(5)
        assert several.is_synced
        assert sorted(api.namespaces) == ["a", "b"], "it must never list all namespaces"
        assert [o["metadata"]["uid"] for o in several.owned_by("b", "o")] == ["b-x", "b-y"]
        assert [o["metadata"]["uid"] for o in several.labelled("a", "1")] == ["a-x"]
        assert len(several.all()) == 3
        assert several.get("c", "x") is None
        assert several.owned_by("c", "o") == several.labelled("c", "1") == []
        written = config_map("a", "x")
        written["metadata"]["resourceVersion"] = "9"
        several.observe(written)
        assert (several.get("a", "x") or {})["metadata"]["resourceVersion"] == "9"
        assert 0 < several.last_contact <= several.last_attempt
    finally:
        several.stop()
        api.quiet.set()


def test_only_the_hanging_watch_restarts() -> None:
    class Part:
        resource = CONFIG_MAPS

        def __init__(self, last: float) -> None:
            self.last_attempt, self.restarts = last, 0

        def restart(self) -> None:
            self.restarts += 1

    parts = {"a": Part(9.0), "b": Part(3.0)}
    several = SeveralInformers(CONFIG_MAPS, cast(dict[str, Informer], parts))
    assert several.last_attempt == 3.0
    several.restart()
    assert (parts["a"].restarts, parts["b"].restarts) == (0, 1)


def test_no_names_mean_all_namespaces() -> None:
    assert type(make_informer(cast(Client, None), CONFIG_MAPS)) is Informer
    assert namespaces("") == ()
    assert namespaces(" a, b,,a") == ("a", "b")


@pytest.mark.parametrize("times", [(15, 15, 2), (15, 10, 10), (1, 2, 3)])
def test_lease_times_that_allow_two_leaders_are_refused(times: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidLeaseTimes, match="ASYA_LEASE_RETRY_SECONDS < ASYA_LEASE_RENEW_SECONDS"):
        LeaseTimes(*times)
    environment = dict(
        zip(
            ("ASYA_LEASE_SECONDS", "ASYA_LEASE_RENEW_SECONDS", "ASYA_LEASE_RETRY_SECONDS"), map(str, times), strict=True
        )
    )
    message = CliRunner().invoke(app, ["controller"], env=environment)
    assert message.exit_code == 2
    assert "error: ASYA_LEASE_RETRY_SECONDS" in message.output


@pytest.mark.parametrize(
    ("command", "variable", "value"),
    [
        ("controller", "ASYA_CLIENT_QPS", "0"),
        ("webhook", "ASYA_CLIENT_BURST", "many"),
        ("webhook", "ASYA_WEBHOOK_PORT", "70000"),
    ],
)
def test_an_invalid_setting_is_refused(command: str, variable: str, value: str) -> None:
    message = CliRunner().invoke(app, [command], env={variable: value})
    assert message.exit_code == 2
    assert variable.removeprefix("ASYA_").replace("_", "-").lower().replace("webhook-", "") in message.output


def test_the_hook_lists_only_the_namespaces_and_waits_for_the_lease() -> None:
    class Cluster:
        def __init__(self) -> None:
            self.listed, self.lease = list[str](), {"holderIdentity": "other", "leaseDurationSeconds": 60}

        def get(self, resource: Any, namespace: str, name: str) -> Object:
            assert (namespace, name) == ("asya-system", "mine")
            return {"spec": self.lease}

        def request(self, method: str, path: str, body: Object) -> None:
            assert path.endswith("/mine")
            self.lease = body["spec"]

        def list(self, resource: Any, namespace: str) -> list[Object]:
            self.listed.append(namespace)
            return []

    cluster, slept = Cluster(), list[float]()
    release_all(cast(Client, cluster), "asya-system", slept.append, lease="mine", namespaces=("a", "b"))
    assert (cluster.listed, slept) == (["a", "b"], [60.0])


def test_leftovers_are_removed_except_those_of_others() -> None:
    class Cluster:
        def __init__(self) -> None:
            self.there = {"secrets/tls", "leases/mine", "configmaps/asya-keda", "configmaps/asya-runtime"}

        def get(self, resource: Any, _namespace: str, name: str) -> Object | None:
            manager = "asya-operator" if name == "asya-keda" else "somebody"
            return {"metadata": {"labels": {"app.kubernetes.io/managed-by": manager}}}

        def delete(self, resource: Any, _namespace: str, name: str) -> bool:
            known = f"{resource.plural}/{name}" in self.there
            self.there.discard(f"{resource.plural}/{name}")
            return known

    cluster = Cluster()
    removed = remove_leftovers(cast(Client, cluster), "asya-system", lease="mine", secrets=["tls", "tls-ca"])
    assert removed == ["secret/tls", "configmap/asya-keda", "lease/mine"]
    assert cluster.there == {"configmaps/asya-runtime"}
