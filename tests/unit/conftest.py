"""Fixtures for the tests of the runtime script."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.script import Script


@pytest.fixture
def scripts(tmp_path: Path) -> Iterator[Callable[..., Script]]:
    """Starts scripts in one directory, and kills those that still run at the end."""
    started: list[Script] = []

    def start(*arguments: str, **more: str) -> Script:
        started.append(Script(tmp_path, *arguments, **more))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for script in started:
        script.kill()
