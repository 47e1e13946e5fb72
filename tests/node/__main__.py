"""``make e2e``: installs the project on the cluster of the current context, tests it, and uninstalls it.

Environment variables, all optional:

``E2E_CONTEXT``        the context's name, if it is neither kind nor minikube
``E2E_IMAGE_COMMAND``  command with the arguments NAME:TAG and a folder with a Dockerfile; puts the image onto the node
``E2E_IMAGE_LOADED``   1: all images are already on the node, the operator's with the name ``E2E_IMAGE``
``E2E_IMAGE``          the operator's image (asya-operator:e2e)
``E2E_KEDA``           file, folder or URL of KEDA's manifests, for a cluster without KEDA
``E2E_SIDECAR_FRAMES`` and ``E2E_SIDECAR_HTTP``  images of the sidecar's two generations
``E2E_TEST_SIDECAR``   1: the http sidecar is built from tests/podrun
``E2E_PREVIOUS``       folder of an older chart, to upgrade from
``E2E_RESTART``        command that stops the node and starts it again; all containers must stop at the same moment, as
                       with a power failure, because a sidecar that outlives its runtime empties its queue
``E2E_FULL``           1: the full numbers and durations of the claims; takes about three times as long
``E2E_WORKERS``        number of tests at the same time (3)
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.harness.clusters import ROOT
from tests.node import images
from tests.node.context import current, refusal
from tests.node.kubectl import kubectl
from tests.node.site import SIDECARS

RELEASE = ("asya-operator", "--namespace", "asya-system")
CHART = str(ROOT / "charts/asya-operator")
SHARED = (
    "namespaces",
    "customresourcedefinitions",
    "clusterroles",
    "clusterrolebindings",
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
    "apiservices",
)


def say(text: str) -> None:
    """Print a line with the time."""
    print(f"{time.strftime('%T')} {text}", flush=True)


def shared() -> set[str]:
    """Cluster-wide objects of the tests."""
    return set(kubectl("get", ",".join(SHARED), "--output=name").split())


def helm(*arguments: str) -> None:
    """Run helm."""
    completed = subprocess.run(["helm", *arguments], capture_output=True, text=True, check=False, timeout=600)
    if completed.returncode:
        raise SystemExit(f"helm {' '.join(arguments)} failed:\n{completed.stderr}")


def put_images(context: str) -> None:
    """Put every image that the node cannot pull onto it."""
    if os.environ.get("E2E_IMAGE_LOADED") == "1":
        return
    if why := images.why_none(context):
        raise SystemExit(f"make e2e: {why}; or put the images there and set E2E_IMAGE_LOADED=1")
    say(f"image {images.OPERATOR}")
    images.put(context, images.OPERATOR, ROOT)
    if os.environ.get("E2E_TEST_SIDECAR") == "1":
        say(f"image {SIDECARS['http']}, the test sidecar")
        images.put_sidecar(context, SIDECARS["http"])
    say(f"image {images.MOTO}")
    images.put_moto(context, images.MOTO)
    say(f"image {images.USER}")
    images.put_user(context, images.USER)


def put_keda() -> bool:
    """Install KEDA if it is missing and its manifests are given. Return whether this installed it."""
    if kubectl("get", "crd", "scaledobjects.keda.sh", "--ignore-not-found"):
        return False
    manifests = os.environ.get("E2E_KEDA")
    if not manifests:
        say("no KEDA on this cluster and no E2E_KEDA: tests that need it are skipped")
        return False
    say("KEDA")
    kubectl("apply", "--server-side", "--filename", manifests)
    kubectl("-n", "keda", "wait", "--for=condition=Available", "deployment", "--all", "--timeout=300s", timeout=320)
    return True


def put_chart() -> None:
    """Install the chart with this checkout's image."""
    say("chart")
    repository, _, tag = images.OPERATOR.rpartition(":")
    settings = ["--set", f"image.repository={repository}", "--set", f"image.tag={tag}"]
    helm("upgrade", "--install", *RELEASE, CHART, "--create-namespace", "--wait", "--timeout", "5m", *settings)


def run_tests(table: Path, *arguments: str) -> int:
    """Run pytest. It appends its rows to ``table``."""
    command = [sys.executable, "-m", "pytest", str(ROOT / "tests/node"), "-q", *arguments, *sys.argv[1:]]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "E2E_TABLE": str(table)}, check=False).returncode


def main() -> int:
    """Install, test, uninstall, report."""
    if why := refusal():
        raise SystemExit(f"make e2e: {why}")
    context, start_time = current(), time.monotonic()
    installed = kubectl("get", "namespace", "asya-system", "--ignore-not-found")
    if installed and os.environ.get("E2E_UPGRADE") != "1":
        raise SystemExit(
            "make e2e: namespace asya-system exists; uninstall it first (helm uninstall asya-operator "
            "--namespace asya-system; kubectl delete namespace asya-system)"
        )
    before = shared()
    table = ROOT / "build" / "e2e.jsonl"
    table.parent.mkdir(exist_ok=True)
    table.unlink(missing_ok=True)
    put_images(context)
    made_keda = put_keda()
    failed = 0
    try:
        put_chart()
        workers = os.environ.get("E2E_WORKERS") or "3"
        failed |= run_tests(table, "-m", "not alone", "-n", workers) not in (0, 5)
        failed |= run_tests(table, "-m", "alone", "-n", "0") not in (0, 5)
    finally:
        say("uninstalling")
        helm("uninstall", *RELEASE, "--wait", "--ignore-not-found")
        kubectl("delete", "crd", "asyncactors.asya.io", "--ignore-not-found")
        kubectl("delete", "namespace", "asya-system", "--ignore-not-found", timeout=300)
        if made_keda:
            kubectl("delete", "--ignore-not-found", "--filename", os.environ["E2E_KEDA"], timeout=300)
    remaining = wait_gone(before)
    print_table(table)
    for name in sorted(remaining):
        print(f"not removed: {name}")
    say(f"{'FAILED' if failed or remaining else 'all passed'} after {(time.monotonic() - start_time) / 60:.0f} min")
    return int(bool(failed or remaining))


def wait_gone(before: set[str]) -> set[str]:
    """Wait for deleted namespaces, then return the objects that did not exist before."""
    deadline = time.monotonic() + 180
    while (left := shared() - before) and time.monotonic() < deadline:
        time.sleep(2)
    return left


def print_table(table: Path) -> None:
    """Print the tests with times and counts."""
    lines = dict.fromkeys(table.read_text().splitlines()) if table.exists() else ()
    rows = [json.loads(line) for line in lines]
    print()
    for row in sorted(rows, key=lambda r: r["test"]):
        print(f"{row['outcome']:8}{row['seconds']:8.1f} s  {row['test']}  {row['found']}")
    print()


if __name__ == "__main__":
    sys.exit(main())
