"""An actor's status from a reconcile's observation: pure functions, and the messages that users read.

A condition's ``lastTransitionTime`` changes only when its status changes. A message about a failure has the remedy.
A part whose state is not known yet counts as unknown, not as false: for example, KEDA has not processed a new
ScaledObject.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from controller.rules.phase import Phase, Replicas, phase
from controller.rules.remedies import remedy
from kube.failures import ApiError
from kube.objects import Object

ConditionStatus = Literal["True", "False", "Unknown"]

INJECTOR = "inject.asya.io"
"""The mutating webhook's name, as it appears in the API server's messages."""

WEBHOOK_SECONDS = 1.5
"""Requeue after a failed call of the webhook, which usually answers again soon."""
UNWATCHED_SECONDS = 10.0
"""Requeue for objects that no watch reports, such as workloads without the label."""
SETTLED_SECONDS = 300.0
"""Requeue after a refusal that only a change can end; a watch reports that change."""

WORKLOAD_READY, RUNTIME_READY, PODS_READY = "WorkloadReady", "RuntimeReady", "PodsReady"
SCALING_READY, QUEUE_CONSUMED, READY = "ScalingReady", "QueueConsumed", "Ready"
PARTS = (WORKLOAD_READY, RUNTIME_READY, PODS_READY, SCALING_READY, QUEUE_CONSUMED)
"""The conditions that :data:`READY` sums up. The order is that of causes: a failure may cause the failures after it."""


@dataclass(frozen=True)
class Verdict:
    """The result of one part of a reconcile; it becomes a condition."""

    status: ConditionStatus
    reason: str
    message: str
    retry: float | None = None
    """Seconds until the actor must be requeued at the latest; None if a watch reports every change."""
    phase: Phase | None = None
    """The actor's phase, if it differs from the usual phase of this part."""


def true(reason: str, message: str, retry: float | None = None) -> Verdict:
    """A verdict that the part works."""
    return Verdict("True", reason, message, retry)


def false(reason: str, message: str, retry: float | None = None, phase: Phase | None = None) -> Verdict:
    """A verdict that the part fails; ``message`` has the remedy."""
    return Verdict("False", reason, message, retry, phase)


@dataclass(frozen=True)
class Observation:
    """The actor's state in one reconcile. A part is None if it does not apply, as ``scaling`` if that is disabled."""

    workload: Verdict
    scaling: Verdict | None
    runtime: Verdict
    pods: Verdict | None = None
    queue: Verdict | None = None
    live: Object | None = None
    """The workload; a ScaledJob is one too."""
    replicas: Replicas | None = None
    """The counts of its pods."""
    scaled_object: bool = False
    """Whether KEDA's object exists."""
    active: bool | None = None
    """Whether KEDA sees messages in the queue; None if its condition does not say."""
    outdated: int = 0
    """Labelled workloads that are not re-injected yet."""
    paused: bool = False
    """Whether the actor is paused, so that the number of its pods does not change."""
    queue_name: str | None = None
    """The queue to which messages for this actor are sent."""
    warnings: tuple[str, ...] = ()
    """Warnings about the actor's spec."""
    replicas_before: int | None = None
    """Replicas that a borrowed workload had before KEDA scaled it."""


def earliest_retry(observation: Observation, *more: float | None) -> float | None:
    """Seconds until the actor must be reconciled again at the latest; None if a watch reports every change.

    Args:
        observation: its verdicts count.
        more: further times that count.
    """
    verdicts = (observation.workload, observation.pods, observation.scaling, observation.runtime)
    retries = [*more, *(verdict.retry for verdict in verdicts if verdict is not None)]
    return min((seconds for seconds in retries if seconds is not None), default=None)


