"""Writes the log: one JSON object per line, or readable text on a terminal.

The webhook writes a line for each object that it changes, so a line must be cheap: here it costs 4 µs. A record of the
standard library's logging costs 55 µs. structlog costs 7 µs, but its import takes 10 MB of memory in each process,
because it imports rich and asyncio. The libraries' records, which are few, are written through the same functions.
"""

import contextlib
import json
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
FORMATS = ("auto", "json", "text")
"""Formats of log lines. ``auto`` is text on a terminal, and JSON otherwise."""


class InvalidLogSetting(ValueError):
    """A setting is invalid. The message names it, its value and the valid values."""


class Log:
    """Writes events with named fields to standard error. All methods are thread-safe.

    A field's value is a string, a number, a boolean, None, or a list or mapping of these; anything else is written as
    its `str`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.level = logging.INFO
        """Events below this level are not written."""
        self.render: Callable[[Mapping[str, Any]], str] = as_text
        """Turns the fields of a line into the line, without its end."""

    def info(self, event: str, /, **fields: Any) -> None:
        """Write what the process did."""
        if self.level <= logging.INFO:
            self._write("info", event, fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        """Write what went wrong and is tried again."""
        if self.level <= logging.WARNING:
            self._write("warning", event, fields)

    def error(self, event: str, /, **fields: Any) -> None:
        """Write what went wrong and needs a person."""
        self._write("error", event, fields)

    def exception(self, event: str, /, **fields: Any) -> None:
        """Write an error with the traceback of the exception that is being handled."""
        self._write("error", event, fields | {"exception": traceback.format_exc().rstrip()})

    def line(self, level: str, event: str, fields: Mapping[str, Any]) -> str:
        """One line without its end: the time in UTC, the level, the event and the fields."""
        now = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
        return self.render({"timestamp": f"{now}Z", "level": level, "event": event, **fields})

    def _write(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        line = self.line(level, event, fields) + "\n"
        # Threads must not write into each other's lines. Nobody reads the log of a closed pipe; the work goes on.
        with self._lock, contextlib.suppress(OSError):
            sys.stderr.write(line)
            sys.stderr.flush()


def as_json(fields: Mapping[str, Any]) -> str:
    """The fields as one JSON object."""
    try:
        return orjson.dumps(fields, default=str).decode()
    except orjson.JSONEncodeError:  # a lone surrogate, a large integer or a number as a key
        try:
            return json.dumps(fields, default=str)
        except (TypeError, ValueError):  # another key, or a value that contains itself
            return json.dumps({name: str(value) for name, value in fields.items()})


def as_text(fields: Mapping[str, Any]) -> str:
    """The fields for a person: time, level and event, then ``name=value``; a traceback on lines of its own."""
    names = ("timestamp", "level", "event", "exception")
    head = f"{fields['timestamp']} {fields['level']:<7} {_printable(fields['event'])}"
    rest = "".join(f" {name}={_printable(value)}" for name, value in fields.items() if name not in names)
    return f"{head}{rest}" + (f"\n{fields['exception']}" if "exception" in fields else "")


def _printable(value: Any) -> str:
    """The value on one line. A label may contain a terminal's control sequence, so such characters are escaped."""
    text = str(value)
    return text if text.isprintable() else repr(text)


class _Formatter(logging.Formatter):
    """Formats the standard library's records like the events of :class:`Log`."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {"logger": record.name}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return log.line(record.levelname.lower(), record.getMessage(), fields)


log = Log()
"""The log of the process."""


def configure(level: str = "INFO", format: str = "auto") -> None:
    """Set up the log of the process, and the standard library's loggers.

    Args:
        level: one of :data:`LEVELS`, in upper or lower case.
        format: one of :data:`FORMATS`, from the variable ``ASYA_LOG_FORMAT``.

    Raises:
        InvalidLogSetting: ``level`` or ``format`` is invalid.
    """
    if level.upper() not in LEVELS:
        raise InvalidLogSetting(f"ASYA_LOG_LEVEL: must be one of {', '.join(LEVELS)}; found {level!r}")
    if format not in FORMATS:
        raise InvalidLogSetting(f"ASYA_LOG_FORMAT: must be one of {', '.join(FORMATS)}; found {format!r}")
    is_json = format == "json" or (format == "auto" and not sys.stderr.isatty())
    log.level, log.render = logging.getLevelName(level.upper()), as_json if is_json else as_text
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for noisy in ("urllib3", "kubernetes", "leaderelection"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
