"""The direct response equals Flask's, and Flask handles every request that could be read in another way."""

import gzip
from typing import Any

import orjson
import pytest

from crds.parse import InvalidActor, parse_actor
from injection.plan import Plan, make_plan
from injection.settings import SidecarDefaults
from tests.harness.space import actor
from tests.unit.test_admission import TEMPLATE, deployment, envelope, review
from webhook.admission import NotCached, PlanRequest
from webhook.app import create_app
from webhook.connections import request_end
from webhook.direct import MAX_DIRECT_BODY, Reply
from webhook.direct import answer as direct_answer
from webhook.handler import Handler

HEADERS = (
    "Host: asya-operator-webhook.asya-system.svc:443",
    "User-Agent: kube-apiserver-admission",
    "Accept: application/json, */*",
    "Content-Type: application/json",
    "Accept-Encoding: gzip",
)
"""The headers of an API server of version 1.36, except the length."""


def cached(wanted: PlanRequest) -> Plan | None:
    if wanted.actor == "later":
        raise NotCached
    if wanted.actor == "broken":
        raise InvalidActor(["spec.queueName: required"])
    return make_plan(parse_actor(actor(wanted.actor)), SidecarDefaults())


def plan(wanted: PlanRequest) -> Plan | None:
    return None if wanted.actor == "later" else cached(wanted)


HANDLER = Handler(plan, SidecarDefaults(), cached=cached)
INVALID = {**actor("a"), "spec": {"transport": {"type": "carrier pigeon"}}}
BODIES: dict[str, tuple[str, bytes]] = {
    "injected": ("mutate", orjson.dumps(envelope(review(deployment())))),
    "unlabelled": ("mutate", orjson.dumps(envelope(review(deployment(None))))),
    "denied": ("mutate", orjson.dumps(envelope(review(deployment("broken"))))),
    "a pod": (
        "mutate",
        orjson.dumps(envelope(review({**TEMPLATE, "metadata": {"labels": {"asya.io/actor": "a"}}}, "pods", ""))),
    ),
    "not a review": ("mutate", b"{}"),
    "not JSON": ("mutate", b"{"),
    "a valid actor": ("validate", orjson.dumps(envelope(review(actor("a"), "asyncactors", "asya.io")))),
    "an invalid actor": ("validate", orjson.dumps(envelope(review(INVALID, "asyncactors", "asya.io")))),
}


def request(path: str, body: bytes, *headers: str) -> bytes:
    lines = (f"POST {path} HTTP/1.1", *(headers or HEADERS), f"Content-Length: {len(body)}", "", "")
    return "\r\n".join(lines).encode() + body


def answer(handler: Handler, whole: bytes, certificate: None, not_ready: str = "") -> bytes | None:
    """The direct answer; after an admission the connection goes on."""
    reply = direct_answer(handler, lambda: not_ready, whole, certificate)
    assert reply is None or reply.keep
    return reply and reply.answer


