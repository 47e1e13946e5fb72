"""``make release``: writes chart, plain manifest, plugin, bills of materials and checksums into one directory.

Other tools build the wheel and the image's bill of materials first. This module needs no network. Equal checkouts
give equal files.
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
from release.chart import BadImage, annotated, image_values, parts_of, sbom
from release.plugin import archive, manifest

CHART = ROOT / "charts" / "asya-operator"
NAMESPACE = "asya-system"


def package_chart(dist: Path, image: str) -> Path:
    """Package the chart for ``helm install`` and ``helm push``, with ``image`` in its values. Return the file."""
    with tempfile.TemporaryDirectory() as directory:
        chart = Path(directory) / CHART.name
        shutil.copytree(CHART, chart)
        (chart / "Chart.yaml").write_text(annotated((chart / "Chart.yaml").read_text(), image, _changes()))
        for file in ("values.yaml", "files/defaults.yaml"):
            (chart / file).write_text(image_values((chart / file).read_text(), image))
        _helm("package", str(chart), "--destination", str(dist))
    return dist / f"asya-operator-{version()}.tgz"


def install_manifest(package: Path) -> str:
    """The objects of ``helm install`` for ``kubectl apply --server-side``: without hooks, with the namespace."""
    rendered = _helm("template", "asya-operator", str(package), "--namespace", NAMESPACE, "--no-hooks")
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    # With the label managed-by: Helm, helm would treat these objects as its own. A later `helm install` would fail
    # without a clear reason.
    rendered = rendered.replace("app.kubernetes.io/managed-by: Helm", "app.kubernetes.io/managed-by: kubectl")
    objects = [obj for obj in yaml.safe_load_all(rendered) if obj]
    definitions = [obj for obj in objects if obj["kind"] == "CustomResourceDefinition"]
    others = [obj for obj in objects if obj["kind"] != "CustomResourceDefinition"]
    return yaml.safe_dump_all([namespace, *definitions, *others], sort_keys=False, explicit_start=True)


def version() -> str:
    """The project's version."""
    return str(yaml.safe_load((CHART / "Chart.yaml").read_text())["version"])


def checksums(dist: Path) -> str:
    """One line for each file, in the format of ``sha256sum --check``."""
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
    """Write all files of the release."""
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    parser.add_argument("--dist", type=Path, required=True, help="folder with the wheel, where all files are written")
    parser.add_argument("--image", required=True, help="the operator's image: NAME:TAG or NAME@sha256:…")
    parser.add_argument("--url", required=True, help="address of the released files, for the plugin's manifest")
    options = parser.parse_args()
    try:
        parts_of(options.image)
    except BadImage as error:
        parser.error(str(error))
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
