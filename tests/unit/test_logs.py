"""Logs: one JSON object on each line from every source, and invalid settings are refused."""

import json
import subprocess
import sys

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
