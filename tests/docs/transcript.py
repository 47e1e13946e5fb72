"""Runs a page of the manual as a reader does: saves its files, runs its commands, compares their output.

A page says "Save this as `NAME`:" before a fenced file. In a ``console`` block a line with ``$`` is a command, and the
lines below it are its output. Output that the page does not show is not compared.
"""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.harness.clusters import ROOT

FILE = re.compile(r"^Save this as `([^`]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SNIPPET = re.compile(r'^--8<-- "(.*)"$', re.MULTILINE)
DURATION = re.compile(r"(\d+(ms|s|m|h|d))+|\d+\.\d+(s| s)")
END, TIME = "\x1e", "\x1f"
"""What follows the output of each command: its end, and the time behind it."""


@dataclass(frozen=True)
class Step:
    """A command, and the lines that a page shows below it."""

    command: str
    output: tuple[str, ...]


def text_of(page: str) -> str:
    """A page with the files that it includes."""
    return SNIPPET.sub(lambda match: (ROOT / match[1]).read_text().rstrip("\n"), (ROOT / page).read_text())


def files_of(text: str) -> dict[str, str]:
    """The files that the reader saves, by name."""
    return dict(FILE.findall(text))


def steps_of(text: str) -> list[Step]:
    """The commands of all ``console`` blocks, without comments behind them."""
    steps: list[Step] = []
    for block in CONSOLE.findall(text):
        lines = block.splitlines()
        starts = [n for n, line in enumerate(lines) if line.startswith("$ ")]
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            command = re.sub(r"\s+# .*$", "", lines[start][2:])
            steps.append(Step(command, tuple(lines[start + 1 : end])))
    return steps


def part(title: str, text: str) -> str:
    """The text between the comments ``title`` and ``end of title``, which only the source of a page has."""
    match = re.search(rf"<!-- {title} -->\n(.*?)<!-- end of {title} -->", text, re.DOTALL)
    assert match is not None, title
    return match[1]


OF_MAKE = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")


def follow(steps: list[Step], directory: Path, environment: Mapping[str, str], timeout: float = 300) -> list[float]:
    """Run all commands in one shell that starts in ``directory``, and compare their output with the page.

    Returns:
        The seconds that each command took.

    Raises:
        AssertionError: if a command fails, or if its output differs from the page.
    """
    # Without make's own variables, which would make a nested make print the folder that it enters.
    environment = {name: value for name, value in environment.items() if name not in OF_MAKE}
    mark = f"printf '{END}%s{TIME}' $EPOCHREALTIME"
    script = ["set -e", "exec 2>&1", mark]
    for step in steps:
        script += [step.command, mark]
    completed = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    outputs, times = _split(completed.stdout)
    assert completed.returncode == 0, (
        f"exit code {completed.returncode}: {steps[len(outputs) - 1].command}\n{outputs[-1]}"
    )
    compared = ((step, compare(step.output, text.splitlines())) for step, text in zip(steps, outputs, strict=False))
    differences = [f"$ {step.command}\n{difference}" for step, difference in compared if difference]
    assert not differences, "\n\n".join(differences)
    return [after - before for before, after in pairwise(times)]


def _split(text: str) -> tuple[list[str], list[float]]:
    """The output of each command, with what follows the last mark, and the times of the marks."""
    _, *marked = text.split(END)
    times, outputs = zip(*(part.split(TIME) for part in marked), strict=True)
    return list(outputs), [float(time) for time in times]


def compare(shown: tuple[str, ...], printed: list[str]) -> str:
    """The difference between ``printed`` and the page. Empty if there is none.

    In a page ``…`` stands for any text and, on a line of its own, for any lines. The width of blanks and the length of
    durations do not count.
    """
    if not shown:
        return ""
    plain = "".join(" ".join(line.split()) + "\n" for line in printed)
    if re.fullmatch("".join(_pattern(line) for line in shown), plain):
        return ""
    return "the page shows:\n{}\nit prints:\n{}".format("\n".join(shown), "\n".join(printed))


def _pattern(line: str) -> str:
    if line.strip() == "…":
        return r"(?:.*\n)*?"
    words = (r"[\dhms.d ]+" if DURATION.fullmatch(word) else _escaped(word) for word in line.split())
    return " ".join(words) + r"\n"


def _escaped(word: str) -> str:
    return ".*".join(re.escape(text) for text in word.split("…"))
