"""``make sandbox``: a cluster with the operator in the background, to try things.

The cluster is a real control plane if its binaries are available, else the sandbox, as for ``make demo``.

``.run/kubeconfig`` is its kubeconfig. ``make sandbox-stop`` stops it.
"""

import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

from tests.harness.clusters import ROOT, wait_for, why_not_real
from tests.harness.clusters import start as start_cluster
from tests.harness.operator import alone

RUN = ROOT / ".run"
KUBECONFIG, PID, LOG = RUN / "kubeconfig", RUN / "sandbox.pid", RUN / "sandbox.log"


def serve() -> None:
    """Run the cluster until a signal stops the process."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with alone(partial(start_cluster, real=not why_not_real())) as operator:
        try:
            operator.start()
            shutil.copy(operator.cluster.kubeconfig, KUBECONFIG)
            signal.pause()
        except KeyboardInterrupt:
            pass
        finally:
            KUBECONFIG.unlink(missing_ok=True)


def start() -> None:
    """Start the cluster in the background, unless it runs already."""
    RUN.mkdir(exist_ok=True)
    if running() is None:
        KUBECONFIG.unlink(missing_ok=True)
        with LOG.open("wb") as log:
            command = [sys.executable, "-m", "tests.demo.serve", "serve"]
            child = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        PID.write_text(str(child.pid))
        try:
            wait_for("the sandbox", lambda: KUBECONFIG.exists() or child.poll() is not None, 60)
            assert KUBECONFIG.exists(), "the process ended"
        except AssertionError as error:
            sys.exit(f"the sandbox did not start: {error}; see {LOG}")
    missing = why_not_real()
    kind = f"An in-memory imitation of the Kubernetes API ({missing})" if missing else "A real control plane"
    print(f"{kind} is up, with the operator. No container runs in it.")
    print("  export KUBECONFIG=$PWD/.run/kubeconfig")


def stop() -> None:
    """Stop the cluster if it runs."""
    pid = running()
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        wait_for("the sandbox to end", lambda: running() is None, 30)
    PID.unlink(missing_ok=True)


def running() -> int | None:
    """The process id of the cluster. None if it does not run."""
    try:
        pid = int(PID.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if b"tests.demo.serve" in command else None


if __name__ == "__main__":
    {"serve": serve, "start": start, "stop": stop}[sys.argv[1]]()
