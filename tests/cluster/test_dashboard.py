"""The dashboard for a user with few rights, on a real control plane: it names each missing right."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cli import dashboard as command
from dashboard.acting import Controls
from dashboard.detail import detail, logs
from dashboard.ports import Refused
from dashboard.scraper import Scraper
from dashboard.server import CannotStart, Dashboard, Options
from kube.client import Client
from kube.credentials import load_configuration
from kube.objects import Object
from kube.resources import Resource
from tests.harness.clusters import Cluster, wait_for
from tests.harness.space import Space, actor

pytestmark = pytest.mark.only("kube-apiserver")

RBAC = "rbac.authorization.k8s.io/v1"
ROLES, BINDINGS = Resource(RBAC, "Role", "roles"), Resource(RBAC, "RoleBinding", "rolebindings")
ACCOUNTS = Resource("v1", "ServiceAccount", "serviceaccounts")


def account(space: Space, cluster: Cluster, directory: Path, name: str, rules: list[Object]) -> Path:
    """A kubeconfig of a new ServiceAccount with these rights in the namespace."""
    metadata = {"name": name, "namespace": space.name}
    space.client.create(ACCOUNTS, {"metadata": metadata})
    space.client.create(ROLES, {"metadata": metadata, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": name, "namespace": space.name}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    space.client.create(BINDINGS, {"metadata": metadata, "roleRef": reference, "subjects": [subject]})
    path = ACCOUNTS.path(space.name, name, "token")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    token = space.client.request("POST", path, body=request)["status"]["token"]
    config: Any = yaml.safe_load(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    made = directory / name
    made.write_text(yaml.safe_dump(config))
    return made


@pytest.fixture
def looker(space: Space, cluster: Cluster, tmp_path: Path) -> Client:
    """A client of a user who can read AsyncActors and nothing else."""
    rules = [{"apiGroups": ["asya.io"], "resources": ["asyncactors"], "verbs": ["get", "list", "watch"]}]
    return Client(load_configuration(str(account(space, cluster, tmp_path, "looker", rules))))


def test_each_missing_right_is_named(space: Space, looker: Client) -> None:
    space.apply(actor("a"))
    space.wait_condition("a", "Ready", "True")
    made = Dashboard(lambda: looker, command.ports(looker), Options(space.name, 0, "test"))
    made.start()
    try:
        wait_for("the actor", lambda: made.board.row(space.name, "a"))
        notices = [notice["text"] for notice in made.board.changes(None).notices or ()]
        assert [text for text in notices if "list horizontalpodautoscalers.autoscaling" in text], notices
        result = made.board.actor(space.name, "a")
        assert result is not None
        shown = detail(looker, made.services.ports, result)
        assert shown["conditions"][0]["type"] == "Ready"
        message = " ".join(shown["missing"])
        for part in ('cannot list resource "deployments"', "may not list pods in", "may not list events in"):
            assert part in message, part
        assert "You may not list pods" in logs(looker, looker, space.name, "a", "runtime")["missing"][0]
        scraper = Scraper(looker, looker, space.name)
        assert "You may not list pods" in scraper.look(space.name).problem
        with pytest.raises(Refused, match="you may not get deployments"):
            Controls(looker).pause(space.name, "a")
    finally:
        made.close()


def test_the_dashboard_does_not_start_without_the_right_to_list_actors(space: Space, looker: Client) -> None:
    with pytest.raises(CannotStart, match=r"you may not list asyncactors\.asya\.io in all namespaces.*NAME"):
        Dashboard(lambda: looker, command.ports(looker), Options("", 0, "test"))