def status_of(metadata: Object, observation: Observation, before: Object, now: str) -> Object:
    """The whole status: conditions, phase, references and counts.

    Args:
        metadata: the actor's.
        observation: the actor's state in this reconcile.
        before: the actor's status so far.
        now: the time, as RFC 3339.
    """
    generation = metadata.get("generation", 0)
    every = (observation.workload, observation.runtime, observation.pods, observation.scaling, observation.queue)
    parts = {kind: verdict for kind, verdict in zip(PARTS, every, strict=True) if verdict is not None}
    verdicts = {**parts, READY: _overall(parts)}
    old = {c["type"]: c for c in before.get("conditions") or ()}
    conditions = [
        _condition(kind, verdict, old.get(kind), generation, now) for kind, verdict in sorted(verdicts.items())
    ]
    status: Object = {"observedGeneration": generation, "conditions": conditions}
    failed = next((v for v in parts.values() if v.status == "False"), None)
    if failed is not None:
        status["reason"] = failed.reason
    if observation.live is not None:
        kind = observation.live["kind"]
        field = "scaledJobRef" if kind == "ScaledJob" else "workloadRef"
        status[field] = reference(observation.live["apiVersion"], kind, observation.live["metadata"]["name"])
    if observation.replicas is not None:
        status["replicas"], status["readyReplicas"] = observation.replicas.current, observation.replicas.ready
        status["desiredReplicas"] = observation.replicas.desired
    status["phase"] = phase(
        observation.replicas,
        trouble=_trouble(observation),
        replacing=observation.workload.status == "Unknown",
        paused=observation.paused,
        before=before.get("phase") or "",
    )
    if observation.active is not None:
        status["scalingActive"] = observation.active
    status["outdatedWorkloads"] = observation.outdated
    if observation.queue_name is not None:
        status["queueName"] = observation.queue_name
    if observation.warnings:
        status["warnings"] = list(observation.warnings)
    if observation.replicas_before is not None:
        status["replicasBeforeScaling"] = observation.replicas_before
    if observation.scaled_object and (observation.live is None or observation.live["kind"] != "ScaledJob"):
        status["scaledObjectRef"] = reference("keda.sh/v1alpha1", "ScaledObject", metadata["name"])
    return status


def _trouble(observation: Observation) -> Phase | None:
    """The phase of the first failing part, in the order of causes: pods need the runtime script, KEDA scales pods."""
    if observation.runtime.status == "False" and observation.runtime.phase is not None:
        return observation.runtime.phase
    if observation.workload.status == "False":
        return observation.workload.phase or "WorkloadError"
    if observation.pods is not None and observation.pods.status == "False":
        return observation.pods.phase or "WorkloadError"
    if observation.scaling is not None and observation.scaling.status == "False":
        return observation.scaling.phase or "ScalingError"
    if observation.queue is not None and observation.queue.status == "False":
        return "QueueMismatch"
    return None


def _overall(parts: dict[str, Verdict]) -> Verdict:
    """The condition Ready: the first part that fails; if none fails, the first part that is unknown."""
    for status in ("False", "Unknown"):
        for kind, verdict in parts.items():
            if verdict.status == status:
                return Verdict(verdict.status, verdict.reason, f"{kind}: {verdict.message}")
    return true("Ready", "the actor is set up, and its pods are ready")


def _condition(kind: str, verdict: Verdict, before: Object | None, generation: int, now: str) -> Object:
    is_same_status = before is not None and before["status"] == verdict.status
    return {
        "type": kind,
        "status": verdict.status,
        "reason": verdict.reason,
        "message": verdict.message,
        "lastTransitionTime": before["lastTransitionTime"] if is_same_status and before else now,
        "observedGeneration": generation,
    }


def new_warnings(before: Object, after: Object) -> list[str]:
    """The warnings of ``after`` that are new: ``before`` lacks them, or is about an earlier generation."""
    is_same_generation = before.get("observedGeneration") == after["observedGeneration"]
    old = before.get("warnings") or () if is_same_generation else ()
    return [warning for warning in after.get("warnings") or () if warning not in old]


def with_condition(conditions: list[Object], kind: str, verdict: Verdict, generation: int, now: str) -> list[Object]:
    """``conditions`` with the condition of type ``kind`` set from ``verdict``."""
    before = next((c for c in conditions if c["type"] == kind), None)
    others = [c for c in conditions if c["type"] != kind]
    return sorted([*others, _condition(kind, verdict, before, generation, now)], key=lambda c: str(c["type"]))


def changes(before: Object, after: Object) -> list[Object]:
    """The conditions of ``after`` whose status or reason differs from ``before``."""
    old = {c["type"]: (c["status"], c["reason"]) for c in before.get("conditions") or ()}
    return [c for c in after["conditions"] if old.get(c["type"]) != (c["status"], c["reason"])]


