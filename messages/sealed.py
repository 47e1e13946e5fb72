"""Encrypts the lines that the short-lived pod prints, so that only its caller can read them.

A node stores the logs of its pods, and a log collector may copy them. The key is part of the request and is used for
one pod only.
"""

import json
from typing import Any, Final

from cryptography.fernet import Fernet, InvalidToken

MARK: Final = "asya:"


def new_key() -> str:
    """A new key for one request."""
    return Fernet.generate_key().decode()


class Sealer:
    """Encrypts and decrypts lines with one key."""

    def __init__(self, key: str) -> None:
        self._fernet = Fernet(key.encode())

    def seal(self, event: dict[str, Any]) -> str:
        """The encrypted line for an event."""
        return MARK + self._fernet.encrypt(json.dumps(event).encode()).decode()

    def open(self, line: str) -> dict[str, Any] | None:
        """The event in a line; None if the line holds no event of this key."""
        if not line.startswith(MARK):
            return None
        try:
            event = json.loads(self._fernet.decrypt(line[len(MARK) :].strip().encode()))
        except (InvalidToken, ValueError):
            return None
        return event if isinstance(event, dict) else None
