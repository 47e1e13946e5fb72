"""``make pictures``: the manual's pictures of a sandbox with healthy and broken actors.

The live view is the output of ``kubectl asya status``. The Grafana dashboard is drawn from its own panels. A real
Prometheus, which has scraped the operator for a while, answers their expressions.
"""

import io
import re
import time
from datetime import UTC, datetime
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from rich.console import Console

from cli.manual import DOCS
from cli.overview import table
from kube.objects import Object
from kube.resources import ASYNC_ACTORS
from tests.cases.troubles import TROUBLES, report, running_pod
from tests.chart.test_monitoring import panels
from tests.docs import drawings, page
from tests.harness.clusters import wait_for
from tests.harness.operator import alone
from tests.harness.prometheus import Prometheus
from tests.harness.space import Space, actor, example

PICTURES = DOCS / "pictures"
SECONDS = 60
"""Seconds of scraping before the pictures."""
COLUMNS, LEGEND = 3, 6


def populate(space: Space) -> None:
    """Create actors of all kinds, some of them broken."""
    for name in ("rabbitmq-deployment", "sqs-statefulset", "scaled-job"):
        space.apply(example(name))
    space.apply(actor("translator", scaling={"enabled": True, "maxReplicas": 5}))
    space.wait("ScaledObject", "translator")
    message = "404 NOT_FOUND no queue 'asya-translator' in vhost '/'"
    condition = {"type": "Ready", "status": "False", "reason": "ScaledObjectCheckFailed", "message": message}
    space.patch("ScaledObject", "translator", {"status": {"conditions": [condition]}}, "status")
    space.apply(actor("summarizer"))
    report(space, running_pod(space, "summarizer"), ready=False, status=TROUBLES["ImagePullError"][0])
    space.apply(actor("web", workload={"name": "web"}))


def phases(space: Space) -> set[str]:
    """The phases of the actors."""
    return {str((obj.get("status") or {}).get("phase")) for obj in space.all("AsyncActor")}


def draw_status(actors: list[Object]) -> None:
    """Draw the table as a terminal shows it."""
    console = Console(record=True, width=190, force_terminal=True, file=io.StringIO())
    console.print(table(actors, fitted=True))
    svg = console.export_svg(title="kubectl asya status --watch", unique_id="asya")
    # A reader of the manual must not load fonts from other hosts.
    (PICTURES / "status.svg").write_text(re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL))


def draw_dashboard(prometheus: Prometheus) -> None:
    """Draw every panel of the dashboard."""
    mpl.rcParams.update({"font.size": 7, "svg.hashsalt": "asya", "svg.fonttype": "none"})
    listed = panels()
    figure, axes = plt.subplots(-(-len(listed) // COLUMNS), COLUMNS, figsize=(11, 8), layout="constrained")
    end = time.time()
    for panel, axis in zip(listed, axes.flat, strict=True):
        axis.set_title(panel["title"], fontsize=8, loc="left")
        axis.grid(alpha=0.3)
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", "20s")
            query = {"query": expression, "start": str(end - SECONDS), "end": str(end), "step": "2"}
            for series in prometheus.ask("query_range", **query)["result"]:
                _plot(axis, target["legendFormat"], series)
        axis.set_ylim(bottom=0)
        if 0 < len(axis.lines) <= LEGEND:
            axis.legend(fontsize=6)
        axis.tick_params(axis="x", labelbottom=False)
    figure.savefig(PICTURES / "dashboard.svg", metadata={"Date": None})


def _plot(axis: Any, legend: str, series: Any) -> None:
    label = re.sub(r"\{\{(\w+)\}\}", lambda result: series["metric"].get(result[1], ""), legend)
    times, values = zip(*((float(t), float(v)) for t, v in series["values"]), strict=True)
    axis.plot([datetime.fromtimestamp(t, UTC) for t in times], values, label=label)


def main() -> None:
    """Draw all pictures."""
    PICTURES.mkdir(exist_ok=True)
    drawings.main(PICTURES)
    page.draw(PICTURES)
    with alone() as operator:
        operator.start()
        targets = [f"127.0.0.1:{p}" for p in (operator.metrics_port, operator.controllers[0].port)]
        prometheus = Prometheus(operator.directory / "prometheus", targets)
        wait_for("Prometheus to scrape", prometheus.is_up)
        with Space.create(operator.client, "messaging") as space:
            time.sleep(SECONDS / 3)
            populate(space)
            expected_phases = {"Running", "Napping", "QueueMissing", "ImagePullError", "WorkloadError"}
            wait_for("the phases", lambda: expected_phases <= phases(space))
            draw_status(operator.client.list(ASYNC_ACTORS))
            for number in range(int(SECONDS / 2)):
                space.apply(actor(f"batch-{number}", scaling={"enabled": number % 2 == 0}))
                time.sleep(1)
            draw_dashboard(prometheus)
        prometheus.process.stop()


if __name__ == "__main__":
    main()
