"""The condition ``ScalingReady`` from an actor's ScaledObject or ScaledJob: pure functions.

The inputs are the object's annotations and conditions and, while scaling fails, the Events about it. The
HorizontalPodAutoscaler is not read: KEDA 2.20.2 and newer copy its state into a condition.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from controller.rules.causes import cause_of
from controller.rules.phase import Phase
from controller.rules.remedies import REMEDIES, remedy
from controller.rules.scalers import PAUSED, PAUSED_REPLICAS
from controller.rules.status import Verdict, condition, false, true
from crds.models import AsyncActor
from crds.names import ANNOTATION_REPLICAS_BEFORE_PAUSE
from kube.objects import Object

IGNORED_SECONDS = 60.0
"""KEDA sets conditions on a new object within seconds. After this time, its absence counts as a failure."""
ONE_WAY: Final = {
    "autoscaling.keda.sh/paused-scale-in": "scaling down",
    "autoscaling.keda.sh/paused-scale-out": "scaling up",
}
_PARTIAL = "PartialTriggerError"
_ASLEEP = "ScalingDisabled"
"""Reason of an autoscaler whose workload is scaled to zero. That is not a failure."""
_TRUE = ("1", "t", "T", "true", "TRUE", "True")
"""The texts that KEDA parses as true."""


def is_in_trouble(live: Object) -> bool:
    """Whether KEDA's conditions report a failure. Then Events may say why."""
    ready = condition(live, "Ready")
    return (
        ready.get("status") == "False"
        or ready.get("reason") == _PARTIAL
        or condition(live, "Fallback").get("status") == "True"
        or _is_autoscaler_down(live)
    )


def is_active(live: Object) -> bool | None:
    """Whether KEDA sees messages in the queue; None if its condition does not say."""
    return {"True": True, "False": False}.get(condition(live, "Active").get("status", ""))


def is_paused(actor: Object, scaled_object: Object | None) -> bool:
    """Whether the actor is paused: by KEDA's annotation, or by its own annotation if KEDA does not scale it."""
    if scaled_object is not None:
        return pausing_annotation(scaled_object) is not None
    return ANNOTATION_REPLICAS_BEFORE_PAUSE in (actor["metadata"].get("annotations") or {})


def pausing_annotation(live: Object) -> str | None:
    """The annotation that pauses all scaling; None if there is none. It need not be the operator's."""
    annotations = live["metadata"].get("annotations") or {}
    if PAUSED_REPLICAS in annotations:
        return PAUSED_REPLICAS
    return PAUSED if str(annotations.get(PAUSED, "")) in _TRUE else None


NOT_OBSERVED = ("ScaledObjectNotObserved", "ScaledJobNotObserved")
"""Reasons of ScalingReady while KEDA has not processed a new object."""


def scaling_verdict(
    actor: AsyncActor, queue: str, live: Object, events: Iterable[str], before: Object, now: datetime
) -> Verdict:
    """The condition ScalingReady; if scaling fails, its message ends with the remedy.

    Args:
        actor: the actor.
        queue: the queue that the actor consumes.
        live: the ScaledObject or ScaledJob.
        events: messages of recent warning Events about it.
        before: the condition ScalingReady so far.
        now: the time.
    """
    kind, name = live["kind"], live["metadata"]["name"]
    ready = condition(live, "Ready")
    if ready.get("status") == "False" or ready.get("reason") == _PARTIAL:
        return _failing(actor, queue, f"{kind}NotReady", live, ready.get("message") or "", events)
    if (paused := pausing_annotation(live)) is not None:
        return _paused(live, paused)
    if ready.get("status") != "True":
        return _ignored(live, before, now)
    if condition(live, "Fallback").get("status") == "True":
        replicas = (((live.get("spec") or {}).get("fallback")) or {}).get("replicas")
        message = f"KEDA cannot read the queue and falls back to {replicas} replicas"
        return _failing(actor, queue, f"{kind}Fallback", live, message, events)
    if _is_autoscaler_down(live):
        message = condition(live, "HPAActive").get("message") or "it has no metrics"
        return false(
            "AutoscalerNotActive",
            f"KEDA's HorizontalPodAutoscaler does not scale the workload: {message.rstrip('.')}. "
            f"{remedy('AutoscalerNotActive', name=_autoscaler(live))}",
        )
    annotations = live["metadata"].get("annotations") or {}
    paused_ways = [way for key, way in ONE_WAY.items() if str(annotations.get(key, "")) in _TRUE]
    note = f"; an annotation pauses {' and '.join(paused_ways)}" if paused_ways else ""
    return true(f"{kind}Created", f"the {kind} {name!r} exists{note}")


