"""Threads that ought to last as long as the process, and the memory of those that did not.

A thread that ends by an error leaves the rest of a process looking well. These say so in the log at once,
and in the health check until the process is replaced.
"""

import threading
from collections.abc import Callable
from typing import Any

import structlog

log = structlog.get_logger(__name__)

_failed: list[str] = []


def start(name: str, target: Callable[..., Any], *arguments: Any) -> threading.Thread:
    """Run ``target`` on a daemon thread."""

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
    """Which threads ended by an error, for a health check; an empty string if none did."""
    return f"threads that ended by an error, see the log: {', '.join(_failed)}" if _failed else ""
