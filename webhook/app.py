"""The Flask application: AdmissionReview in, AdmissionReview out.

Whatever arrives gets a well-formed answer: a review the decision on it, anything else a 4xx with a
sentence. A failure of our own is logged with the review's uid and answered as a denial, which the
API server reports to whoever asked.
"""

import base64
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext

import orjson
import structlog
from flask import Flask, Request, Response, abort, request

from crds.shape import METADATA, shape_fault
from injection.kinds import KINDS
from injection.plan import Object
from injection.settings import SidecarDefaults
from kube.failures import ApiError
from telemetry import tracing
from telemetry.metrics.describe import OTHER, BoundedLabel
from telemetry.metrics.webhook import ADMISSION_SECONDS, ADMISSIONS, DENIALS
from webhook.admission import Decision, PlanLookup, decide
from webhook.connections import MAX_BODY
from webhook.review import OPERATIONS, BadRequest, Clients, Stranger, request_of
from webhook.validation import validate

log = structlog.get_logger(__name__)

LARGE_BODY = 512 * 1024
_LARGE = threading.BoundedSemaphore(2)
"""Large reviews are read two at a time, so that no number of them fills the memory."""
JSON = "application/json"
_NAMESPACES = BoundedLabel(1000)


def create_app(
    lookup: PlanLookup,
    defaults: SidecarDefaults,
    ready: Callable[[], str] = lambda: "",
    clients: Clients | None = None,
) -> Flask:
    """The application.

    Args:
        lookup: finds an actor's plan.
        defaults: the operator's sidecar settings, for validation.
        ready: why the process is not ready, or an empty string.
        clients: who may ask for a decision; whoever reaches it, if None.
    """
    allowed = clients or Clients()
    app = Flask("asya-webhook", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY

    @app.post("/mutate")
    def mutate() -> Response:
        return _answer(request, allowed, lambda review: _mutate(review, lookup))

    @app.post("/validate")
    def validate_actor() -> Response:
        return _answer(request, allowed, lambda review: _validate(review, defaults))

    @app.get("/healthz")
    def healthz() -> Response:
        return Response("ok\n", mimetype="text/plain")

    @app.get("/readyz")
    def readyz() -> Response:
        why = ready()
        return Response(f"{why or 'ok'}\n", status=503 if why else 200, mimetype="text/plain")

    return app


def _answer(http: Request, clients: Clients, decide_on: Callable[[Object], Decision]) -> Response:
    started = time.perf_counter()
    try:
        clients.check(getattr(http.environ.get("gunicorn.socket"), "client_certificate", None))
        review = _review(http)
    except Stranger as stranger:
        return Response(f"{stranger}\n", status=403, mimetype="text/plain")
    except BadRequest as bad:
        return Response(f"{bad}\n", status=400, mimetype="text/plain")
    with tracing.span("admission") as span:
        decision = _decide(review, decide_on)
        resource = review.get("resource") or {}
        span.set(
            uid=review["uid"],
            outcome=decision.outcome,
            resource=str(resource.get("resource") or ""),
            namespace=review.get("namespace") or "",
            name=review.get("name") or "",
        )
    _count(review, decision, time.perf_counter() - started)
    return Response(orjson.dumps(_review_of(review["uid"], decision)), content_type=JSON)


def _decide(review: Object, decide_on: Callable[[Object], Decision]) -> Decision:
    """The decision, which is an error where it cannot be made."""
    try:
        return decide_on(review)
    except ApiError as error:
        return Decision("error", message=f"the AsyncActor could not be read from the API: {error}")
    except Exception:
        log.exception("admission_failed", uid=review["uid"], name=review.get("name"), namespace=review.get("namespace"))
        return Decision("error", message="the webhook failed on this object; its log has the details")


def _count(review: Object, decision: Decision, seconds: float) -> None:
    """Tell metrics and log what was decided."""
    resource = review.get("resource") or {}
    # Known words only: each other one would be kept for ever.
    known = any(resource.get("resource") == plural for _, plural in KINDS) or resource.get("resource") == "asyncactors"
    ADMISSIONS.labels(
        resource["resource"] if known else OTHER,
        review["operation"] if review.get("operation") in OPERATIONS else OTHER,
        decision.outcome,
    ).inc()
    if decision.outcome == "denied":
        DENIALS.labels(_NAMESPACES(review.get("namespace") or "")).inc()
    ADMISSION_SECONDS.observe(seconds)
    if decision.outcome != "unchanged":
        log.info(
            "admission",
            uid=review["uid"],
            outcome=decision.outcome,
            resource=resource.get("resource"),
            namespace=review.get("namespace"),
            name=review.get("name"),
            dry_run=review.get("dryRun", False),
            reason=decision.message,
        )


def _review(http: Request) -> Object:
    if http.content_length is None:
        # An API server always says how long its review is; whoever does not could go on for ever.
        abort(411)
    if http.content_type != JSON and http.mimetype != JSON:
        raise BadRequest(f"Content-Type: must be {JSON}; found {http.mimetype or 'none'!r}")
    try:
        with _LARGE if http.content_length > LARGE_BODY else nullcontext():
            body = orjson.loads(http.get_data(cache=False))
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"body: must be JSON: {error}") from None
    return request_of(body)


def _mutate(review: Object, lookup: PlanLookup) -> Decision:
    return decide(review, lookup)


def _validate(review: Object, defaults: SidecarDefaults) -> Decision:
    obj = review.get("object")
    if not isinstance(obj, dict):
        return Decision("unchanged")
    wrong = shape_fault(obj.get("metadata"), METADATA, "metadata")
    if wrong:
        return Decision("denied", message=str(wrong))
    if (obj.get("metadata") or {}).get("deletionTimestamp"):
        return Decision("unchanged")
    errors, warnings = validate(obj, defaults)
    if errors:
        return Decision("denied", message="; ".join(errors))
    return Decision("unchanged", warnings=warnings)


def _review_of(uid: str, decision: Decision) -> Object:
    denied = decision.outcome in ("denied", "error")
    response: Object = {"uid": uid, "allowed": not denied}
    if decision.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(orjson.dumps(decision.patch)).decode()
    if decision.warnings:
        response["warnings"] = decision.warnings
    if denied:
        code = 422 if decision.outcome == "denied" else 500
        response["status"] = {"code": code, "message": decision.message}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
