"""The directory of the webhook's temporary files if its root file system is read-only."""

import tempfile
from pathlib import Path

import pytest

from webhook.server import choose_temporary_directory


@pytest.fixture
def read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every directory that Python knows read-only. The test's own directory exists already."""
    assert tmp_path.is_dir()

    def fail() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", fail)
    monkeypatch.setattr(tempfile, "tempdir", None)


@pytest.mark.usefixtures("read_only")
def test_memory_replaces_a_read_only_directory(tmp_path: Path) -> None:
    choose_temporary_directory(tmp_path)
    assert tempfile.tempdir == str(tmp_path)


@pytest.mark.usefixtures("read_only")
def test_without_a_writable_directory_the_error_names_the_mount(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="mount an emptyDir at /tmp"):
        choose_temporary_directory(tmp_path / "missing")


def test_a_writable_directory_is_used(tmp_path: Path) -> None:
    before = tempfile.gettempdir()
    choose_temporary_directory(tmp_path)
    assert tempfile.gettempdir() == before