def summary(changed: list[Object]) -> tuple[str, str, bool]:
    """One Event for conditions that changed together, the worst first.

    Returns:
        The Event's reason, its message, and whether it is a warning.
    """
    order = (*PARTS, READY)
    ordered = sorted(changed, key=lambda c: (c["status"] == "True", order.index(c["type"])))
    text = "; ".join(f"{c['type']}={c['status']} ({c['reason']}): {c['message']}" for c in ordered)
    return ordered[0]["reason"], text, any(c["status"] == "False" for c in changed)


def reference(api_version: str, kind: str, name: str) -> Object:
    """A reference to an object of the actor's namespace."""
    return {"apiVersion": api_version, "kind": kind, "name": name}


def workload_created(kind: str, name: str) -> Verdict:
    """The workload exists as desired."""
    return true("WorkloadCreated", f"the {kind} {name!r} exists as desired")


def replaces_workload(verdict: Verdict, before: Object) -> Verdict:
    """The verdict on a workload that replaces ``before``, which stays until the new pods are available."""
    kind, name = before["kind"], before["metadata"]["name"]
    message = f"{verdict.message}; the earlier {kind} {name!r} is deleted when the new pods are ready"
    return replace(verdict, message=message)


def workload_found(kind: str, name: str) -> Verdict:
    """The borrowed workload exists and is injected."""
    return true("WorkloadFound", f"the AsyncActor uses the {kind} {name!r}, which it does not own")


def contested(message: str, retry: float | None) -> Verdict:
    """Another writer keeps changing an object of the operator's."""
    return false("Contested", message, retry)


def workload_not_owned(kind: str, name: str) -> Verdict:
    """A workload with this name exists, and the actor does not own it."""
    message = f"a {kind} named {name!r} exists, and this AsyncActor does not own it"
    return false("WorkloadNotOwned", f"{message}. {remedy('WorkloadNotOwned')}", UNWATCHED_SECONDS)


def owned_by_predecessor(kind: str, name: str) -> Verdict:
    """An object with this name is still owned by an earlier actor of the same name, which is deleted."""
    message = f"the {kind} {name!r} of an earlier AsyncActor of the same name is being deleted"
    return Verdict("Unknown", "WaitingForDeletion", message, 5.0)


def workload_not_found(kind: str, name: str) -> Verdict:
    """The workload to borrow does not exist."""
    message = f"there is no {kind} named {name!r} in this namespace"
    return false("WorkloadNotFound", f"{message}. {remedy('WorkloadNotFound')}", UNWATCHED_SECONDS)


def workload_not_labelled(kind: str, name: str, actor: str) -> Verdict:
    """The workload to borrow does not carry the actor's label."""
    message = f"the {kind} {name!r} does not carry this actor's label"
    do = remedy("WorkloadNotLabelled", kind=kind.lower(), name=name, actor=actor)
    return false("WorkloadNotLabelled", f"{message}. {do}", UNWATCHED_SECONDS)


def workload_not_injected(kind: str, name: str, retry: float | None = None) -> Verdict:
    """Admission did not inject the workload."""
    message = f"the {kind} {name!r} has no sidecar after the write, so admission did not call the webhook"
    return false("NotInjected", f"{message}. {remedy('NotInjected')}", retry)


def workload_outdated(kind: str, name: str, retry: float | None = None) -> Verdict:
    """Admission keeps injecting another plan than the controller expects."""
    message = f"the injection of the {kind} {name!r} differs from the operator's settings and the AsyncActor"
    return false("InjectionOutdated", f"{message}. {remedy('InjectionOutdated')}", retry)


def workload_opted_out(kind: str, name: str) -> Verdict:
    """The actor's own template, or the workload, opts out of injection."""
    message = f"the {kind} {name!r} has asya.io/inject: disabled, so it runs without a sidecar and gets no messages"
    return false("OptedOut", f"{message}. {remedy('OptedOut')}")


def waiting_for_place(kind: str, name: str, retry: float) -> Verdict:
    """The user's change replaces pods, and every place is taken."""
    message = f"the change of the {kind} {name!r} replaces its pods, and waits until other rollouts are complete"
    return Verdict("Unknown", "WaitingForRollouts", message, retry)


