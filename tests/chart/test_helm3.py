"""Helm 3 beside Helm 4, which all other tests use: the same objects and refusals, and one release with both."""

import json
from typing import Any

import pytest
import yaml

from kube.resources import DEPLOYMENTS, MUTATING_WEBHOOKS
from tests.chart.cases import merged
from tests.chart.table import MONITORED, values_of_processes
from tests.harness.clusters import start_sandbox
from tests.harness.helm import CHART, Helm

Object = dict[str, Any]
OLD, NEW = Helm(program="helm3"), Helm()


def test_the_two_helms_have_different_major_versions() -> None:
    assert OLD.run("version", "--short").startswith("v3.")
    if NEW.run("version", "--short").startswith("v3."):
        pytest.skip("the helm on the PATH is of version 3, too")


@pytest.mark.parametrize("certs", ["self", "cert-manager", "secret"])
def test_both_render_the_same(certs: str) -> None:
    values = merged(merged(values_of_processes(), MONITORED), {"certs": {"mode": certs}})
    objects = [helm.template(values, "--kube-version", "1.33.0") for helm in (OLD, NEW)]
    texts = [sorted(json.dumps(obj, sort_keys=True) for obj in live) for live in objects]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"webhook": {"timeoutSeconds": 60}}, ["webhook", "timeoutSeconds"]),
        ({"sidecar": {"metricPort": 1}}, ["sidecar", "metricPort"]),
        ({"certs": {"caLifetime": "30d"}}, ["certs.lifetime: must not be longer than certs.caLifetime"]),
    ],
    ids=str,
)
def test_wrong_values_are_refused_by_name(wrong: Object, words: list[str]) -> None:
    message = OLD.refusal(wrong)
    assert all(word in message for word in words), message


def test_helm_4_continues_a_release_of_helm_3(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Helm 3 installs, upgrades and rolls back. Then Helm 4 upgrades, rolls back and uninstalls."""
    cluster = start_sandbox(tmp_path_factory.mktemp("helm3"))
    client = cluster.client()

    def replicas() -> int:
        live = client.get(DEPLOYMENTS, "asya-system", "asya-operator-webhook")
        assert live is not None
        return int(live["spec"]["replicas"])

    try:
        old, new = Helm(cluster.kubeconfig, program="helm3"), Helm(cluster.kubeconfig)
        old.install({"webhook": {"replicas": 3}})
        # The controller owns this field alone, and no version of Helm may clear it.
        live = client.get(MUTATING_WEBHOOKS, "", "asya-operator")
        assert live is not None
        hooks = [{"name": hook["name"], "clientConfig": {"caBundle": "Q0E="}} for hook in live["webhooks"]]
        kind = {"apiVersion": MUTATING_WEBHOOKS.api_version, "kind": MUTATING_WEBHOOKS.kind}
        published: Object = {**kind, "metadata": {"name": "asya-operator"}, "webhooks": hooks}
        client.apply(MUTATING_WEBHOOKS, published, manager="asya-operator-certs")
        for helm, count in ((old, 4), (new, 5)):
            helm.install({"webhook": {"replicas": count}})
            assert replicas() == count
            before = json.loads(helm.run("history", "asya-operator", "--output", "json"))[-2]
            helm.run("rollback", "asya-operator", str(before["revision"]))
            assert replicas() == 3
            live = client.get(MUTATING_WEBHOOKS, "", "asya-operator")
            assert live is not None
            assert {hook["clientConfig"].get("caBundle") for hook in live["webhooks"]} == {"Q0E="}
        new.run("upgrade", "asya-operator", str(CHART), "--reuse-values")
        assert replicas() == 3
        for helm in (old, new):
            hooks = list(yaml.safe_load_all(helm.run("get", "hooks", "asya-operator")))
            kinds = {hook["metadata"]["annotations"]["helm.sh/hook"] for hook in hooks}
            assert kinds == {"pre-delete", "post-delete", "test"}
        new.uninstall()
        assert client.get(DEPLOYMENTS, "asya-system", "asya-operator") is None
        assert json.loads(old.run("list", "--all", "--output", "json")) == []
    finally:
        cluster.stop()
