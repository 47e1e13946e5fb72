"""How the http generation handles an error from a handler: policies, and rules that choose one."""

import json
import random
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.podrun.settings import duration

Object = dict[str, Any]


@dataclass(frozen=True)
class Policy:
    """How often and when a message is tried again, and where it goes after the last attempt."""

    max_attempts: int = 1
    backoff: str = "constant"
    initial_delay: float = 0.0
    max_interval: float = 0.0
    max_duration: float = 0.0
    jitter: bool = False
    on_exhausted: list[str] = field(default_factory=list)

    def exhausted(self, status: Object) -> bool:
        """Whether the message with this status has no attempts or no time left."""
        if status["attempt"] >= self.max_attempts:
            return True
        created = datetime.fromisoformat(status["created_at"]).timestamp()
        return self.max_duration > 0 and created + self.max_duration < time.time()

    def delay(self, attempt: int) -> float:
        """Seconds until the attempt after this one, counted from 1."""
        factor: int = {"linear": attempt, "exponential": 2 ** (attempt - 1)}.get(self.backoff, 1)
        delay = factor * self.initial_delay
        if self.max_interval:
            delay = min(delay, self.max_interval)
        return delay * (1 + 0.1 * random.random()) if self.jitter else delay


class Resiliency:
    """The policies by name, and the rules in order."""

    def __init__(self, policies: str, rules: str) -> None:
        loaded: dict[str, Object] = json.loads(policies or "{}")
        self._policies = {name: _policy(fields) for name, fields in loaded.items()}
        self._rules: list[Object] = json.loads(rules or "[]")

    def policy(self, details: Object) -> Policy | None:
        """The policy of the first rule that matches the error's type or one of its bases, else ``default``, if any."""
        candidates = [details.get("type") or "", *(details.get("mro") or ())]
        for rule in self._rules:
            if any(_matches(pattern, candidate) for pattern in rule["errors"] for candidate in candidates):
                return self._policies.get(rule["policy"])
        return self._policies.get("default")


def _policy(fields: Object) -> Policy:
    return Policy(
        max_attempts=max(1, fields.get("maxAttempts", 1)),
        backoff=fields.get("backoff", "constant"),
        initial_delay=duration(fields.get("initialDelay", ""), 0.0),
        max_interval=duration(fields.get("maxInterval", ""), 0.0),
        max_duration=duration(fields.get("maxDuration", ""), 0.0),
        jitter=fields.get("jitter", False),
        on_exhausted=fields.get("onExhausted", []),
    )


def _matches(pattern: str, name: str) -> bool:
    """A pattern with a dot matches a whole name. A pattern without one matches the last part of a name."""
    return name == pattern if "." in pattern else name.rpartition(".")[2] == pattern
