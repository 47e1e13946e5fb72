"""The run time of the command ``inject`` on a file with 500 Deployments."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.measure import Result, median
from tests.golden import ACTORS, Case

DEPLOYMENTS = 500
LIMIT = 3.0
"""Seconds."""


def run() -> list[Result]:
    """Wall-clock and processor seconds of injecting and un-injecting."""
    one = Case("deployment").source.read_text()
    text = "---\n".join(one.replace("name: web\n", f"name: web-{n}\n", 1) for n in range(DEPLOYMENTS))
    results = []
    with tempfile.TemporaryDirectory() as directory:
        source, made = Path(directory) / "all.yaml", Path(directory) / "made.yaml"
        source.write_text(text)
        for command, file, more in (("inject", source, ["--actor", str(ACTORS)]), ("uninject", made, [])):
            clock, processor, output = _seconds([command, "-f", str(file), *more])
            case = f"{command} {DEPLOYMENTS} Deployments"
            results.append(Result("files", case, clock, "s", limit=LIMIT))
            results.append(Result("files", f"{case}, processor", processor, "s"))
            made.write_bytes(output)
        assert made.read_text() == text, "un-injecting does not restore the same bytes"
    return results


def _seconds(arguments: list[str]) -> tuple[float, float, bytes]:
    clocks, processors, output = [], [], b""
    for _ in range(3):
        start, before = time.perf_counter(), os.times()
        output = subprocess.run([sys.executable, "-m", "cli", *arguments], capture_output=True, check=True).stdout
        after = os.times()
        clocks.append(time.perf_counter() - start)
        processors.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return median(clocks), median(processors), output
