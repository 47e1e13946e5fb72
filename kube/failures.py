"""Three kinds of answers that are no success, and what each asks of the one who asked: a pure function.

* ``terminal``: what was to be written is wrong, or not allowed. It would be refused again, so wait for its change.
* ``conflict``: the object, or something that has a say about it, was in another state. Step back, for this object.
* ``unwell``: the API server itself is in trouble. Hold everything back.

One object never slows another: an answer with a server's code that is about the object is no trouble of the server's.
"""

from typing import Literal

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
