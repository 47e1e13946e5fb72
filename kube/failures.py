"""Answers of the API server that are no success. There are three kinds, and each asks for a different reaction:

* ``terminal``: what was to be written is wrong, or not allowed. It would be refused again, so wait for its change.
* ``conflict``: the object, or something that has a say about it, was in another state. Step back, for this object.
* ``unwell``: the API server itself is in trouble. Hold everything back.

One object never slows another: an answer with a server's code that is about the object is no trouble of the server's.
"""

from typing import Any, Literal

import orjson

Failure = Literal["terminal", "conflict", "unwell"]

_DENIED = ("denied the request", "failed to create typed patch object")
_WEBHOOK_AWAY = "failed calling webhook"


def failure_of(code: int, message: str) -> Failure:
    """The kind of an answer with that status code and message; code 0 is no answer."""
    if any(words in message for words in _DENIED):
        return "terminal"
    if _WEBHOOK_AWAY in message or "admission webhook" in message:
        return "conflict"
    if code in (0, 429) or code >= 500:
        return "unwell"
    return "conflict" if code in (404, 409, 410) else "terminal"


def is_about_a_webhook(message: str) -> bool:
    """Whether somebody's webhook is away, so that what was to be written is not written before it is back."""
    return _WEBHOOK_AWAY in message


def is_suspect(code: int) -> bool:
    """Whether such an answer may be about the one object as well as about the server."""
    return code == 500


class ApiError(Exception):
    """An answer of the API server that is not a success, or no answer at all (``code`` 0).

    ``reason`` is Kubernetes' own word (``NotFound``, ``Invalid``, …), ``message`` its sentence.
    """

    def __init__(self, code: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{code} {reason}: {message}" if code else message)
        self.code, self.reason, self.message, self.retry_after = code, reason, message, retry_after

    @property
    def kind(self) -> Failure:
        """What it asks of the one who asked."""
        return failure_of(self.code, self.message)

    @property
    def is_namespace_terminating(self) -> bool:
        """Whether the write was refused because its namespace is being deleted, so that there is nothing to do."""
        return self.code == 403 and "because it is being terminated" in self.message

    @property
    def is_server_unwell(self) -> bool:
        """Whether it is the API server, and not the request or an admission webhook, that is in trouble."""
        return self.kind == "unwell"

    @property
    def is_refusal(self) -> bool:
        """Whether what was to be written was refused, by the API server or by admission, and would be again."""
        if self.is_namespace_terminating:
            return False
        return self.kind == "terminal" or is_about_a_webhook(self.message)

    @classmethod
    def of(cls, response: Any) -> "ApiError":
        """The error in ``response``, whose body need not be a Status, or even JSON."""
        after = response.headers.get("Retry-After", "")
        retry_after = float(after) if after.isdigit() else None
        try:
            status = orjson.loads(response.data)
        except orjson.JSONDecodeError:
            status = None
        if not isinstance(status, dict):
            return cls(response.status, "Unknown", response.data[:200].decode(errors="replace"), retry_after)
        return cls(response.status, status.get("reason") or "", status.get("message") or "", retry_after)
