"""Who may speak to the dashboard: the browser that was given its address, and no page of another origin.

The dashboard acts with its caller's rights, so it asks for three things. Every path starts with a token that only its
printed address holds, which keeps out other users of the machine and every page that guesses. The header ``Host`` must
name the loopback address, which a rebound DNS name does not. And what changes something must come as JSON from the
dashboard's own origin, which a form of another page cannot send.
"""

import hmac
import secrets
import time
from collections.abc import Mapping
from typing import Final

from werkzeug.datastructures import Headers

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
"""Of every answer."""
OPEN_SECONDS: Final = 60.0
"""For how long the address that the browser is started with works."""


class Guard:
    """Tokens, and what a request must bring along."""

    def __init__(self, port: int) -> None:
        self.token = secrets.token_urlsafe(24)
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._origins = {f"http://{host}" for host in self._hosts}
        self._once = secrets.token_urlsafe(24)
        self._opened_by = time.monotonic() + OPEN_SECONDS

    @property
    def opening(self) -> str:
        """The path that a browser is started with.

        Other users of the machine can read it from the list of processes, so it works once, and only at first.
        """
        return f"/open/{self._once}"

    def opens(self, once: str) -> bool:
        """Whether that is the opening path's last part; it never is again."""
        expected, self._once = self._once, ""
        return bool(expected) and time.monotonic() < self._opened_by and hmac.compare_digest(expected, once)

    def refusal(self, method: str, headers: Mapping[str, str] | Headers, content_type: str) -> str:
        """Why a request is refused, whatever its path; an empty string if it is not."""
        if headers.get("Host", "") not in self._hosts:
            return "this is the dashboard of one person on one machine: open the address that it printed"
        if headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            return "the dashboard answers its own page alone"
        if method in ("GET", "HEAD"):
            return ""
        if headers.get("Origin", "") not in self._origins:
            return "an action must come from the dashboard's own page"
        if content_type != "application/json":
            return "an action must be sent as application/json"
        return ""

    def knows(self, token: str) -> bool:
        """Whether that is the token."""
        return hmac.compare_digest(self.token.encode(), token.encode())
