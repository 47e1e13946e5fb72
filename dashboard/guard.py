"""Access control of the dashboard: it serves only the browser that has its address, and no page of another origin.

The dashboard acts with its caller's rights, so it checks three things:

* Every path begins with a token, which only the printed address has. Other users of the machine do not know it.
* The header ``Host`` must name the loopback address. After DNS rebinding it names another host.
* An action must come as JSON from the dashboard's own origin. A form of another page cannot send that.
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
"""Headers of every response."""
OPEN_SECONDS: Final = 60.0
"""Seconds for which the address of the started browser works."""


class Guard:
    """Holds the tokens and checks requests."""

    def __init__(self, port: int) -> None:
        self.token = secrets.token_urlsafe(24)
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._origins = {f"http://{host}" for host in self._hosts}
        self._once = secrets.token_urlsafe(24)
        self._opened_by = time.monotonic() + OPEN_SECONDS

    @property
    def opening(self) -> str:
        """The path with which the browser is started.

        Other users of the machine can read it from the list of processes, so it works once, within OPEN_SECONDS.
        """
        return f"/open/{self._once}"

    def opens(self, once: str) -> bool:
        """Whether ``once`` is the last part of the opening path. Every call uses it up, so a second call is False."""
        expected, self._once = self._once, ""
        return bool(expected) and time.monotonic() < self._opened_by and hmac.compare_digest(expected, once)

    def refusal(self, method: str, headers: Mapping[str, str] | Headers, content_type: str) -> str:
        """Why a request is refused, whatever its path; empty if it is not."""
        if headers.get("Host", "") not in self._hosts:
            return "the dashboard serves this machine only: open the address that kubectl asya dashboard printed"
        if headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            return "the dashboard serves its own page only"
        if method in ("GET", "HEAD"):
            return ""
        if headers.get("Origin", "") not in self._origins:
            return "an action must come from the dashboard's own page"
        if content_type != "application/json":
            return "an action must be sent as application/json"
        return ""

    def knows(self, token: str) -> bool:
        """Whether ``token`` is right."""
        return hmac.compare_digest(self.token.encode(), token.encode())
