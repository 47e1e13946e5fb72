"""The result type of all benchmarks, and functions that measure processes."""

import os
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

RUNS = 5
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Result:
    """One figure.

    ``limits`` says what ``limit`` bounds: the value, its ratio to the baseline, or its difference from the baseline.
    """

    benchmark: str
    case: str
    value: float
    unit: str
    baseline: float | None = None
    baseline_is: str = ""
    limit: float | None = None
    limits: Literal["value", "ratio", "excess"] = "value"

    @property
    def ratio(self) -> float | None:
        """The value divided by the baseline."""
        return self.value / self.baseline if self.baseline else None

    @property
    def held(self) -> bool | None:
        """Whether the value is within the limit. None without a limit."""
        measured = {"value": self.value, "ratio": self.ratio, "excess": self.value - (self.baseline or 0)}[self.limits]
        return None if self.limit is None or measured is None else measured <= self.limit

    def json(self) -> dict[str, Any]:
        """The figure with its ratio and verdict."""
        return {**asdict(self), "ratio": self.ratio, "held": self.held}


def median(values: Iterable[float]) -> float:
    """The median."""
    return statistics.median(values)


def percentile(values: list[float], share: float) -> float:
    """The smallest value that a ``share`` (0 to 1) of ``values`` does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def family(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU seconds that the processes have used so far, in user and system mode."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def resident(pid: int) -> float:
    """Resident memory in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def proportional(pids: Iterable[int]) -> float:
    """Proportional memory (PSS) of the processes in MB: a page that n processes share counts as one n-th."""
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return sum(int(text.split("\nPss:")[1].split()[0]) for text in rollups) / 1024
