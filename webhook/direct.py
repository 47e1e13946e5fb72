"""Answers the requests of API servers in the worker's event loop, without a thread, gunicorn's parser or Flask.

An API server's request is short and has a fixed form, and its answer comes from memory in a fraction of a millisecond.
A thread, a WSGI environment and Flask would take most of that time. `answer` accepts exactly this form and returns None
for every other request; the worker then hands the request to gunicorn and Flask.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from webhook.admission import NotCached
from webhook.handler import Endpoint, Handler

MAX_DIRECT_BODY = 128 * 1024
"""Bytes. A larger review takes so long to parse that other connections would wait for it."""
_HEAD = re.compile(
    rb"POST /(mutate|validate)(?:\?[!-~]*)? HTTP/1\.1\r\n"
    rb"(?:(?!(?i:expect|connection|upgrade|transfer-|content-encoding))[A-Za-z0-9-]+:[\t -~]*\r\n)+\r\n"
)
"""A whole head. Headers that change how the rest of the connection is read do not match."""
_JSON = re.compile(rb"\r\ncontent-type:[ \t]*application/json[ \t]*\r\n", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:", re.IGNORECASE)
_ENDPOINTS: Final[dict[bytes, Endpoint]] = {b"mutate": "mutate", b"validate": "validate"}


def answer(handler: Handler, request: bytes, certificate: Mapping[str, Any] | None) -> bytes | None:
    """The whole HTTP answer to ``request``; None if the request has another form or its answer has to wait.

    Args:
        handler: answers the body.
        request: one whole HTTP request, head and body.
        certificate: the client's verified certificate.
    """
    matched = _HEAD.match(request)
    if matched is None or len(request) - matched.end() > MAX_DIRECT_BODY:
        return None
    if any(len(header.findall(request, 0, matched.end())) != 1 for header in (_JSON, _LENGTH)):
        return None
    try:
        reply = handler.answer(_ENDPOINTS[matched[1]], request[matched.end() :], certificate, may_block=False)
    except NotCached:
        return None
    head = (
        f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n"
        f"Content-Type: {reply.content_type}\r\nContent-Length: {len(reply.body)}\r\n\r\n"
    )
    return head.encode() + reply.body