def deletion_blocked(message: str) -> Verdict:
    """The actor's deletion waits for an object that is not deleted."""
    return false("DeletionBlocked", message)


def workload_replaced(name: str) -> Verdict:
    """A Job is being deleted and replaced by a new one."""
    return Verdict("Unknown", "ReplacingJob", f"the spec changed, so the Job {name!r} is being replaced", 5.0)


def workload_refused(kind: str, name: str, error: ApiError) -> Verdict | None:
    """The verdict on a workload that the API server refused with ``error``; None if the error is about other things."""
    message = error.message
    if f'failed calling webhook "{INJECTOR}"' in message:
        problem = f"the {kind} {name!r} cannot be written, because the webhook that injects its sidecar does not answer"
        do = remedy("WebhookUnavailable")
        return false("WebhookUnavailable", f"{problem}. {do}. ({message})", WEBHOOK_SECONDS)
    if f'admission webhook "{INJECTOR}" denied the request' in message:
        problem = message.partition("denied the request: ")[2] or message
        if error.code >= 500:
            problem = f"the webhook failed on the {kind} {name!r}: {problem}"
            return false("WebhookUnavailable", f"{problem}. {remedy('WebhookUnavailable')}", WEBHOOK_SECONDS)
        problem = f"the {kind} {name!r} cannot be injected: {problem}"
        return false("InjectionDenied", f"{problem}. {remedy('InjectionDenied')}", SETTLED_SECONDS)
    if error.code in (400, 422) or _WRONG_TYPE in message:
        do = remedy("InvalidStatefulSet" if kind == "StatefulSet" else "InvalidWorkload")
        problem = f"the API server refuses the {kind} {name!r}: {message}"
        return false("InvalidWorkload", f"{problem}. {do}", SETTLED_SECONDS)
    if error.is_refusal:
        problem = f"a policy, a quota, a webhook or a missing right refuses the {kind} {name!r}: {message}"
        return false("WorkloadForbidden", f"{problem}. {remedy('WorkloadForbidden')}", UNWATCHED_SECONDS)
    return None


_WRONG_TYPE = "failed to create typed patch object"
"""The API server's message, with code 500, if a value of an applied object has the wrong type."""


def keda_not_installed() -> Verdict:
    """Scaling is enabled, and the API server does not serve KEDA's resources."""
    message = (
        "KEDA is not installed, so nothing scales the workload: a new one has spec.workload.replicas, "
        "and one that KEDA scaled keeps its replicas"
    )
    return false("KEDANotInstalled", f"{message}. {remedy('KEDANotInstalled')}")


def scaler_not_owned(kind: str, name: str) -> Verdict:
    """A KEDA object with this name exists, and the actor does not own it."""
    message = f"a {kind} named {name!r} exists, and this AsyncActor does not own it"
    return false(f"{kind}NotOwned", f"{message}. {remedy('ScalerNotOwned')}")


def scaler_refused(message: str) -> Verdict:
    """The API server refuses a KEDA object."""
    problem = f"the API server refuses one of KEDA's objects: {message}"
    return false("ScalerRefused", f"{problem}. {remedy('ScalerRefused')}", UNWATCHED_SECONDS)


def invalid_spec(errors: Iterable[str]) -> Verdict:
    """A stored actor is not valid by the current rules."""
    return false("InvalidSpec", f"{'; '.join(errors)}. {remedy('InvalidSpec')}")


def first_problem(status: Object) -> Object | None:
    """The first condition of :data:`PARTS` that is false; if none is, the first that is unknown; else None."""
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    if READY not in conditions:
        message = "the controller has not processed it yet; check that it runs: asya-operator doctor"
        return {"type": READY, "status": "Unknown", "reason": "", "message": message}
    problems = [c for kind in PARTS if (c := conditions.get(kind)) is not None and c["status"] != "True"]
    return min(problems, key=lambda c: bool(c["status"] != "False"), default=None)


def condition(obj: Object, kind: str) -> Object:
    """The condition of type ``kind`` of an object; an empty object if there is none."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c.get("type") == kind), {})
