"""Values that are valid alone but conflict with each other or the chart's own: one wins, or the chart refuses them."""

from typing import Any

import pytest
import yaml

from crds.generate import CHART
from injection.extras import OWN
from tests.chart.cases import Object, reached
from tests.chart.table import CONTROLLER, MONITORED, POD, WEBHOOK
from tests.harness.helm import Helm, HelmError

HELM = Helm()


class _Unique(yaml.CSafeLoader):
    """Refuses duplicate keys of a map, as strict readers do."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [self.construct_object(key) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"{twice}, {node.start_mark}"
        return super().construct_mapping(node, deep)


def rendered(values: Object) -> list[Object]:
    """The rendered objects. No object and no key of a map may occur twice."""
    text = HELM.run("template", "asya-operator", str(CHART), "--kube-version", "1.36.0", values=values)
    objects = [obj for obj in yaml.load_all(text, _Unique) if obj]
    names = [(obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"]) for obj in objects]
    assert len(names) == len(set(names))
    return objects


def test_no_label_replaces_a_label_that_a_selector_needs() -> None:
    labels = {"app.kubernetes.io/name": "theirs", "app.kubernetes.io/component": "theirs", "team": "ml"}
    pods = {"podLabels": {**labels, "mesh": "off"}}
    objects = rendered({**MONITORED, "commonLabels": labels, "controller": pods, "webhook": pods})
    for deployment, component in ((CONTROLLER, "controller"), (WEBHOOK, "webhook")):
        selector = reached(objects, deployment, "spec.selector.matchLabels")
        assert selector["app.kubernetes.io/component"] == component
        assert selector.items() <= reached(objects, deployment, "spec.template.metadata.labels").items()
        assert selector.items() <= reached(objects, deployment, "metadata.labels").items()
        assert reached(objects, deployment, "spec.template.metadata.labels.mesh") == "off"
    for hook in ("release", "cleanup"):
        assert reached(objects, f"Job/asya-operator-{hook}", "spec.template.metadata.labels.mesh") == "off"
        assert reached(objects, f"Job/asya-operator-{hook}", "metadata.labels.team") == "ml"


def test_labels_for_prometheus_override_those_of_the_chart() -> None:
    values = {"metrics": {"rules": {"enabled": True, "labels": {"app.kubernetes.io/name": "prometheus"}}}}
    rule = reached(rendered(values), "PrometheusRule/asya-operator", "metadata.labels")
    assert rule["app.kubernetes.io/name"] == "prometheus"
    assert rule["app.kubernetes.io/instance"] == "asya-operator"


def test_a_users_variable_replaces_the_charts_variable() -> None:
    """Server-side apply, which Helm 4 uses, refuses a list with a duplicate name."""
    mine = {"extraEnv": [{"name": "ASYA_LOG_LEVEL", "value": "DEBUG"}, {"name": "MINE", "value": "1"}]}
    objects = rendered({"controller": mine, "webhook": mine})
    for target in (CONTROLLER, WEBHOOK, "Job/asya-operator-release", "Job/asya-operator-cleanup"):
        env = reached(objects, target, f"{POD}.containers.0.env")
        assert [e["value"] for e in env if e["name"] in ("ASYA_LOG_LEVEL", "MINE")] == ["DEBUG", "1"]
        assert len({e["name"] for e in env}) == len(env)
        assert reached(objects, target, f"{POD}.containers.0.env.POD_NAMESPACE.valueFrom.fieldRef.fieldPath")


def test_a_users_volume_replaces_the_charts_volume() -> None:
    objects = rendered({"webhook": {"extraVolumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}]}})
    assert reached(objects, WEBHOOK, f"{POD}.volumes") == [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}]
    assert reached(objects, WEBHOOK, f"{POD}.containers.0.volumeMounts.tmp.mountPath") == "/tmp"


def test_recreate_omits_the_numbers_of_a_rolling_update() -> None:
    """The webhook has such numbers by default, and an API server refuses them with Recreate."""
    objects = rendered({"webhook": {"updateStrategy": {"type": "Recreate"}}})
    assert reached(objects, WEBHOOK, "spec.strategy") == {"type": "Recreate"}


def test_a_disruption_budget_has_exactly_one_number() -> None:
    objects = rendered({"webhook": {"podDisruptionBudgetSpec": {"minAvailable": 1}}})
    budget = reached(objects, "PodDisruptionBudget/asya-operator-webhook", "spec")
    assert {key: budget[key] for key in budget if key != "selector"} == {"minAvailable": 1}
    policy = {"unhealthyPodEvictionPolicy": "AlwaysAllow"}
    objects = rendered({"webhook": {"podDisruptionBudgetSpec": policy}})
    budget = reached(objects, "PodDisruptionBudget/asya-operator-webhook", "spec")
    assert {key: budget[key] for key in budget if key != "selector"} == {**policy, "maxUnavailable": 1}


def test_both_processes_can_share_one_account() -> None:
    def account(annotation: str) -> Object:
        return {"serviceAccount": {"name": "ours", "annotations": {annotation: "yes"}}}

    objects = rendered({"controller": account("a"), "webhook": account("b")})
    assert reached(objects, "ServiceAccount/ours", "metadata.annotations") == {"a": "yes", "b": "yes"}
    assert [reached(objects, d, f"{POD}.serviceAccountName") for d in (CONTROLLER, WEBHOOK)] == ["ours", "ours"]


def test_the_pod_of_helm_test_reaches_the_webhook_through_the_network_policy() -> None:
    objects = rendered({"networkPolicy": {"enabled": True, "apiServers": ["192.0.2.0/28"]}})
    allowed = reached(objects, "NetworkPolicy/asya-operator", "spec.ingress.0.from")
    (selector,) = (peer["podSelector"]["matchLabels"] for peer in allowed if "podSelector" in peer)
    assert selector.items() <= reached(objects, "Pod/asya-operator-test", "metadata.labels").items()
    for target in (CONTROLLER, WEBHOOK):
        assert not selector.items() <= reached(objects, target, "spec.template.metadata.labels").items()


def _volume(name: str, mounted: str) -> Object:
    volumes = [{"name": name, "configMap": {"name": "ca"}}]
    return {"sidecar": {"extraVolumes": volumes, "extraVolumeMounts": [{"name": mounted, "mountPath": "/ca"}]}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"webhook": {"port": 8080}}, "webhook.port: must differ from the port of the metrics"),
        ({"webhook": {"metricsPort": 8443}}, "webhook.port: must differ from the port of the metrics"),
        (
            {"webhook": {"podDisruptionBudgetSpec": {"minAvailable": 1, "maxUnavailable": 1}}},
            "webhook.podDisruptionBudgetSpec: must have minAvailable or maxUnavailable, not both",
        ),
        ({"runtime": {"port": 9095}}, "runtime.port: must differ from sidecar.metricsPort"),
        ({"webhook": {"clientNames": ["a"]}}, "webhook.clientNames: needs webhook.clientCA"),
        (
            {"service": {"ipFamilies": ["IPv4", "IPv6"]}},
            "service.ipFamilyPolicy: must be PreferDualStack or RequireDualStack where service.ipFamilies has two",
        ),
        (
            _volume("asya-ca", "asya-certs"),
            r"sidecar.extraVolumeMounts: each must name one of sidecar.extraVolumes \(asya-ca\); found asya-certs",
        ),
        *[(_volume(name, name), f"sidecar.extraVolumes: {name} is a volume that injection adds") for name in OWN],
    ],
    ids=str,
)
def test_conflicting_values_are_refused_by_name(values: Object, message: str) -> None:
    with pytest.raises(HelmError, match=message):
        HELM.template(values)


USERS_OWN = ("securitycontext", "resources", "probe", "strategy", "labels", "constraints")


def _nulls(values: Object, depth: int) -> Object:
    """Null in place of each value at this depth, except maps and lists that the user fills."""
    made: Object = {}
    for key, value in values.items():
        if key.lower().endswith(USERS_OWN):
            continue
        made[key] = _nulls(value, depth - 1) if depth and isinstance(value, dict) else None
    return made


def test_null_means_the_default() -> None:
    """Helm removes a value that is null. A template that expects the value must not fail on nil."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    expected = rendered({})
    for depth in range(4):
        assert rendered(_nulls(values, depth)) == expected, depth


