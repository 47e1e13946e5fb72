"""Writes gunicorn's own messages in the operator's format, through the root logger.

By default, gunicorn installs a handler with another format, so a log collector would find two formats in one stream.
"""

from typing import Any

from gunicorn.glogging import Logger


class GunicornLog(Logger):  # type: ignore[misc]
    """A gunicorn logger without handlers. Its records go to the root logger, which :mod:`telemetry.logs` sets up."""

    def setup(self, cfg: Any) -> None:
        """Call gunicorn's setup, then remove its handler."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