def _failing(actor: AsyncActor, queue: str, reason: str, live: Object, message: str, events: Iterable[str]) -> Verdict:
    problem = "; ".join(dict.fromkeys(m.rstrip(".") for m in (message, *events) if m)) or "not ready"
    cause = cause_of(problem) or "ScalingError"
    phase: Phase = cause if cause in ("QueueMissing", "AccessDenied") else "ScalingError"
    return false(reason, f"KEDA says: {problem}. {broker_remedy(actor, queue, cause)}", phase=phase)


def broker_remedy(actor: AsyncActor, queue: str, cause: str) -> str:
    """The remedy for a failure of the broker, for the actor's transport."""
    transport = actor.spec.transport
    specific = f"{cause}SQS" if transport.type == "sqs" else cause
    rabbitmq, sqs = transport.rabbitmq, transport.sqs
    return remedy(
        specific if specific in REMEDIES else cause,
        queue=repr(queue),
        broker="RabbitMQ" if transport.type == "rabbitmq" else "SQS",
        exchange=repr(exchange(actor)),
        where=(rabbitmq and rabbitmq.host) or (sqs and sqs.queue_base_url) or "the host of spec.transport",
    )


def exchange(actor: AsyncActor) -> str:
    """The RabbitMQ exchange that the actor's sidecar uses."""
    values = (e.get("value") for e in actor.spec.sidecar.env or () if e["name"] == "ASYA_RABBITMQ_EXCHANGE")
    return next(values, None) or "asya"


def _paused(live: Object, annotation: str) -> Verdict:
    kind, name = live["kind"].lower(), live["metadata"]["name"]
    replicas = (live["metadata"].get("annotations") or {}).get(PAUSED_REPLICAS)
    count = f"at {replicas} replicas" if replicas else "and the number of pods does not change"
    message = f"the annotation {annotation} pauses KEDA {count}"
    return true("ScalingPaused", f"{message}. {remedy('ScalingPaused', kind=kind, name=name, annotation=annotation)}")


def _ignored(live: Object, before: Object, now: datetime) -> Verdict:
    """The verdict while KEDA has set no condition: KEDA has not processed the object yet, or KEDA does not run."""
    kind, name = live["kind"], live["metadata"]["name"]
    reason = f"{kind}NotObserved"
    since = [datetime.fromisoformat(live["metadata"]["creationTimestamp"])] if _has_creation_time(live) else []
    if before.get("reason") != reason:
        since = [now]
    elif before["status"] == "Unknown":
        since.append(datetime.fromisoformat(before["lastTransitionTime"]))
    remaining = IGNORED_SECONDS - (now - max(since, default=now)).total_seconds()
    message = f"KEDA has not processed the {kind} {name!r} yet"
    if remaining > 0:
        return Verdict("Unknown", reason, message, max(remaining, 1.0))
    return false(reason, f"{message}. {remedy('NotObserved')}")


def _has_creation_time(live: Object) -> bool:
    return bool(live["metadata"].get("creationTimestamp"))


def _is_autoscaler_down(live: Object) -> bool:
    active = condition(live, "HPAActive")
    return active.get("status") == "False" and active.get("reason") != _ASLEEP


def _autoscaler(live: Object) -> str:
    return str((live.get("status") or {}).get("hpaName") or f"keda-hpa-{live['metadata']['name']}")
