"""Where the webhook keeps temporary files when its root file system is read-only."""

import tempfile
from pathlib import Path

import pytest

from webhook.server import choose_temporary_directory


@pytest.fixture
def read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No directory that Python knows of is writable; that of the test exists already."""
    assert tmp_path.is_dir()

    def fail() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", fail)
    monkeypatch.setattr(tempfile, "tempdir", None)


@pytest.mark.usefixtures("read_only")
def test_memory_takes_the_place_of_a_directory_that_is_not_writable(tmp_path: Path) -> None:
    choose_temporary_directory(tmp_path)
    assert tempfile.tempdir == str(tmp_path)


@pytest.mark.usefixtures("read_only")
def test_without_any_it_says_what_to_mount(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="mount an emptyDir at /tmp"):
        choose_temporary_directory(tmp_path / "missing")


def test_an_ordinary_directory_stays(tmp_path: Path) -> None:
    before = tempfile.gettempdir()
    choose_temporary_directory(tmp_path)
    assert tempfile.gettempdir() == before
