"""Sets up logging: one JSON object per line, or readable text on a terminal."""

import logging
import sys
from typing import Any

import orjson
import structlog

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
FORMATS = ("auto", "json", "text")
"""Formats of log lines. ``auto`` is text on a terminal, and JSON otherwise."""


class InvalidLogSetting(ValueError):
    """A setting is invalid. The message names it, its value and the valid values."""


def configure(level: str = "INFO", format: str = "auto") -> None:
    """Set up logging for the process: structlog, and the standard library's loggers through it.

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
    as_json = format == "json" or (format == "auto" and not sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: Any = structlog.processors.JSONRenderer(serializer=_dumps) if as_json else _console()
    structlog.configure(
        # Write directly to the stream. Through the standard library's log records, each line would cost three times as
        # much.
        processors=[*shared, renderer],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for noisy in ("urllib3", "kubernetes", "leaderelection"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def _console() -> Any:
    # Escape control characters in strings, because a label may contain a terminal's control sequence.
    return structlog.dev.ConsoleRenderer(repr_native_str=True)


def _dumps(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()
