"""``make sandbox``: a cluster in one process with the operator, left running in the background, to try things on.

``.run/kubeconfig`` is how to reach it; ``make sandbox-stop`` ends it.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.harness.clusters import ROOT, wait_for
from tests.harness.operator import alone

RUN = ROOT / ".run"
KUBECONFIG, PID, LOG = RUN / "kubeconfig", RUN / "sandbox.pid", RUN / "sandbox.log"


def serve() -> None:
    """Run it until told to stop."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with alone() as operator:
        try:
            operator.start()
            shutil.copy(operator.cluster.kubeconfig, KUBECONFIG)
            signal.pause()
        except KeyboardInterrupt:
            pass
        finally:
            KUBECONFIG.unlink(missing_ok=True)


def start() -> None:
    """Start it in the background, unless it runs."""
    RUN.mkdir(exist_ok=True)
    if running() is None:
        KUBECONFIG.unlink(missing_ok=True)
        with LOG.open("wb") as log:
            command = [sys.executable, "-m", "tests.demo.serve", "serve"]
            child = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        PID.write_text(str(child.pid))
        try:
            wait_for("the sandbox", lambda: KUBECONFIG.exists() or child.poll() is not None, 60)
            assert KUBECONFIG.exists(), "it ended"
        except AssertionError as error:
            sys.exit(f"the sandbox did not start: {error}; see {LOG}")
    print("An in-memory imitation of the Kubernetes API is up, with the operator. Nothing in it runs for real.")
    print("  export KUBECONFIG=$PWD/.run/kubeconfig")


def stop() -> None:
    """Stop it, if it runs."""
    pid = running()
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        wait_for("the sandbox to end", lambda: running() is None, 30)
    PID.unlink(missing_ok=True)


def running() -> int | None:
    """Its process id, or None if it does not run."""
    try:
        pid = int(PID.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return pid if b"tests.demo.serve" in command else None


if __name__ == "__main__":
    {"serve": serve, "start": start, "stop": stop}[sys.argv[1]]()