def test_null_empties_lists_and_maps_of_the_user() -> None:
    empty: Object = dict.fromkeys(
        ("resources", "livenessProbe", "readinessProbe", "updateStrategy", "topologySpreadConstraints")
    )
    objects = rendered({"controller": empty, "webhook": empty, "sidecar": {"defaultResources": None}})
    for target in (CONTROLLER, WEBHOOK):
        container = reached(objects, target, f"{POD}.containers.0")
        assert container["resources"] == {}
        assert set(container["livenessProbe"]) == set(container["readinessProbe"]) == {"httpGet"}
        assert reached(objects, target, "spec.strategy") is None
        assert reached(objects, target, f"{POD}.topologySpreadConstraints") is None
        assert reached(objects, target, f"{POD}.containers.0.env.ASYA_SIDECAR_RESOURCES.value") == "{}"


def test_the_rights_to_a_namespace_include_its_actors() -> None:
    """Kubernetes aggregates roles by labels: ``edit`` includes ``view``, and ``admin`` includes ``edit``."""
    given: dict[str, set[str]] = {"view": set(), "edit": set(), "admin": set()}
    for obj in rendered({}):
        for role in given:
            if (obj["metadata"].get("labels") or {}).get(f"rbac.authorization.k8s.io/aggregate-to-{role}") == "true":
                assert {group for rule in obj["rules"] for group in rule["apiGroups"]} == {"asya.io"}
                given[role] |= {verb for rule in obj["rules"] for verb in rule["verbs"]}
    assert given["view"] == {"get", "list", "watch"}
    assert given["edit"] == given["admin"] == {"create", "update", "patch", "delete", "deletecollection"}
