"""Turns the body of an admission request into the answer, whether the worker or Flask received it.

The worker calls :class:`Handler` directly for the requests of API servers; Flask calls it for all others. So they give
the same answers. Every answer is well-formed: the decision for an AdmissionReview, and a 4xx with a sentence for any
other body. If the webhook itself fails, it logs the error with the review's uid and answers with a denial, which the
API server reports to its client.
"""

import base64
import threading
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from crds.shape import METADATA, shape_fault
from injection.kinds import KINDS
from injection.settings import SidecarDefaults
from kube.failures import ApiError
from kube.objects import Object
from telemetry import tracing
from telemetry.logs import log
from telemetry.metrics.describe import OTHER, BoundedLabel
from telemetry.metrics.webhook import ADMISSION_SECONDS, ADMISSIONS, DENIALS
from webhook.admission import Decision, NotCached, PlanLookup, decide
from webhook.review import BadRequest, Clients, Stranger, request_of
from webhook.validation import validate

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"
LARGE_BODY = 512 * 1024
_LARGE = threading.BoundedSemaphore(2)
"""At most two large reviews are parsed at a time. This bounds the memory."""
_NAMESPACES = BoundedLabel(1000)
_RESOURCES: Final = frozenset((*(plural for _, plural in KINDS), "asyncactors"))

Endpoint = Literal["mutate", "validate"]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    content_type: str
    body: bytes


class Handler:
    """Answers admission reviews. Safe to use from several threads."""

    def __init__(
        self,
        lookup: PlanLookup,
        defaults: SidecarDefaults,
        *,
        cached: PlanLookup | None = None,
        clients: Clients | None = None,
    ) -> None:
        """The handler.

        Args:
            lookup: finds an actor's plan; it may read from the API server and block.
            defaults: the operator's sidecar settings, for validation.
            cached: the same lookup from memory alone; it raises :class:`NotCached` instead of blocking. If None,
                ``lookup`` never blocks.
            clients: the clients that may ask for a decision; any client if None.
        """
        self._lookup, self._cached = lookup, cached or lookup
        self._defaults, self._clients = defaults, clients or Clients()

    def answer(
        self, endpoint: Endpoint, body: bytes, certificate: Mapping[str, Any] | None, *, may_block: bool = True
    ) -> Answer:
        """The answer to ``body``, a request to ``endpoint``.

        Args:
            endpoint: ``mutate`` for workloads and pods, ``validate`` for AsyncActors.
            body: of the HTTP request.
            certificate: the client's verified certificate, as :meth:`ssl.SSLSocket.getpeercert` returns it.
            may_block: whether the answer may wait for a read from the API server.

        Raises:
            NotCached: if the answer needs such a read and ``may_block`` is false.
        """
        started = time.perf_counter()
        try:
            self._clients.check(certificate)
            review = _parse(body)
        except Stranger as stranger:
            return Answer(403, TEXT, f"{stranger}\n".encode())
        except BadRequest as bad:
            return Answer(400, TEXT, f"{bad}\n".encode())
        resource = str((review.get("resource") or {}).get("resource") or "")
        with tracing.span("admission") as span:
            decision = self._decide(endpoint, review, self._lookup if may_block else self._cached)
            span.set(
                uid=review["uid"],
                outcome=decision.outcome if decision else "not_cached",
                resource=resource,
                namespace=review.get("namespace") or "",
                name=review.get("name") or "",
            )
        if decision is None:
            raise NotCached
        _report(review, resource, decision, time.perf_counter() - started)
        return Answer(200, JSON, orjson.dumps(_review_of(review["uid"], decision)))

    def _decide(self, endpoint: Endpoint, review: Object, lookup: PlanLookup) -> Decision | None:
        """The decision, or None if ``lookup`` would have to block. Its outcome is ``error`` if the webhook fails."""
        try:
            return decide(review, lookup) if endpoint == "mutate" else _validate(review, self._defaults)
        except NotCached:
            return None
        except ApiError as error:
            return Decision("error", message=f"the AsyncActor could not be read from the API: {error}")
        except Exception:
            log.exception(
                "admission_failed", uid=review["uid"], name=review.get("name"), namespace=review.get("namespace")
            )
            return Decision("error", message="the webhook failed on this object; its log has the details")


def _parse(body: bytes) -> Object:
    """The request of the review in ``body``."""
    try:
        with _LARGE if len(body) > LARGE_BODY else nullcontext():
            return request_of(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"body: must be JSON: {error}") from None


def _report(review: Object, resource: str, decision: Decision, seconds: float) -> None:
    """Count and log the decision."""
    # Only known words become label values: each value is a time series that stays for the life of the process.
    ADMISSIONS.labels(
        resource if resource in _RESOURCES else OTHER,
        review["operation"],  # one of OPERATIONS: request_of refuses every other
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
            resource=resource,
            namespace=review.get("namespace"),
            name=review.get("name"),
            dry_run=review.get("dryRun", False),
            reason=decision.message,
        )


def _validate(review: Object, defaults: SidecarDefaults) -> Decision:
    obj = review.get("object")
    if not isinstance(obj, dict):
        return Decision("unchanged")
    fault = shape_fault(obj.get("metadata"), METADATA, "metadata")
    if fault:
        return Decision("denied", message=str(fault))
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
