"""Real ``helm`` for one cluster, or for none."""

import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from release.binaries import binary
from tests.harness.clusters import ROOT

CHART = ROOT / "charts" / "asya-operator"


class HelmError(Exception):
    """Helm failed. The message is Helm's."""


@dataclass
class Helm:
    """Helm for one cluster, or for none."""

    kubeconfig: Path | None = None
    namespace: str = "asya-system"
    program: str = "helm"
    """Name of the program: ``helm`` or ``helm3``."""
    _home: str = field(default_factory=lambda: tempfile.mkdtemp(prefix="asya-helm-"))

    def run(self, *arguments: str, values: dict[str, Any] | None = None) -> str:
        """Run helm. Return its output.

        Raises:
            HelmError: if it failed.
        """
        command = [str(binary(self.program)), *arguments, "--namespace", self.namespace]
        if values:
            command += ["--values", "-"]
        environment = {
            **os.environ,
            "HELM_CACHE_HOME": self._home,
            "HELM_CONFIG_HOME": self._home,
            "HELM_DATA_HOME": self._home,
            "KUBECONFIG": str(self.kubeconfig or "/nonexistent"),
        }
        completed = subprocess.run(
            command, env=environment, input=yaml.safe_dump(values or {}), text=True, capture_output=True, check=False
        )
        if completed.returncode:
            raise HelmError(completed.stderr or completed.stdout)
        return completed.stdout

    def template(self, values: dict[str, Any] | None = None, *arguments: str) -> list[dict[str, Any]]:
        """The rendered objects."""
        text = self.run("template", "asya-operator", str(CHART), *arguments, values=values)
        return [doc for doc in yaml.load_all(text, yaml.CSafeLoader) if doc]

    def install(self, values: dict[str, Any] | None = None) -> str:
        """Install the release, or upgrade it if it is installed."""
        return self.run("upgrade", "--install", "asya-operator", str(CHART), "--create-namespace", values=values)

    def uninstall(self) -> str:
        """Uninstall the release."""
        return self.run("uninstall", "asya-operator")

    def refusal(self, values: dict[str, Any]) -> str:
        """The message with which ``helm template`` refuses ``values``. Empty if it accepts them."""
        try:
            self.template(values)
        except HelmError as refused:
            return str(refused)
        return ""
