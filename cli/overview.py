"""Actors as a table for ``asya-operator status``. Rows are plain values; ``table`` makes them readable."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import OverflowMethod
from rich.table import Table
from rich.text import Text

from controller.rules.status import first_problem
from crds.names import MAX_REPLICAS, MIN_REPLICAS

Object = dict[str, Any]

_STYLES = {
    "Running": "green",
    "Completed": "green",
    "Napping": "cyan",
    "Creating": "yellow",
    "ScalingUp": "yellow",
    "ScalingDown": "yellow",
    "Updating": "yellow",
    "Terminating": "yellow",
}
UNKNOWN = "<unknown>"
"""kubectl's word for a value that does not exist yet."""


@dataclass(frozen=True)
class Row:
    """One actor."""

    namespace: str
    name: str
    phase: str
    workload: str
    pods: str
    queue: str
    transport: str
    scale: str
    active: str
    age: str
    problem: str
    """The problem and its remedy, from the first condition that is not true."""


def row(actor: Object, now: datetime) -> Row:
    """The row of a stored AsyncActor."""
    metadata, spec, status = actor["metadata"], actor.get("spec") or {}, actor.get("status") or {}
    reference = status.get("workloadRef") or status.get("scaledJobRef") or {}
    scaling = spec.get("scaling") or {}
    enabled = bool(scaling.get("enabled"))
    active = {True: "yes", False: "no", None: ""}[status.get("scalingActive")]
    limits = f"{scaling.get('minReplicas', MIN_REPLICAS)}-{scaling.get('maxReplicas', MAX_REPLICAS)}"
    return Row(
        namespace=metadata.get("namespace", ""),
        name=metadata["name"],
        phase=status.get("phase") or UNKNOWN,
        workload=f"{reference['kind']}/{reference['name']}" if reference else "<none>",
        pods=f"{status.get('readyReplicas', 0)}/{status.get('desiredReplicas', 0)}",
        queue=str(status.get("queueName") or spec.get("queueName") or ""),
        transport=str((spec.get("transport") or {}).get("type", "")),
        scale=limits if enabled else "off",
        active=active if enabled else "",
        age=age(metadata.get("creationTimestamp"), now),
        problem=problem(status),
    )


def problem(status: Object) -> str:
    """The first problem in a status. Empty if there is none."""
    worst = first_problem(status)
    if worst is None:
        return ""
    return f"{worst['reason']}: {worst['message']}" if worst["reason"] else str(worst["message"])


def age(since: str | None, now: datetime) -> str:
    """The time since ``since`` in kubectl's form: 90s, 5m, 3h, 2d."""
    if not since:
        return UNKNOWN
    seconds = max(0, int((now - datetime.fromisoformat(since)).total_seconds()))
    for length, letter, least in ((86400, "d", 2), (3600, "h", 2), (60, "m", 2)):
        if seconds >= length * least:
            return f"{seconds // length}{letter}"
    return f"{seconds}s"


def table(actors: Iterable[Object], *, wide: bool = False, fitted: bool = False) -> Table:
    """The table, sorted by namespace and name.

    ``wide`` shows each problem in full. ``fitted`` limits problems to the width that the other columns leave.
    """
    actor_table = Table(box=None, pad_edge=False, header_style="bold", expand=fitted)
    for column in ("NAMESPACE", "NAME", "PHASE", "WORKLOAD", "PODS", "QUEUE", "TRANSPORT", "SCALE", "ACTIVE", "AGE"):
        actor_table.add_column(column, no_wrap=True)
    ratio = 1 if fitted else None
    overflow: OverflowMethod = "fold" if wide else "ellipsis"
    actor_table.add_column("PROBLEM", no_wrap=not wide, overflow=overflow, ratio=ratio, min_width=10)
    now = datetime.now(UTC)
    for r in sorted((row(actor, now) for actor in actors), key=lambda r: (r.namespace, r.name)):
        actor_table.add_row(
            r.namespace,
            r.name,
            Text(r.phase, style=_STYLES.get(r.phase, "red")),
            r.workload,
            r.pods,
            r.queue,
            r.transport,
            r.scale,
            r.active,
            r.age,
            Text(r.problem, style="red"),
        )
    return actor_table
