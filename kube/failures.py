"""Classifies errors of the API server. There are three kinds, and each needs a different reaction:

* ``terminal``: the object is invalid or the write is forbidden. A retry would fail too, so wait for a change.
* ``conflict``: the object, or a webhook that decides about it, is in another state. Retry this object with backoff.
* ``unwell``: the API server itself fails. Slow down all requests.

One object must not slow down others. A status code of 500 or more whose message concerns only the object is therefore
not a failure of the server.
"""

from typing import Any, Literal

import orjson

Failure = Literal["terminal", "conflict", "unwell"]

_DENIED = ("denied the request", "failed to create typed patch object")
_WEBHOOK_UNAVAILABLE = "failed calling webhook"


def failure_of(code: int, message: str) -> Failure:
    """Return the kind of an error with this status code and message. Code 0 means no response."""
    if any(words in message for words in _DENIED):
        return "terminal"
    if _WEBHOOK_UNAVAILABLE in message or "admission webhook" in message:
        return "conflict"
    if code in (0, 429) or code >= 500:
        return "unwell"
    return "conflict" if code in (404, 409, 410) else "terminal"


def is_about_a_webhook(message: str) -> bool:
    """Whether an admission webhook is unavailable. The write fails until the webhook is back."""
    return _WEBHOOK_UNAVAILABLE in message


def is_suspect(code: int) -> bool:
    """Whether an error with this status code may concern only the requested object, and not the server."""
    return code == 500


class ApiError(Exception):
    """An error response of the API server, or no response (``code`` 0).

    ``reason`` is Kubernetes' word for it (``NotFound``, ``Invalid``, …), ``message`` its text, and ``retry_after`` the
    seconds of the header ``Retry-After``, if there is one.
    """

    def __init__(self, code: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{code} {reason}: {message}" if code else message)
        self.code, self.reason, self.message, self.retry_after = code, reason, message, retry_after

    @property
    def kind(self) -> Failure:
        """The kind of this error, which decides the reaction."""
        return failure_of(self.code, self.message)

    @property
    def is_namespace_terminating(self) -> bool:
        """Whether the write was refused because the namespace is being deleted. Then there is nothing to do."""
        return self.code == 403 and "because it is being terminated" in self.message

    @property
    def is_server_unwell(self) -> bool:
        """Whether the API server itself fails, not the request or an admission webhook."""
        return self.kind == "unwell"

    @property
    def is_refusal(self) -> bool:
        """Whether the API server or admission refused the write and would refuse it again."""
        if self.is_namespace_terminating:
            return False
        return self.kind == "terminal" or is_about_a_webhook(self.message)

    @classmethod
    def of(cls, response: Any) -> "ApiError":
        """Return the error in ``response``. The body need not be a Status, nor JSON."""
        after = response.headers.get("Retry-After", "")
        retry_after = float(after) if after.isdigit() else None
        try:
            status = orjson.loads(response.data)
        except orjson.JSONDecodeError:
            status = None
        if not isinstance(status, dict):
            return cls(response.status, "Unknown", response.data[:200].decode(errors="replace"), retry_after)
        return cls(response.status, status.get("reason") or "", status.get("message") or "", retry_after)
