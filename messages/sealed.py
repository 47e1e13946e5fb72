"""Lines that a pod prints and only its caller can read: a pod's log is kept by the node, and often collected.

The key comes with the request and lives as long as the pod.
"""

import json
from typing import Any, Final

from cryptography.fernet import Fernet, InvalidToken

MARK: Final = "asya:"


def new_key() -> str:
    """A key for one request."""
    return Fernet.generate_key().decode()


class Sealer:
    """Seals and opens lines by one key."""

    def __init__(self, key: str) -> None:
        self._fernet = Fernet(key.encode())

    def seal(self, event: dict[str, Any]) -> str:
        """A line for an event."""
        return MARK + self._fernet.encrypt(json.dumps(event).encode()).decode()

    def open(self, line: str) -> dict[str, Any] | None:
        """The event in a line; None if the line is another one."""
        if not line.startswith(MARK):
            return None
        try:
            opened = json.loads(self._fernet.decrypt(line[len(MARK) :].strip().encode()))
        except (InvalidToken, ValueError):
            return None
        return opened if isinstance(opened, dict) else None
