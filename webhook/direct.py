"""Answers the requests of API servers and kubelets in the worker's event loop, without a thread or Flask.

Such a request is short and has a fixed form, and its answer comes from memory in a fraction of a millisecond. A thread,
a WSGI environment and Flask would take most of that time. `answer` accepts exactly these forms and returns None for
every other request; the worker then hands the request to gunicorn and Flask.
"""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from webhook.admission import NotCached
from webhook.handler import TEXT, Answer, Endpoint, Handler

MAX_DIRECT_BODY = 128 * 1024
"""Bytes. A larger review takes so long to parse that other connections would wait for it."""
_HEAD = re.compile(
    rb"POST /(mutate|validate)(?:\?[!-~]*)? HTTP/1\.1\r\n"
    rb"(?:(?!(?i:expect|connection|upgrade|transfer-|content-encoding))[A-Za-z0-9-]+:[\t -~]*\r\n)+\r\n"
)
"""A whole head. Headers that change how the rest of the connection is read do not match."""
_PROBE = re.compile(
    rb"GET /(readyz|healthz) HTTP/1\.1\r\n"
    rb"(?:(?!(?i:expect|connection|upgrade|transfer-|content-))[A-Za-z0-9-]+:[\t -~]*\r\n"
    rb"|(?i:connection): close\r\n)+\r\n"
)
"""A whole request of a kubelet's probe. It asks for the end of the connection."""
_CLOSE = re.compile(rb"\r\nconnection:", re.IGNORECASE)
_JSON = re.compile(rb"\r\ncontent-type:[ \t]*application/json[ \t]*\r\n", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:", re.IGNORECASE)
_ENDPOINTS: Final[dict[bytes, Endpoint]] = {b"mutate": "mutate", b"validate": "validate"}


class Reply(NamedTuple):
    """A whole HTTP answer."""

    answer: bytes
    keep: bool
    """Whether the connection may go on."""


def answer(
    handler: Handler,
    not_ready: Callable[[], str],
    request: bytes,
    certificate: Mapping[str, Any] | None,
    is_last: bool = False,
) -> Reply | None:
    """The answer to ``request``; None if the request has another form or its answer has to wait.

    Args:
        handler: answers the body of an admission request.
        not_ready: returns why the process is not ready, or an empty string.
        request: one whole HTTP request, head and body.
        certificate: the client's verified certificate.
        is_last: whether the connection must close after the answer.
    """
    matched = _HEAD.match(request)
    if matched is None:
        probe = _PROBE.fullmatch(request)
        if probe is None:
            return None
        failure = not_ready() if probe[1] == b"readyz" else ""
        reply = Answer(503 if failure else 200, TEXT, f"{failure or 'ok'}\n".encode())
        return _http(reply, keep=not is_last and _CLOSE.search(request) is None)
    if len(request) - matched.end() > MAX_DIRECT_BODY:
        return None
    if any(len(header.findall(request, 0, matched.end())) != 1 for header in (_JSON, _LENGTH)):
        return None
    try:
        reply = handler.answer(_ENDPOINTS[matched[1]], request[matched.end() :], certificate, may_block=False)
    except NotCached:
        return None
    return _http(reply, keep=not is_last)


def _http(reply: Answer, *, keep: bool) -> Reply:
    end = "" if keep else "Connection: close\r\n"
    head = (
        f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n"
        f"Content-Type: {reply.content_type}\r\nContent-Length: {len(reply.body)}\r\n{end}\r\n"
    )
    return Reply(head.encode() + reply.body, keep)
