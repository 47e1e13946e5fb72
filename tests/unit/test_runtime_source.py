"""The runtime script from a file and from a release, with all faults of file and server."""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.script import source as runtime_source
from controller.script.source import MAX_BYTES, GithubSource, LocalSource, Source, from_environment
from injection.settings import InvalidSetting
from runtime import SCRIPT
from tests.harness.clusters import wait_for
from tests.harness.github import BETTER, GOOD, GitHub


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    server = GitHub(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate_file))
    monkeypatch.setenv("NO_PROXY", "localhost")
    monkeypatch.setattr(runtime_source, "TIMEOUT_SECONDS", 0.5)
    yield server
    server.close()


def source(github: GitHub, version: str = "v1", **options: Any) -> Source:
    return GithubSource("owner/name", version, lambda: None, base=github.url, **options)


def test_the_asset_of_a_release(github: GitHub) -> None:
    one = source(github)
    assert one.load()
    assert (one.script, one.problem) == (GOOD.decode(), "")
    assert github.paths == ["/owner/name/releases/download/v1/asya_runtime.py"]
    source(github, "latest").load()
    assert github.paths[-1] == "/owner/name/releases/latest/download/asya_runtime.py"


def test_an_unchanged_script_is_not_sent_again(github: GitHub) -> None:
    one = source(github)
    one.load()
    assert not one.load()
    assert github.conditional == 1
    github.body = BETTER
    assert one.load()
    assert one.script == BETTER.decode()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"status": 404}, "the server answered 404"),
        ({"status": 429}, "the server answered 429"),
        ({"status": 500}, "the server answered 500"),
        ({"short": 5, "body": BETTER}, "broke off after"),
        ({"body": b"<html><body>Sign in</body></html>"}, "is not valid Python"),
        ({"body": b"#" * (MAX_BYTES + 10)}, "more than a ConfigMap holds"),
        ({"body": b"\xff\xfe"}, "is not valid Python"),
        ({"delay": 2.0, "body": BETTER}, "cannot be fetched"),
    ],
)
def test_a_fault_keeps_the_last_good_script_until_the_source_recovers(
    github: GitHub, fault: dict[str, Any], message: str
) -> None:
    one = source(github)
    one.load()
    before = vars(github).copy()
    vars(github).update(fault)
    if fault.get("status"):
        github.body = BETTER
    assert one.load()
    assert message in one.problem
    assert one.script == GOOD.decode()
    assert not one.load(), "the same fault must be logged once"
    vars(github).update({k: before[k] for k in ("status", "short", "delay")}, body=BETTER)
    assert one.load()
    assert (one.script, one.problem) == (BETTER.decode(), "")


def test_the_checksum(github: GitHub) -> None:
    right = source(github, sha256=hashlib.sha256(GOOD).hexdigest().upper())
    right.load()
    assert right.script == GOOD.decode()
    wrong = source(github, sha256="0" * 64)
    wrong.load()
    assert wrong.script is None
    assert "has the SHA-256" in wrong.problem


def test_retries_have_a_growing_backoff(github: GitHub) -> None:
    one = source(github)
    github.status = 500
    pauses = []
    for _ in range(5):
        one.load()
        pauses.append(one.pause())
    assert pauses[0] < 1.3
    assert 12 < pauses[-1] < 20
    github.status = 200
    one.load()
    assert one.pause() > 200


def test_it_recovers_by_itself(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_source, "FIRST_RETRY_SECONDS", 0.05)
    changes: list[int] = []
    one = GithubSource("owner/name", "v1", lambda: changes.append(1), base=github.url)
    github.status = 503
    one.start()
    assert one.script is None
    github.status = 200
    wait_for("the script", lambda: one.script == GOOD.decode())
    one.stop()
    wait_for("the word", lambda: changes)


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    changes: list[int] = []
    one = LocalSource(file, lambda: changes.append(1), interval=0.02)
    one.start()
    assert "cannot be read" in one.problem
    file.write_bytes(GOOD)
    wait_for("the script", lambda: one.script == GOOD.decode() and not one.problem)
    file.write_bytes(b"def broken(:")
    wait_for("the refusal", lambda: "is not valid Python" in one.problem)
    assert one.script == GOOD.decode()
    file.write_bytes(GOOD)
    wait_for("the recovery", lambda: not one.problem)
    one.stop()
    wait_for("the word", lambda: len(changes) >= 3)


def test_a_partly_written_file_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    file.write_bytes(GOOD)
    observed: list[str | None] = []
    one = LocalSource(file, lambda: observed.append(one.script), interval=0.02)
    one.start()
    lines = [f"print({n})\n" for n in range(10)]
    with file.open("w") as slowly:
        for line in lines:
            slowly.write(line)
            slowly.flush()
            time.sleep(0.1)
    wait_for("the script", lambda: one.script == "".join(lines))
    one.stop()
    assert observed == ["".join(lines)]


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    file.write_bytes(b" \n")
    one = LocalSource(file, lambda: None)
    one.load()
    assert one.problem == f"{file}: is empty"


def test_settings() -> None:
    assert from_environment({}, lambda: None).origin == str(SCRIPT)
    made = from_environment(
        {"ASYA_RUNTIME_SOURCE": "github", "ASYA_RUNTIME_GITHUB_REPO": "o/n", "ASYA_RUNTIME_VERSION": "v2"}, lambda: None
    )
    assert made.origin == "https://github.com/o/n/releases/download/v2/asya_runtime.py"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ASYA_RUNTIME_SOURCE", "ftp"),
        ("ASYA_RUNTIME_GITHUB_REPO", "no-owner"),
        ("ASYA_RUNTIME_GITHUB_URL", "http://plain"),
        ("ASYA_RUNTIME_SHA256", "abc"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    env = {"ASYA_RUNTIME_SOURCE": "github", "ASYA_RUNTIME_GITHUB_REPO": "o/n", name: value}
    with pytest.raises(InvalidSetting, match=name):
        from_environment(env, lambda: None)


@pytest.mark.parametrize(
    ("version", "pinned", "message"),
    [
        ("v1", True, ""),
        ("v1", False, "set runtime.github.sha256 to "),
        ("", True, "set runtime.github.version to the tag of a release, and runtime.github.sha256 to "),
        ("latest", False, "set runtime.github.version to the tag of a release, and runtime.github.sha256 to "),
    ],
)
def test_only_a_version_and_a_checksum_pin_a_release(version: str, pinned: bool, message: str) -> None:
    digest = hashlib.sha256(GOOD).hexdigest()
    one = GithubSource("owner/name", version, lambda: None, sha256=digest if pinned else "")
    one.script = GOOD.decode()
    assert one.how_to_pin == (message + digest if message else "")
    assert (digest in one.identity) is pinned
