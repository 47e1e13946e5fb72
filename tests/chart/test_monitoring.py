"""Alerts in promtool, and a real Prometheus with both processes: every metric of alerts and panels exists."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from cli.manual import METRICS
from telemetry.metrics.describe import described
from tests.harness.clusters import ROOT, Cluster, wait_for
from tests.harness.helm import CHART, Helm
from tests.harness.operator import Operator
from tests.harness.prometheus import MISSING, Prometheus, alerts, prometheus_only, rules
from tests.harness.space import Space, actor

DASHBOARD = CHART / "files" / "dashboard.json"
METRIC = re.compile(r"\basya_[a-z_]+")
FOREIGN = ("asya_actor_", "keda_")
"""Metrics that sidecars and KEDA export, and no process of the operator."""


def panels() -> list[dict[str, Any]]:
    """The dashboard's panels."""
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def expressions() -> list[str]:
    """The expressions of the panels."""
    return [target["expr"].replace("$__rate_interval", "1m") for panel in panels() for target in panel["targets"]]


@prometheus_only
def test_every_alert_fires_only_when_it_must(tmp_path: Path) -> None:
    rule_file, test = tmp_path / "alerts.yaml", tmp_path / "alerts.test.yaml"
    rule_file.write_text(alerts())
    test.write_text(Path(__file__).with_name("alerts.test.yaml").read_text())
    for command in (["check", "rules", str(rule_file)], ["test", "rules", str(test)]):
        completed = subprocess.run(["promtool", *command], capture_output=True, text=True)
        assert completed.returncode == 0, completed.stdout + completed.stderr
    tried = {
        t["alertname"] for case in yaml.safe_load(test.read_text())["tests"] for t in case.get("alert_rule_test", ())
    }
    assert tried == {rule["alert"] for rule in rules()}


def test_every_alert_has_a_severity_and_a_runbook_that_exists() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["runbook_url"] == f"RUNBOOK#{rule['alert'].lower()}"
        assert f"\n### {rule['alert']}\n" in page


def test_alerts_and_panels_use_existing_metrics() -> None:
    text = "".join(expressions()) + alerts()
    assert METRICS, "the modules declare no metric at import"
    known = {metric.name for metric in described()}
    for name in METRIC.findall(text):
        if name.startswith(FOREIGN):
            continue
        assert name in known or re.sub(r"_(bucket|count|sum)$", "", name) in known, name


def test_grafana_knows_every_field_of_the_dashboard() -> None:
    """Grafana's own Python models drop unknown fields, so the result contains only valid ones."""
    text = DASHBOARD.read_text()
    understood = json.loads(JSONEncoder().encode(Dashboard.from_json(json.loads(text))))
    assert_within(json.loads(text), understood, "dashboard")


def assert_within(expected: Any, actual: Any, path: str) -> None:
    """All of ``wanted`` is in ``found``."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            assert key in actual, f"{path}.{key}"
            assert_within(value, actual[key], f"{path}.{key}")
    elif isinstance(expected, list):
        assert len(expected) == len(actual), path
        for index, (one, other) in enumerate(zip(expected, actual, strict=True)):
            assert_within(one, other, f"{path}[{index}]")
    else:
        assert expected == actual, path


def test_the_chart_includes_alerts_and_dashboard_when_enabled() -> None:
    values = {
        "metrics": {"rules": {"enabled": True, "labels": {"release": "prometheus"}}, "dashboard": {"enabled": True}}
    }
    by_kind = {obj["kind"]: obj for obj in Helm().template(values) if "monitoring" in obj["apiVersion"]}
    linked = alerts().replace("RUNBOOK", "docs/troubleshooting.md")
    assert by_kind["PrometheusRule"]["spec"] == yaml.safe_load(linked)
    assert by_kind["PrometheusRule"]["metadata"]["labels"]["release"] == "prometheus"
    maps = [o for o in Helm().template(values) if o["metadata"]["name"] == "asya-operator-dashboard"]
    assert json.loads(maps[0]["data"]["asya-operator.json"]) == json.loads(DASHBOARD.read_text())
    assert maps[0]["metadata"]["labels"]["grafana_dashboard"] == "1"
    plain = {(o["kind"], o["metadata"]["name"]) for o in Helm().template({})}
    assert not {k for k in plain if k[0] == "PrometheusRule" or "dashboard" in k[1]}


@pytest.fixture
def prometheus(tmp_path: Path, operator: Operator) -> Iterator[Prometheus]:
    """A Prometheus for this test alone."""
    if MISSING:
        pytest.skip(MISSING)
    targets = [f"127.0.0.1:{operator.metrics_port}", *(f"127.0.0.1:{c.port}" for c in operator.controllers)]
    made = Prometheus(tmp_path / "prometheus", targets)
    yield made
    made.process.stop()


@pytest.mark.best_tier
def test_a_real_prometheus_scrapes_both_processes(space: Space, cluster: Cluster, prometheus: Prometheus) -> None:
    wait_for("Prometheus to scrape", prometheus.is_up)
    space.apply(actor("a", scaling={"enabled": True}))
    space.wait_condition("a", "Ready", "True")

    def matches(expression: str) -> bool:
        return bool(prometheus.ask("query", query=expression)["result"])

    for expression in expressions():
        if not any(
            word in expression for word in (*FOREIGN, "denials", "ready=", "without_keda)")
        ):  # the metric may have no sample
            wait_for(expression, lambda expression=expression: matches(expression))  # type: ignore[misc]
    wait_for(
        "the injection", lambda: matches('asya_webhook_admissions_total{outcome="injected",resource="deployments"} > 0')
    )
    wait_for("all rules to be evaluated", lambda: {rule["health"] for rule in loaded(prometheus)} == {"ok"})
    assert [rule["name"] for rule in loaded(prometheus)] == [rule["alert"] for rule in rules()]
    states = {rule["name"]: rule["state"] for rule in loaded(prometheus)}
    assert (states["AsyaWebhookDown"], states["AsyaNoLeader"]) == ("inactive", "inactive")


def loaded(prometheus: Prometheus) -> list[dict[str, Any]]:
    """The alerts that Prometheus has loaded."""
    return list(prometheus.ask("rules")["groups"][0]["rules"])
