"""``make generate``: writes the tables of the manual from the code, so that they cannot differ from it."""

import sys

from controller.rules.phase import MEANINGS
from controller.rules.remedies import REMEDIES, general
from crds.generate import ROOT, with_generated
from telemetry.metrics import controller, shared, webhook
from telemetry.metrics.describe import described

DOCS = ROOT / "docs"
METRICS = (webhook, controller, shared)
"""Modules that declare metrics. Their import registers the metrics for the table."""


def phases() -> str:
    """A table of the phases."""
    return "\n".join(["| phase | it means |", "|---|---|", *(f"| `{p}` | {text} |" for p, text in MEANINGS.items())])


def remedies() -> str:
    """A table of problems and their remedies."""
    head = ["| reason or phase | what is seen | what to do |", "|---|---|---|"]
    return "\n".join([*head, *(f"| `{cause}` | {r.symptom} | {general(cause)}. |" for cause, r in REMEDIES.items())])


def metrics() -> str:
    """A table of the metrics."""
    rows = []
    for metric in described():
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.name}` | {metric.process} | {metric.type} | {labels} | {metric.meaning} |")
    return "\n".join(["| metric | exported by | type | labels | meaning |", "|---|---|---|---|---|", *rows])


PAGES = {"status.md": phases, "troubleshooting.md": remedies, "monitoring.md": metrics}


def main() -> None:
    """Write the tables into their pages."""
    for name, make in PAGES.items():
        page = DOCS / name
        page.write_text(with_generated(page.read_text(), make()))
    sys.stdout.write(f"wrote {', '.join(PAGES)}\n")


if __name__ == "__main__":
    main()
