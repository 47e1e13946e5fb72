"""``make matrix``: runs the cluster tests on each control plane in the environment, and prints a table.

Each variable ``KUBEBUILDER_ASSETS_<major>_<minor>``, such as ``KUBEBUILDER_ASSETS_1_25``, names a folder with the
binaries of that version: kube-apiserver, kube-controller-manager and etcd. A test that needs a newer version is
skipped; the table counts it. Arguments go to pytest.
"""

import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from tests.harness.clusters import ROOT

NAME = re.compile(r"KUBEBUILDER_ASSETS_(\d+)_(\d+)")
NEEDED = ("kube-apiserver", "kube-controller-manager", "etcd")


@dataclass(frozen=True)
class ControlPlane:
    """The binaries of one version."""

    major: int
    minor: int
    folder: Path

    @property
    def version(self) -> str:
        """The version, such as 1.25."""
        return f"{self.major}.{self.minor}"


def control_planes(environment: dict[str, str]) -> list[ControlPlane]:
    """The control planes in the environment, the oldest first."""
    candidates = ((NAME.fullmatch(name), folder) for name, folder in environment.items() if folder)
    named = [ControlPlane(int(match[1]), int(match[2]), Path(folder)) for match, folder in candidates if match]
    return sorted(named, key=lambda plane: (plane.major, plane.minor))


def problem(plane: ControlPlane) -> str:
    """The problem with a folder: a missing binary, or another version than its name says. Empty if there is none."""
    for name in NEEDED:
        if not os.access(plane.folder / name, os.X_OK):
            return f"KUBEBUILDER_ASSETS_{plane.major}_{plane.minor}: no {name} in {plane.folder}"
    command = [str(plane.folder / "kube-apiserver"), "--version"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if f"v{plane.version}." not in printed:
        return f"KUBEBUILDER_ASSETS_{plane.major}_{plane.minor}: {plane.folder} holds {printed}"
    return ""


@dataclass(frozen=True)
class Outcome:
    """The counts of a test run."""

    passed: int
    failed: int
    skipped: int
    seconds: float


def outcome_of(report: str) -> Outcome:
    """The counts of a report in JUnit's XML, as pytest writes it."""
    suites = list(ElementTree.fromstring(report).iter("testsuite"))
    total, bad, skipped = (
        sum(int(suite.get(name, "0")) for suite in suites for name in names)
        for names in (("tests",), ("failures", "errors"), ("skipped",))
    )
    seconds = sum(float(suite.get("time", "0")) for suite in suites)
    return Outcome(total - bad - skipped, bad, skipped, seconds)


def run(plane: ControlPlane, arguments: list[str]) -> Outcome:
    """Run the cluster tests of the real tier on one control plane."""
    report = ROOT / "build" / f"matrix-{plane.version}.xml"
    report.parent.mkdir(exist_ok=True)
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "tests/cluster", "-k", "kube-apiserver", f"--junitxml={report}", "-q"]
    environment = {**os.environ, "KUBEBUILDER_ASSETS": str(plane.folder)}
    start_time = time.monotonic()
    subprocess.run([*command, *arguments], cwd=ROOT, env=environment, check=False)
    if not report.exists():
        return Outcome(0, 1, 0, time.monotonic() - start_time)
    return outcome_of(report.read_text())


def main() -> int:
    """Run all, print the table. Return 1 if a test failed, 2 if there is no control plane."""
    planes = control_planes(dict(os.environ))
    problems = [text for plane in planes if (text := problem(plane))]
    if not planes:
        problems = ["no control plane: set KUBEBUILDER_ASSETS_1_36 and others to folders with " + ", ".join(NEEDED)]
    if problems:
        print("make matrix: " + "\nmake matrix: ".join(problems), file=sys.stderr)
        return 2
    outcomes = {plane: run(plane, sys.argv[1:]) for plane in planes}
    print("\nKubernetes   passed  failed  skipped      time")
    for plane, counted in outcomes.items():
        row = f"{plane.version:10} {counted.passed:8} {counted.failed:7} {counted.skipped:8}"
        print(f"{row} {counted.seconds / 60:5.1f} min")
    return int(any(counted.failed or not counted.passed for counted in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
