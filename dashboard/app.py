"""The HTTP server's application: the page, its data, a stream of changes, and actions.

All paths begin with the token, except the one that opens the browser.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from flask import Blueprint, Flask, Response, abort, redirect, request, send_from_directory

from controller.rules.phase import MEANINGS
from controller.rules.remedies import REMEDIES, general
from dashboard import detail, graph
from dashboard.board import Board, Changes
from dashboard.guard import HEADERS, Guard
from dashboard.history import SECONDS as SAMPLE_SECONDS
from dashboard.ports import Ports, Refused
from dashboard.redact import redact, redact_all
from dashboard.scraper import Pass, Scraper
from dashboard.traffic import Flow
from kube.client import Client
from kube.failures import ApiError
from kube.objects import Object

STATIC: Final = Path(__file__).parent / "static"
PING_SECONDS: Final = 10.0
"""Seconds without an event after which a stream sends a comment, to notice that its page is closed."""
GATHER_SECONDS: Final = 0.15
"""Changes within this time are sent as one event."""
MAX_LETTERS: Final = 1000
"""The most ids of dead letters in one request."""
MAX_BODY: Final = 1 << 20
_ID: Final = re.compile(r"([0-9a-f]{8})-(\d+)")


@dataclass(frozen=True)
class Services:
    """The parts from which the application gets its data."""

    board: Board
    scraper: Scraper
    client: Client
    """For requests about objects."""
    reach: Client
    """For requests to pods through the API server."""
    ports: Ports
    context: str
    """The name of the kubeconfig's context, for the page's header."""
    namespace: str
    """Empty for all."""


def make_app(services: Services, guard: Guard) -> Flask:
    """The application. ``guard`` decides which requests it serves."""
    app = Flask("dashboard", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY

    @app.before_request
    def check() -> Response | None:
        refusal = guard.refusal(request.method, request.headers, request.mimetype)
        return _error(403, refusal) if refusal else None

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers.update(HEADERS)
        return response

    @app.get("/open/<once>")
    def open_once(once: str) -> Any:
        return redirect(f"/{guard.token}/", 303) if guard.opens(once) else _error(404, "this address works only once")

    @app.errorhandler(404)
    def not_found(_: Any) -> Response:
        return _error(404, "this page does not exist: open the whole address that kubectl asya dashboard printed")

    @app.errorhandler(ApiError)
    def unreadable(error: ApiError) -> Response:
        return _error(403 if error.code == 403 else 502, redact(error.message))

    @app.errorhandler(Refused)
    def refused(error: Refused) -> Response:
        return _error(409, redact(str(error)))

    app.register_blueprint(_pages(services, guard))
    return app


def _pages(services: Services, guard: Guard) -> Blueprint:
    pages = Blueprint("pages", "dashboard", url_prefix="/<token>")

    @pages.url_value_preprocessor
    def check_token(_: str | None, values: dict[str, Any] | None) -> None:
        if values is None or not guard.knows(values.pop("token", "")):
            abort(404)

    @pages.get("/")
    def index() -> Response:
        return send_from_directory(STATIC, "index.html")

    @pages.get("/static/<path:name>")
    def static(name: str) -> Response:
        return send_from_directory(STATIC, name)

    @pages.get("/events")
    def events() -> Response:
        last = request.headers.get("Last-Event-ID", "")
        return Response(stream(services, last), mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})

    @pages.get("/routes")
    def routes() -> Response:
        namespace = request.args.get("namespace", "")
        scan = services.scraper.look(namespace)
        edges = graph.edges_of(services.scraper.flows(namespace), services.board.queues())
        return _json({**graph.drawn(edges), **_scraped(scan)})

    @pages.get("/actors/<namespace>/<name>")
    def one(namespace: str, name: str) -> Response:
        actor = _actor(services, namespace, name)
        scan = services.scraper.look(namespace, name)
        flow = services.scraper.flow((namespace, name))
        shown = detail.detail(services.client, services.ports, actor)
        return _json({**shown, "traffic": _traffic(flow), **_scraped(scan)})

    @pages.get("/actors/<namespace>/<name>/logs")
    def logs(namespace: str, name: str) -> Response:
        _actor(services, namespace, name)
        container = request.args.get("container", "runtime")
        return _json(detail.logs(services.client, services.reach, namespace, name, container))

    _actions(pages, services)
    return pages


def _actions(pages: Blueprint, services: Services) -> None:
    @pages.get("/actors/<namespace>/<name>/letters")
    def letters(namespace: str, name: str) -> Response:
        _actor(services, namespace, name)
        if services.ports.letters is None:
            raise Refused("this dashboard does not read dead letters")
        dead_letters = services.ports.letters.list(namespace, name)
        return _json({"letters": [redact_all(vars(letter)) for letter in dead_letters]})

    @pages.get("/actors/<namespace>/<name>/lengths")
    def lengths(namespace: str, name: str) -> Response:
        _actor(services, namespace, name)
        if services.ports.letters is None:
            raise Refused("this dashboard does not read queues")
        return _json({"lengths": services.ports.letters.lengths(namespace, name)})

    @pages.post("/actors/<namespace>/<name>/replay")
    def replay(namespace: str, name: str) -> Response:
        _actor(services, namespace, name)
        ids = _selected_ids(request.get_json(silent=True))
        if services.ports.letters is None:
            raise Refused("this dashboard does not read dead letters")
        return _json({"done": redact(services.ports.letters.replay(namespace, name, ids))})

    @pages.post("/actors/<namespace>/<name>/<action>")
    def act(namespace: str, name: str, action: str) -> Response:
        _actor(services, namespace, name)
        pauser = services.ports.pauser
        if pauser is None or action not in ("pause", "resume"):
            abort(404)
        outcome = pauser.pause(namespace, name) if action == "pause" else pauser.resume(namespace, name)
        return _json({"done": redact(outcome)})


def _selected_ids(body: Any) -> list[str] | None:
    """The ids of dead letters in a request's body; None for all.

    Raises:
        Refused: if the body has neither ids nor ``all``.
    """
    ids = body.get("ids") if isinstance(body, dict) else None
    if isinstance(body, dict) and body.get("all") is True:
        return None
    if isinstance(ids, list) and 0 < len(ids) <= MAX_LETTERS and all(isinstance(i, str) and i for i in ids):
        return ids
    raise Refused(f"ids: must be 1 to {MAX_LETTERS} ids of dead letters; found {str(ids)[:100]}")


def _actor(services: Services, namespace: str, name: str) -> Object:
    actor = services.board.actor(namespace, name)
    if actor is None:
        abort(404)
    return actor


def stream(services: Services, last: str, ping: float = PING_SECONDS) -> Iterator[bytes]:
    """Server-sent events: first a snapshot or the changes since event ``last``, then each change as it happens.

    Args:
        services: the parts with the data.
        last: the id of the last event that the page has; empty for none.
        ping: seconds without an event after which a comment is sent.
    """
    board = services.board
    match = _ID.fullmatch(last)
    last_sent = board.changes(int(match[2]) if match and match[1] == board.run else None)
    ticks = board.ticks
    if last_sent.whole:
        about = {
            "context": services.context,
            "namespace": services.namespace,
            "sample": SAMPLE_SECONDS,
            "phases": MEANINGS,
            "remedies": {cause: f"{remedy.symptom}. {general(cause)}" for cause, remedy in REMEDIES.items()},
            "lengths": board.lengths(),
        }
        yield _event("snapshot", {**about, **_changed(last_sent)}, board.run, last_sent.version)
    else:
        yield _event("change", _changed(last_sent), board.run, last_sent.version)
    while True:
        new_ticks = board.wait(last_sent.version, ticks, ping)
        if new_ticks == ticks:
            time.sleep(GATHER_SECONDS)
        newer = board.changes(last_sent.version)
        if newer.version > last_sent.version:
            last_sent = newer
            yield _event("snapshot" if newer.whole else "change", _changed(newer), board.run, newer.version)
        elif new_ticks == ticks:
            yield b": still here\n\n"
        if new_ticks > ticks:
            ticks = new_ticks
            yield _event("tick", {}, board.run, last_sent.version)


def _changed(changes: Changes) -> Object:
    return {"rows": changes.rows, "gone": changes.gone, "notices": changes.notices}


def _event(kind: str, data: Object, run: str, version: int) -> bytes:
    return b"event: %b\nid: %b-%d\ndata: %b\n\n" % (kind.encode(), run.encode(), version, orjson.dumps(data))


def _scraped(scan: Pass) -> Object:
    return {"metrics": {"pods": scan.pods, "failed": scan.failed, "problem": redact(scan.problem)}}


def _traffic(flow: Flow) -> Object:
    return {
        "measured": flow.measured,
        "received": round(flow.received, 3),
        "failed": round(flow.failed, 3),
        "active": round(flow.active),
        "seconds": flow.mean_seconds,
    }


def _json(value: Object) -> Response:
    return Response(orjson.dumps(value), mimetype="application/json")


def _error(code: int, message: str) -> Response:
    return Response(orjson.dumps({"error": message}), code, mimetype="application/json")
