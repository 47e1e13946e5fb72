"""Values that are right by themselves and meet each other, or the chart's own: one wins, or the chart refuses them."""

from typing import Any

import yaml

from crds.generate import CHART
from tests.chart.cases import Object, reached
from tests.chart.table import CONTROLLER, MONITORED, WEBHOOK
from tests.harness.helm import Helm

HELM = Helm()


class _Unique(yaml.CSafeLoader):
    """Refuses a key that a map has twice, as strict readers do."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [self.construct_object(key) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        assert not twice, f"{twice}, {node.start_mark}"
        return super().construct_mapping(node, deep)


def rendered(values: Object) -> list[Object]:
    """The objects, none of them twice, and no key twice in a map."""
    text = HELM.run("template", "asya-operator", str(CHART), "--kube-version", "1.36.0", values=values)
    objects = [obj for obj in yaml.load_all(text, _Unique) if obj]
    names = [(obj["kind"], obj["metadata"].get("namespace"), obj["metadata"]["name"]) for obj in objects]
    assert len(names) == len(set(names))
    return objects


def test_no_label_takes_the_place_of_one_that_a_selector_needs() -> None:
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


def test_labels_for_prometheus_win_over_those_of_the_chart() -> None:
    values = {"metrics": {"rules": {"enabled": True, "labels": {"app.kubernetes.io/name": "prometheus"}}}}
    rule = reached(rendered(values), "PrometheusRule/asya-operator", "metadata.labels")
    assert rule["app.kubernetes.io/name"] == "prometheus"
    assert rule["app.kubernetes.io/instance"] == "asya-operator"
