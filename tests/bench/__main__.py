"""``python -m tests.bench [NAME…]``: run the benchmarks, print a table, write what was measured as JSON."""

import json
import logging
import os
import platform
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import (
    admission,
    converge,
    crowd,
    files,
    go_operator,
    injection,
    node,
    peers,
    pod,
    runtime,
    start,
    webhook,
)
from tests.bench.measure import Result

BENCHMARKS = {
    "injection": injection.run,
    "files": files.run,
    "webhook": webhook.run,
    "peers": peers.run,
    "crowd": crowd.run,
    "admission": admission.run,
    "start": start.run,
    "converge": converge.run,
    "go-operator": go_operator.run,
    "node": node.run,
    "pod": pod.run,
    "runtime": runtime.run,
}
OUTPUT = Path(".bench/results.json")


def table(results: list[Result]) -> Table:
    """The results as a table for a terminal."""
    made = Table(box=None, pad_edge=False)
    for column in ("WHAT", "CASE"):
        made.add_column(column)
    for column in ("MEASURED", "BASELINE", "RATIO"):
        made.add_column(column, justify="right")
    made.add_column("LIMIT")
    for r in results:
        of = {"value": "", "ratio": " times", "excess": " more"}[r.limits]
        limit = "" if r.limit is None else f"{r.limit:g}{of}"
        verdict = {None: "", True: " holds", False: " MISSED"}[r.held]
        made.add_row(
            r.benchmark,
            r.case,
            f"{r.value:.4g} {r.unit}",
            "" if r.baseline is None else f"{r.baseline:.4g}",
            "" if r.ratio is None else f"{r.ratio:.2f}",
            limit + verdict,
        )
    return made


def main(names: list[str]) -> int:
    """Run the benchmarks with these names, or all. Return 1 if a figure exceeds its limit."""
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"unknown benchmark: {', '.join(unknown)}; known: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    logging.getLogger("kubernetes").setLevel(logging.ERROR)
    results: list[Result] = []
    for name in names or BENCHMARKS:
        print(f"measuring {name} …", file=sys.stderr)
        results += BENCHMARKS[name]()
    OUTPUT.parent.mkdir(exist_ok=True)
    machine = {"cores": os.cpu_count(), "python": platform.python_version()}
    OUTPUT.write_text(json.dumps({"machine": machine, "results": [r.json() for r in results]}, indent=2))
    Console(width=None if sys.stdout.isatty() else 160).print(table(results))
    print(f"written to {OUTPUT}", file=sys.stderr)
    return int(any(r.held is False for r in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
