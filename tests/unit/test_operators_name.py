"""The plugin finds the operator by its labels and environment, because the chart's values can change its name."""

from typing import Any, cast

import pytest

from cli.gather import Gatherer
from kube.client import Client
from kube.failures import ApiError
from kube.objects import Object
from kube.resources import DEPLOYMENTS, PODS, Resource
from messages.target import target_of
from tests.harness.helm import Helm
from tests.harness.space import actor


class Fake:
    """An API server with the chart's Deployments, their pods, and another controller."""

    def __init__(self, values: Object, refusal: int = 0) -> None:
        others = {"metadata": {"name": "another", "labels": {"app.kubernetes.io/component": "controller"}}}
        others |= {"spec": {"template": {"spec": {"containers": [{"name": "controller", "image": "another:1"}]}}}}
        rendered = [obj for obj in Helm().template(values) if obj["kind"] == "Deployment"]
        self.deployments = [others, *rendered]
        self.refusal = refusal
        self.logs: list[str] = []

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        if self.refusal and resource == DEPLOYMENTS:
            raise ApiError(self.refusal, "Forbidden", "no right")
        return next((o for o in self.deployments if resource == DEPLOYMENTS and o["metadata"]["name"] == name), None)

    def list(self, resource: Resource, namespace: str = "", labelSelector: str = "", **query: str) -> list[Object]:
        given = {"component=controller": ["controller"], "component in (controller,webhook)": ["controller", "webhook"]}
        components = given.get(labelSelector.removeprefix("app.kubernetes.io/"), [])
        return [
            {"metadata": obj["metadata"], "spec": obj["spec"]["template"]["spec"] if resource == PODS else obj["spec"]}
            for obj in self.deployments
            if obj["metadata"]["labels"]["app.kubernetes.io/component"] in components
        ]

    def request(self, method: str, path: str, **options: Any) -> Any:
        self.logs.append(path)
        raise ApiError(404, "NotFound", "no log")


NAMES = [{}, {"fullnameOverride": "ours"}, {"nameOverride": "ours"}]


@pytest.mark.parametrize("names", NAMES, ids=str)
def test_the_image_and_the_settings_are_the_operators(names: Object) -> None:
    obj = actor("a")
    obj["metadata"] |= {"namespace": "n", "uid": "1", "generation": 1}
    values = {**names, "image": {"tag": "9"}, "sidecar": {"generation": "http"}}
    target = target_of(cast(Client, Fake(values)), obj)
    assert (target.image, target.generation) == ("asya-operator:9", "http")
    assert target_of(cast(Client, Fake(values, refusal=403)), obj).image == ""


@pytest.mark.parametrize("names", NAMES, ids=str)
def test_a_report_has_the_logs_of_both_processes(names: Object) -> None:
    fake = Fake(names)
    assert list(Gatherer(cast(Client, fake), "n", "asya-system", 10)._of_operator()) == []
    name = next(iter(names.values()), "asya-operator")
    logs = {path.split("/")[-2] for path in fake.logs if path.endswith("/log")}
    assert logs == {name, f"{name}-webhook"}
