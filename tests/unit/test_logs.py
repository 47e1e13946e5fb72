"""Logs: one JSON object on each line from every source, and invalid settings are refused."""

import json
import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from telemetry import logs
from tests.harness.clusters import ROOT

SCRIPT = """
import logging, sys
from gunicorn.config import Config
from telemetry import logs
from webhook.gunicorn_log import GunicornLog
logs.configure(format=sys.argv[1])
config = Config()
config.set("loglevel", "warning")
gunicorn = GunicornLog(config)
logs.log.info("own", actor="a")
gunicorn.error("from gunicorn %s", 1)
gunicorn.info("left out")
try:
    raise ValueError("a handler's own")
except ValueError:
    logging.getLogger("a.library").exception("handler failed")
"""


def lines(format: str) -> list[str]:
    """The output of the script."""
    command = [sys.executable, "-c", SCRIPT, format]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr.splitlines()


def test_every_source_writes_json() -> None:
    parsed = [json.loads(line) for line in lines("json")]
    assert [(line["event"], line["level"]) for line in parsed] == [
        ("own", "info"),
        ("from gunicorn 1", "error"),
        ("handler failed", "error"),
    ]
    assert parsed[0]["actor"] == "a"


def test_the_text_format_is_readable_for_people() -> None:
    text = lines("text")
    assert any("from gunicorn 1" in line for line in text)
    assert not any(line.startswith("{") for line in text)


@pytest.mark.parametrize(
    ("level", "format", "message"),
    [("LOUD", "auto", "ASYA_LOG_LEVEL: .*found 'LOUD'"), ("INFO", "xml", "ASYA_LOG_FORMAT: .*found 'xml'")],
)
def test_an_invalid_setting_is_named(level: str, format: str, message: str) -> None:
    with pytest.raises(logs.InvalidLogSetting, match=message):
        logs.configure(level, format)


def written(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, format: str, **fields: object) -> str:
    """The line that one event writes in this format."""
    log = logs.Log()
    monkeypatch.setattr(log, "render", logs.as_json if format == "json" else logs.as_text)
    log.info("event", **fields)
    line = capsys.readouterr().err
    assert line.endswith("\n")
    return line


ITSELF: list[object] = []
ITSELF.append(ITSELF)


@pytest.mark.parametrize("value", [{(1, 2): 3}, {None: 1, b"x": 2}, ITSELF])
def test_a_value_that_json_does_not_have_is_written_as_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    line = json.loads(written(capsys, monkeypatch, "json", value=value, other=1))
    assert (line["value"], line["event"]) == (str(value), "event")


def test_the_work_goes_on_when_nobody_reads_the_log() -> None:
    script = "from telemetry import logs; logs.configure(); logs.log.info('x'); logs.log.info('y'); print('done')"
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-c", script]
    printed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=writes, text=True, check=False).stdout
    os.close(writes)
    assert printed == "done\n"


@pytest.mark.parametrize(
    "value",
    [1, 2**70, -0.5, None, True, ["a"], {"b": 1}, "é", "\ud800", b"\xff", Path("/x"), "a\nb", "\x1b[2J", "\u2028"],
)
@pytest.mark.parametrize("format", ["json", "text"])
def test_every_value_is_written_on_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, format: str, value: object
) -> None:
    line = written(capsys, monkeypatch, format, value=value)
    assert line.count("\n") == 1
    assert "\x1b" not in line
    if format == "json":
        expected = value if isinstance(value, int | float | list | dict | str | None) else str(value)
        assert json.loads(line)["value"] == expected


def test_an_exception_is_written_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    log = logs.Log()
    log.render = logs.as_json
    try:
        raise ValueError("the cause")
    except ValueError:
        log.exception("failed", name="a")
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["name"]) == ("failed", "error", "a")
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: the cause")


def test_events_below_the_level_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    log = logs.Log()
    log.level = logging.WARNING
    log.info("left out")
    log.warning("written")
    assert [line.split()[2] for line in capsys.readouterr().err.splitlines()] == ["written"]


def test_threads_write_whole_lines(capfd: pytest.CaptureFixture[str]) -> None:
    log = logs.Log()
    log.render = logs.as_json
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: log.info("event", number=number, text="x" * 5000), range(200)))
    assert sorted(json.loads(line)["number"] for line in capfd.readouterr().err.splitlines()) == list(range(200))
