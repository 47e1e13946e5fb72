"""Starts threads that must run as long as the process, and remembers those that ended with an error.

If a thread ends with an error, the rest of the process still looks healthy. This module logs the error, and the health
check fails until the kubelet restarts the process.
"""

import threading
from collections.abc import Callable
from typing import Any

from telemetry.logs import log

_failed: list[str] = []


def start(name: str, target: Callable[..., Any], *arguments: Any) -> threading.Thread:
    """Run ``target`` on a daemon thread and return the thread."""

    def run() -> None:
        try:
            target(*arguments)
        except Exception:
            _failed.append(name)
            log.exception("thread_failed", thread=name)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread


def failed_threads() -> str:
    """Return a message about threads that ended with an error, for a health check. Empty if there are none."""
    return f"threads ended with an error, see thread_failed in the log: {', '.join(_failed)}" if _failed else ""
