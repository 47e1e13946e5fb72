"""The Flask application: every endpoint of the webhook, for requests that the worker does not answer directly.

See :mod:`webhook.direct` for the requests that never reach Flask.
"""

from collections.abc import Callable

from flask import Flask, Response, abort, request

from webhook.connections import MAX_BODY
from webhook.handler import JSON, Endpoint, Handler
from webhook.review import BadRequest


def create_app(handler: Handler, not_ready: Callable[[], str] = lambda: "") -> Flask:
    """The application.

    Args:
        handler: answers admission reviews.
        not_ready: returns why the process is not ready, or an empty string.
    """
    app = Flask("asya-webhook", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY

    @app.post("/mutate")
    def mutate() -> Response:
        return _answer(handler, "mutate")

    @app.post("/validate")
    def validate_actor() -> Response:
        return _answer(handler, "validate")

    @app.get("/healthz")
    def healthz() -> Response:
        return Response("ok\n", mimetype="text/plain")

    @app.get("/readyz")
    def readyz() -> Response:
        why = not_ready()
        return Response(f"{why or 'ok'}\n", status=503 if why else 200, mimetype="text/plain")

    @app.errorhandler(BadRequest)
    def refuse(error: BadRequest) -> Response:
        return Response(f"{error}\n", status=400, mimetype="text/plain")

    return app


def _answer(handler: Handler, endpoint: Endpoint) -> Response:
    if request.content_length is None:
        # An API server always states the length. A client that does not could send without end.
        abort(411)
    if request.content_type != JSON and request.mimetype != JSON:
        raise BadRequest(f"Content-Type: must be {JSON}; found {request.mimetype or 'none'!r}")
    certificate = getattr(request.environ.get("gunicorn.socket"), "client_certificate", None)
    answer = handler.answer(endpoint, request.get_data(cache=False), certificate)
    return Response(answer.body, status=answer.status, content_type=answer.content_type)
