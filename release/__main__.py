"""``make release``: chart, plain manifest, plugin, bills of materials and checksums into one directory.

The wheel and the bill of materials of the image are made before, by their own tools. Nothing here needs a network,
and equal checkouts make equal files.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import yaml

from release.binaries import ROOT, binary
from release.chart import annotated, image_values, sbom
from release.plugin import archive, manifest

CHART = ROOT / "charts" / "asya-operator"
NAMESPACE = "asya-system"


def package_chart(dist: Path, image: str) -> Path:
    """The chart as a package that ``helm install`` and ``helm push`` take, which names ``image``."""
    with tempfile.TemporaryDirectory() as directory:
        chart = Path(directory) / CHART.name
        shutil.copytree(CHART, chart)
        (chart / "Chart.yaml").write_text(annotated((chart / "Chart.yaml").read_text(), image, _changes()))
        for file in ("values.yaml", "files/defaults.yaml"):
            (chart / file).write_text(image_values((chart / file).read_text(), image))
        _helm("package", str(chart), "--destination", str(dist))
    return dist / f"asya-operator-{version()}.tgz"


def install_manifest(package: Path) -> str:
    """What ``helm install`` would apply, for ``kubectl apply --server-side``: without hooks, with the namespace."""
    rendered = _helm("template", "asya-operator", str(package), "--namespace", NAMESPACE, "--no-hooks")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    # Else helm would take it for its own, and refuse to install over it without saying why.
    rendered = rendered.replace("app.kubernetes.io/managed-by: Helm", "app.kubernetes.io/managed-by: kubectl")
    objects = [obj for obj in yaml.safe_load_all(rendered) if obj]
    first = [obj for obj in objects if obj["kind"] == "CustomResourceDefinition"]
    rest = [obj for obj in objects if obj["kind"] != "CustomResourceDefinition"]
    return yaml.safe_dump_all([namespace, *first, *rest], sort_keys=False, explicit_start=True)


def version() -> str:
    """The project's version."""
    return str(yaml.safe_load((CHART / "Chart.yaml").read_text())["version"])


def checksums(dist: Path) -> str:
    """A line a file, as ``sha256sum --check`` reads them."""
    files = sorted(file for file in dist.iterdir() if file.name != "SHA256SUMS")
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)


def _changes() -> str:
    text = (ROOT / "CHANGELOG.md").read_text()
    return text.partition(f"## {version()}\n")[2].partition("\n## ")[0]


def _helm(*arguments: str) -> str:
    environment = {**os.environ, "KUBECONFIG": "/nonexistent"}
    command = [str(binary("helm")), *arguments]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, env=environment).stdout


def main() -> None:
    """Write all of it."""
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    parser.add_argument("--dist", type=Path, required=True, help="where the wheel is and everything goes")
    parser.add_argument("--image", required=True, help="the operator's image: NAME:TAG or NAME@sha256:…")
    parser.add_argument("--url", required=True, help="where the files will be, for the plugin's manifest")
    options = parser.parse_args()
    dist: Path = options.dist
    (wheel,) = dist.glob("asya_operator-*.whl")
    package = package_chart(dist, options.image)
    (dist / "install.yaml").write_text(install_manifest(package))
    plugin = dist / "kubectl-asya.tar.gz"
    plugin.write_bytes(archive(wheel, ROOT / "requirements.lock", ROOT / "LICENSE"))
    (dist / "asya.yaml").write_text(manifest(plugin, version(), options.url))
    (dist / "asya-operator-chart.cdx.json").write_text(sbom(package, version(), (dist / "install.yaml").read_text()))
    (dist / "SHA256SUMS").write_text(checksums(dist))


if __name__ == "__main__":
    main()
