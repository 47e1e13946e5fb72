"""gunicorn's own messages, written as the operator's: one JSON object a line, through the root logger.

gunicorn installs a handler with a format of its own, so that a log collector would meet two forms in one stream.
"""

from typing import Any

from gunicorn.glogging import Logger


class GunicornLog(Logger):  # type: ignore[misc]
    """A gunicorn logger without handlers: records go up to the root logger, which :mod:`telemetry.logs` sets up."""

    def setup(self, cfg: Any) -> None:
        """Set up as gunicorn does, then remove its handler."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True
