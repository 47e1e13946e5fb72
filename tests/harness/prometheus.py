"""A real Prometheus (Debian's) that scrapes an operator and, on a real control plane, the API server."""

import base64
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

from tests.harness.clusters import Cluster, Process, free_port, wait_for
from tests.harness.helm import CHART

ALERTS = CHART / "files" / "alerts.yaml"
"""The file with the alerts. The chart replaces its words in capitals."""
MISSING = (
    ""
    if shutil.which("promtool") and shutil.which("prometheus")
    else "no promtool: make brokers installs Debian's prometheus as root"
)
prometheus_only = pytest.mark.skipif(bool(MISSING), reason=MISSING)

WINDOW_SECONDS = 15
"""Length of every range in the rules of :func:`quick`. A rate needs several scrapes."""
SILENCE_SECONDS = 14
"""Threshold of the watch alert in :func:`quick`. The watchdog checks every 5 s."""


def alerts() -> str:
    """The alerts of a release with the default names."""
    return ALERTS.read_text().replace(" OPTIONS", "").replace("OPERATOR", "asya-operator")


def rules() -> list[dict[str, Any]]:
    """The alerts of the chart."""
    return [rule for group in yaml.safe_load(alerts())["groups"] for rule in group["rules"]]


def quick(text: str) -> str:
    """The alerts' file with seconds in place of minutes, so that a test can wait until alerts fire and resolve."""
    text = re.sub(r"(?m)^(\s+for:) \S+", r"\1 1s", text)
    text = re.sub(r"\[\d+m\]", f"[{WINDOW_SECONDS}s]", text)
    # Other watches are silent for up to a minute at rest. The test keeps this one busy.
    silence = "asya_watch_silence_seconds) > 300"
    assert silence in text
    return text.replace(silence, f'asya_watch_silence_seconds{{resource=~"asyncactors.*"}}) > {SILENCE_SECONDS}')


class Prometheus:
    """A Prometheus that scrapes ``targets`` (host:port) every second. More can be added while it runs."""

    def __init__(
        self, directory: Path, targets: list[str], *, rule_text: str = "", cluster: Cluster | None = None
    ) -> None:
        """``rule_text`` replaces the chart's rules. ``cluster`` is a cluster whose API server is scraped too."""
        self.port = free_port()
        directory.mkdir(parents=True, exist_ok=True)
        self._targets, self._file = list(targets), directory / "targets.json"
        self._write_targets()
        rule_file = directory / "alerts.yaml"
        rule_file.write_text(rule_text or alerts())
        jobs: list[dict[str, Any]] = [
            {"job_name": "asya-operator-metrics", "file_sd_configs": [{"files": [str(self._file)]}]}
        ]
        if cluster is not None and cluster.real:
            jobs.append(_api_server_job(directory, cluster))
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "scrape_configs": jobs,
            "rule_files": [str(rule_file)],
        }
        (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._expected = len(targets) + len(jobs) - 1
        options = [f"--config.file={directory / 'prometheus.yml'}", f"--storage.tsdb.path={directory / 'data'}"]
        listen = f"--web.listen-address=127.0.0.1:{self.port}"
        self.process = Process(["prometheus", *options, listen], directory / "prometheus.log").start()

    def ask(self, path: str, **query: str) -> Any:
        """The response of its API."""
        answer = urllib3.request("GET", f"http://127.0.0.1:{self.port}/api/v1/{path}", fields=query, retries=False)
        return answer.json()["data"]

    def value(self, expression: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        return list(self.ask("query", query=expression)["result"])

    def is_up(self) -> bool:
        """Whether it scrapes all targets that it started with."""
        try:
            return len(self.value("up == 1")) >= self._expected
        except (urllib3.exceptions.HTTPError, ValueError):
            return False  # while it starts, it answers with plain text

    def set_targets(self, targets: list[str]) -> None:
        """From now on, scrape these addresses of the operator's processes."""
        self._targets = list(targets)
        self._write_targets()

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that fire."""
        return [a for a in self.ask("alerts")["alerts"] if a["state"] == "firing"]

    def wait_firing(self, name: str, **labels: str) -> dict[str, Any]:
        """Wait until that alert fires with these labels."""

        def matches() -> dict[str, Any] | None:
            return next((a for a in self.alerts() if _matches(a, name, labels)), None)

        return wait_for(f"{name} to fire", matches, 60, 0.5) or {}

    def wait_resolved(self, name: str, **labels: str) -> None:
        """Wait until that alert does not fire."""
        wait_for(f"{name} to resolve", lambda: not any(_matches(a, name, labels) for a in self.alerts()), 90, 0.5)

    def _write_targets(self) -> None:
        self._file.write_text(json.dumps([{"targets": self._targets}]))


def _matches(alert: dict[str, Any], name: str, labels: dict[str, str]) -> bool:
    return bool({"alertname": name, **labels}.items() <= alert["labels"].items())


def _api_server_job(directory: Path, cluster: Cluster) -> dict[str, Any]:
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = directory / "api-server.crt"
    authority.write_bytes(base64.b64decode(server["certificate-authority-data"]))
    return {
        "job_name": "apiserver",
        "scheme": "https",
        "scrape_interval": "3s",  # the response has megabytes, of which the rules need a few lines
        "metric_relabel_configs": [
            {"source_labels": ["__name__"], "regex": "apiserver_admission_webhook_.*", "action": "keep"}
        ],
        "authorization": {"credentials": user["token"]},
        "tls_config": {"ca_file": str(authority)},
        "static_configs": [{"targets": [server["server"].removeprefix("https://")]}],
    }
