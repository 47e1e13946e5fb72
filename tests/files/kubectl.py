"""Uses kubectl to read a file: ``label --local`` parses it without a cluster and prints JSON."""

import json
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from release.binaries import CACHE
from tests.harness.clusters import ASSETS

MARK = "read.by/kubectl"


OLDEST = (1, 36)
"""Older versions do not read YAML after JSON."""


@cache
def why_not() -> str:
    """Why kubectl is not available. Empty if it is."""
    result = path()
    if result is None:
        return f"there is no kubectl in {ASSETS}, in {CACHE} or on the PATH"
    completed = subprocess.run([result, "version", "--client", "--output", "json"], capture_output=True, check=True)
    version = json.loads(completed.stdout)["clientVersion"]
    number = int(version["major"]), int("".join(c for c in version["minor"] if c.isdigit()))
    return (
        ""
        if number >= OLDEST
        else f"{result} is version {number[0]}.{number[1]}, and {OLDEST[0]}.{OLDEST[1]} is needed"
    )


def path() -> str | None:
    """The path of kubectl, or None."""
    return shutil.which("kubectl", path=f"{ASSETS}:{CACHE}") or shutil.which("kubectl")


def objects(data: bytes) -> list[Any] | str:
    """The objects in ``data``, or the reason why kubectl refuses it."""
    with tempfile.TemporaryDirectory() as home:
        command = [str(path()), "label", "--local", "-f", "-", "-o", "json", f"{MARK}=yes"]
        environment = {"HOME": home, "KUBECONFIG": str(Path(home) / "none")}
        completed = subprocess.run(command, input=data, capture_output=True, env=environment, timeout=60)
    if completed.returncode:
        return completed.stderr.decode()
    text, at, parsed = completed.stdout.decode(), 0, []
    decoder = json.JSONDecoder()
    while at < len(text):
        value, at = decoder.raw_decode(text, at)
        parsed.append(_without_mark(value))
        while at < len(text) and text[at].isspace():
            at += 1
    return parsed


def _without_mark(obj: Any) -> Any:
    labels = obj["metadata"]["labels"]
    del labels[MARK]
    if not labels:
        del obj["metadata"]["labels"]
    return obj


def comparable(value: Any) -> Any:
    """A value in the form of kubectl's output: 1 equals 1.0, and null equals empty labels."""
    if isinstance(value, dict):
        return {k: comparable(v) for k, v in value.items() if not (k == "labels" and v in (None, {}))}
    if isinstance(value, list):
        return [comparable(v) for v in value]
    return float(value) if type(value) is int else value