def parts(whole: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = whole.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body


@pytest.mark.parametrize(("endpoint", "body"), BODIES.values(), ids=BODIES)
def test_flask_gives_the_same_answer(endpoint: str, body: bytes) -> None:
    direct = answer(HANDLER, request(f"/{endpoint}?timeout=5s", body), None)
    assert direct is not None
    flask: Any = (
        create_app(HANDLER).test_client().post(f"/{endpoint}?timeout=5s", data=body, content_type="application/json")
    )
    status, headers, content = parts(direct)
    assert (status, content) == (flask.status_code, flask.data)
    assert headers == {"content-type": flask.headers["Content-Type"], "content-length": str(len(content))}


def test_a_thread_handles_a_response_that_needs_a_read() -> None:
    body = orjson.dumps(envelope(review(deployment("later"))))
    assert answer(HANDLER, request("/mutate", body), None) is None
    assert (
        create_app(HANDLER).test_client().post("/mutate", data=body, content_type="application/json").status_code == 200
    )


BODY = BODIES["injected"][1]
OTHERS = {
    "another method": request("/mutate", BODY).replace(b"POST", b"PUT"),
    "another path": request("/mutate/", BODY),
    "another path, in capitals": request("/MUTATE", BODY),
    "an absolute target": request("http://x/mutate", BODY),
    "HTTP/1.0": request("/mutate", BODY).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "another type": request("/mutate", BODY, "Content-Type: text/plain"),
    "a type with parameters": request("/mutate", BODY, "Content-Type: application/json; charset=utf-8"),
    "no type": request("/mutate", BODY, "Host: x"),
    "two types": request("/mutate", BODY, *HEADERS, "content-type: application/json"),
    "Connection: close": request("/mutate", BODY, *HEADERS, "Connection: close"),
    "Expect": request("/mutate", BODY, *HEADERS, "expect: 100-continue"),
    "Upgrade": request("/mutate", BODY, *HEADERS, "Upgrade: h2c"),
    "a compressed body": request("/mutate", gzip.compress(BODY), *HEADERS, "Content-Encoding: gzip"),
    "chunks": request("/mutate", BODY, *HEADERS, "Transfer-Encoding: chunked"),
    "no length": b"\r\n".join((b"POST /mutate HTTP/1.1", b"Content-Type: application/json", b"", b"")),
    "a folded header": request("/mutate", BODY, *HEADERS, "X-A: a", " b"),
    "a header without a name": request("/mutate", BODY, *HEADERS, ": a"),
    "a space before the colon": request("/mutate", BODY, *HEADERS, "X-A : a"),
    "a control character": request("/mutate", BODY, *HEADERS, "X-A: a\x00b"),
    "a bare line feed": request("/mutate", BODY, *HEADERS, "X-A: a\nConnection: close"),
    "a bare carriage return": request("/mutate", BODY, *HEADERS, "X-A: a\rb"),
    "a large body": request("/mutate", BODY + b" " * MAX_DIRECT_BODY),
}


@pytest.mark.parametrize("whole", OTHERS.values(), ids=OTHERS)
def test_flask_handles_every_other_form(whole: bytes) -> None:
    assert answer(HANDLER, whole, None) is None


def test_a_request_of_the_usual_form_is_answered_whatever_its_other_headers() -> None:
    whole = request("/mutate", BODY, *HEADERS, "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    assert request_end(bytearray(whole)) == (len(whole), True)
    given = answer(HANDLER, whole, None)
    assert given is not None
    assert parts(given)[0] == 200


def test_direct_responses_share_no_object_between_requests() -> None:
    first = answer(HANDLER, request("/mutate", BODY), None)
    assert first is not None
    assert answer(HANDLER, request("/mutate", BODY), None) == first


PROBE = b"\r\n".join(
    (
        b"GET /readyz HTTP/1.1",
        b"Host: 10.86.0.7:8443",
        b"User-Agent: kube-probe/1.36",
        b"Accept: */*",
        b"Connection: close",
        b"",
        b"",
    )
)
"""The bytes that a kubelet of version 1.36 sends."""


@pytest.mark.parametrize("path", ["readyz", "healthz"])
@pytest.mark.parametrize("why", ["", "no certificate has been loaded yet"])
def test_a_probe_gets_the_answer_that_flask_gives(path: str, why: str) -> None:
    whole = PROBE.replace(b"readyz", path.encode())
    assert request_end(bytearray(whole)) == (len(whole), True)
    reply = direct_answer(HANDLER, lambda: why, whole, None)
    assert isinstance(reply, Reply)
    assert not reply.keep, "the kubelet waits for the end of the connection"
    flask = create_app(HANDLER, lambda: why).test_client().get(f"/{path}")
    status, headers, content = parts(reply.answer)
    assert (status, content) == (flask.status_code, flask.data)
    assert headers["content-type"] == flask.headers["Content-Type"]
    assert headers["connection"] == "close"


def test_a_probe_that_keeps_its_connection_keeps_it() -> None:
    reply = direct_answer(HANDLER, lambda: "", PROBE.replace(b"Connection: close\r\n", b""), None)
    assert reply is not None
    assert reply.keep
    assert b"onnection" not in reply.answer


@pytest.mark.parametrize("whole", [PROBE, PROBE.replace(b"Connection: close\r\n", b""), request("/mutate", BODY)])
def test_the_last_answer_of_a_worker_that_stops_says_that_the_connection_closes(whole: bytes) -> None:
    reply = direct_answer(HANDLER, lambda: "", whole, None, True)
    assert reply is not None
    assert not reply.keep
    status, headers, content = parts(reply.answer)
    assert (status, headers["connection"]) == (200, "close")
    assert len(content) == int(headers["content-length"])


@pytest.mark.parametrize(
    "whole",
    [
        PROBE.replace(b"/readyz", b"/readyz?a"),
        PROBE.replace(b"/readyz", b"/readyz/"),
        PROBE.replace(b"/readyz", b"/"),
        PROBE.replace(b"GET", b"HEAD"),
        PROBE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PROBE.replace(b": close", b": Upgrade"),
        PROBE.replace(b": close", b": close, Upgrade"),
        PROBE.replace(b"Accept:", b"Expect:"),
        PROBE.replace(b"Accept: */*", b"Content-Length: 3"),
        PROBE + b"abc",
    ],
)
def test_flask_handles_every_other_get(whole: bytes) -> None:
    assert answer(HANDLER, whole, None) is None
