"""Builds ``kubectl asya`` for krew: an archive with the wheel, its dependencies with hashes, and a script.

The script creates a virtual environment at its first run, because wheels of the dependencies differ by platform.
"""

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import yaml

SCRIPT = """\
#!/bin/sh
# kubectl asya: runs the wheel in this folder. The first run creates a virtual environment for it.
set -eu
self=$0
while [ -L "$self" ]; do
  link=$(readlink "$self")
  case $link in /*) self=$link ;; *) self=$(dirname "$self")/$link ;; esac
done
here=$(cd "$(dirname "$self")" && pwd)
python=${ASYA_PYTHON:-python3}
home=${XDG_CACHE_HOME:-$HOME/.cache}/kubectl-asya/@VERSION@
if [ ! -e "$home/ready" ]; then
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "kubectl asya: needs Python 3.11 or newer; set ASYA_PYTHON to its path" >&2; exit 1; }
  echo "kubectl asya: installing its dependencies into $home" >&2
  rm -rf "$home"
  "$python" -m venv "$home"
  "$home/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$here/requirements.lock" >&2
  "$home/bin/pip" install --quiet --disable-pip-version-check --no-deps "$here"/*.whl >&2
  touch "$home/ready"
fi
exec "$home/bin/kubectl-asya" "$@"
"""


def archive(wheel: Path, lock: Path, licence: Path) -> bytes:
    """The plugin as a ``.tar.gz``."""
    version = wheel.name.split("-")[1]
    script = SCRIPT.replace("@VERSION@", version).encode()
    members = [("kubectl-asya", script, 0o755)]
    members += [(file.name, file.read_bytes(), 0o644) for file in (licence, lock, wheel)]
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive_file:
        for name, data, mode in members:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            archive_file.addfile(entry, io.BytesIO(data))
    return gzip.compress(plain.getvalue(), mtime=0)


def manifest(plugin: Path, version: str, url: str) -> str:
    """Krew's manifest of the plugin, https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/"""
    spec = {
        "version": f"v{version}",
        "shortDescription": "See and act on AsyncActors",
        "description": "Shows the status of Asya's AsyncActors, what was injected into their workloads and why, and "
        "how to fix problems. Sends messages, shows waiting ones and replays failed ones. Pauses, scales and restarts "
        "actors. The same program injects manifests in files, without a cluster.\n",
        "caveats": "It needs Python 3.11 or newer, and installs its dependencies at the first run.\n",
        "platforms": [
            {
                "selector": {"matchExpressions": [{"key": "os", "operator": "In", "values": ["darwin", "linux"]}]},
                "uri": f"{url.rstrip('/')}/{plugin.name}",
                "sha256": hashlib.sha256(plugin.read_bytes()).hexdigest(),
                "bin": "kubectl-asya",
            }
        ],
    }
    head = {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "asya"},
    }
    return yaml.safe_dump({**head, "spec": spec}, sort_keys=False)
