"""An actor's status from what was seen: pure functions, and the words that users read.

A condition's ``lastTransitionTime`` moves only when its status does, and each message says what to
do next. Whatever is not known, such as what KEDA thinks of a ScaledObject that it has not looked at
yet, counts as unknown and not as false.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from controller.rules.phase import Phase, Replicas, phase
from controller.rules.remedies import remedy
from kube.failures import ApiError

Object = dict[str, Any]
ConditionStatus = Literal["True", "False", "Unknown"]

INJECTOR = "inject.asya.io"
"""The mutating webhook's name, as it appears in the API server's messages."""

WEBHOOK_SECONDS = 1.5
"""A webhook that was away is back in moments."""
UNWATCHED_SECONDS = 10.0
"""For what no watch cache holds, such as workloads without the label."""
SETTLED_SECONDS = 300.0
"""For refusals that only a change can lift, which a watch tells of."""

WORKLOAD_READY, RUNTIME_READY, PODS_READY = "WorkloadReady", "RuntimeReady", "PodsReady"
SCALING_READY, QUEUE_CONSUMED, READY = "ScalingReady", "QueueConsumed", "Ready"
PARTS = (WORKLOAD_READY, RUNTIME_READY, PODS_READY, SCALING_READY, QUEUE_CONSUMED)
"""What :data:`READY` sums up, in the order in which a problem is named: what comes first may be why the next fails."""


@dataclass(frozen=True)
class Verdict:
    """What one part of a reconcile found: becomes a condition."""

    status: ConditionStatus
    reason: str
    message: str
    retry: float | None = None
    """Seconds after which at the latest to look again, where no watch would tell of a change."""
    phase: Phase | None = None
    """The phase that it puts the actor in, where that is another than its part's usual one."""


def true(reason: str, message: str, retry: float | None = None) -> Verdict:
    """All is well."""
    return Verdict("True", reason, message, retry)


def false(reason: str, message: str, retry: float | None = None, phase: Phase | None = None) -> Verdict:
    """Something is wrong; ``message`` says what to do."""
    return Verdict("False", reason, message, retry, phase)


@dataclass(frozen=True)
class Observation:
    """What a reconcile saw. A part is None where it does not apply, as ``scaling`` while scaling is not enabled."""

    workload: Verdict
    scaling: Verdict | None
    runtime: Verdict
    pods: Verdict | None = None
    queue: Verdict | None = None
    live: Object | None = None
    """The workload, or the ScaledJob in its place."""
    replicas: Replicas | None = None
    """Its pods."""
    scaled_object: bool = False
    active: bool | None = None
    """Whether KEDA sees messages; None where it does not say."""
    outdated: int = 0
    """Labelled workloads that are still to be re-injected."""
    paused: bool = False
    """Whether KEDA is told to leave the number of pods as it is."""
    queue_name: str | None = None
    """The queue that messages are to be sent to."""
    warnings: tuple[str, ...] = ()
    """What is unwise in the actor's spec."""
    replicas_before: int | None = None
    """Replicas that a workload which the actor does not own had before it was scaled."""


def earliest_retry(observation: Observation, *more: float | None) -> float | None:
    """Seconds until the actor must be reconciled again at the latest; None if a watch reports every change."""
    verdicts = (observation.workload, observation.pods, observation.scaling, observation.runtime)
    retries = [*more, *(verdict.retry for verdict in verdicts if verdict is not None)]
    return min((seconds for seconds in retries if seconds is not None), default=None)


def status_of(metadata: Object, observation: Observation, before: Object, now: str) -> Object:
    """The whole status: conditions, references and counts.

    Args:
        metadata: the actor's.
        seen: what was found.
        before: its status so far.
        now: the time, as RFC 3339.
    """
    generation = metadata.get("generation", 0)
    every = (observation.workload, observation.runtime, observation.pods, observation.scaling, observation.queue)
    parts = {kind: verdict for kind, verdict in zip(PARTS, every, strict=True) if verdict is not None}
    verdicts = {**parts, READY: _overall(parts)}
    known = {c["type"]: c for c in before.get("conditions") or ()}
    conditions = [
        _condition(kind, verdict, known.get(kind), generation, now) for kind, verdict in sorted(verdicts.items())
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
    """The phase of the part that is wrong and comes first: pods mount the runtime script, and KEDA scales them."""
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
    """Something that is wrong goes before something that is not known yet."""
    for status in ("False", "Unknown"):
        for kind, verdict in parts.items():
            if verdict.status == status:
                return Verdict(verdict.status, verdict.reason, f"{kind}: {verdict.message}")
    return true("Ready", "the actor is set up, and its pods are ready")


def _condition(kind: str, verdict: Verdict, before: Object | None, generation: int, now: str) -> Object:
    unmoved = before is not None and before["status"] == verdict.status
    return {
        "type": kind,
        "status": verdict.status,
        "reason": verdict.reason,
        "message": verdict.message,
        "lastTransitionTime": before["lastTransitionTime"] if unmoved and before else now,
        "observedGeneration": generation,
    }


def new_warnings(before: Object, after: Object) -> list[str]:
    """The warnings of ``after`` that were not given yet for the same generation of the actor."""
    same = before.get("observedGeneration") == after["observedGeneration"]
    known = before.get("warnings") or () if same else ()
    return [warning for warning in after.get("warnings") or () if warning not in known]


def with_condition(conditions: list[Object], kind: str, verdict: Verdict, generation: int, now: str) -> list[Object]:
    """``conditions`` with the one of that type as the verdict says."""
    before = next((c for c in conditions if c["type"] == kind), None)
    others = [c for c in conditions if c["type"] != kind]
    return sorted([*others, _condition(kind, verdict, before, generation, now)], key=lambda c: str(c["type"]))


def changes(before: Object, after: Object) -> list[Object]:
    """The conditions of ``after`` whose status or reason is not what it was."""
    known = {c["type"]: (c["status"], c["reason"]) for c in before.get("conditions") or ()}
    return [c for c in after["conditions"] if known.get(c["type"]) != (c["status"], c["reason"])]


def summary(changed: list[Object]) -> tuple[str, str, bool]:
    """An Event's reason and message for conditions that changed together, the worst one first; whether it warns."""
    order = (*PARTS, READY)
    ordered = sorted(changed, key=lambda c: (c["status"] == "True", order.index(c["type"])))
    text = "; ".join(f"{c['type']}={c['status']} ({c['reason']}): {c['message']}" for c in ordered)
    return ordered[0]["reason"], text, any(c["status"] == "False" for c in changed)


def reference(api_version: str, kind: str, name: str) -> Object:
    """An ObjectRef."""
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
    """The workload that the actor brings along is there and injected."""
    return true("WorkloadFound", f"the {kind} {name!r}, which this AsyncActor does not own, bears its label")


def contested(message: str, retry: float | None) -> Verdict:
    """Another writer insists."""
    return false("Contested", message, retry)


def workload_not_owned(kind: str, name: str) -> Verdict:
    """A workload of the wanted name exists and is not the actor's."""
    message = f"a {kind} named {name!r} exists and was not made for this AsyncActor"
    return false("WorkloadNotOwned", f"{message}. {remedy('WorkloadNotOwned')}", UNWATCHED_SECONDS)


def owned_by_predecessor(kind: str, name: str) -> Verdict:
    """An object with this name is still owned by an earlier actor of the same name, which is deleted."""
    message = f"the {kind} {name!r} of an earlier AsyncActor of the same name is being deleted"
    return Verdict("Unknown", "WaitingForDeletion", message, 5.0)


def workload_not_found(kind: str, name: str) -> Verdict:
    """The workload to bring along is not there."""
    message = f"there is no {kind} named {name!r} in this namespace"
    return false("WorkloadNotFound", f"{message}. {remedy('WorkloadNotFound')}", UNWATCHED_SECONDS)


def workload_not_labelled(kind: str, name: str, actor: str) -> Verdict:
    """The workload to bring along does not bear the label."""
    message = f"the {kind} {name!r} does not bear this actor's label"
    do = remedy("WorkloadNotLabelled", kind=kind.lower(), name=name, actor=actor)
    return false("WorkloadNotLabelled", f"{message}. {do}", UNWATCHED_SECONDS)


def workload_not_injected(kind: str, name: str, retry: float | None = None) -> Verdict:
    """Admission let the workload through without a sidecar."""
    message = f"the {kind} {name!r} came back without a sidecar, so admission did not ask the webhook"
    return false("NotInjected", f"{message}. {remedy('NotInjected')}", retry)


def workload_outdated(kind: str, name: str, retry: float | None = None) -> Verdict:
    """Admission goes on injecting something else than the controller expects."""
    message = f"the {kind} {name!r} is injected otherwise than this operator's settings and the AsyncActor say"
    return false("InjectionOutdated", f"{message}. {remedy('InjectionOutdated')}", retry)


def workload_opted_out(kind: str, name: str) -> Verdict:
    """The actor's own template, or the workload, says that it is not to be injected."""
    message = f"the {kind} {name!r} says asya.io/inject: disabled, so it runs without a sidecar and consumes nothing"
    return false("OptedOut", f"{message}. {remedy('OptedOut')}")


def waiting_for_place(kind: str, name: str, retry: float) -> Verdict:
    """The user's change rolls pods over, and as many workloads as may are rolling over already."""
    message = f"the change of the {kind} {name!r} replaces its pods, and waits for other workloads that roll over"
    return Verdict("Unknown", "WaitingForRollouts", message, retry)


def deletion_blocked(message: str) -> Verdict:
    """The actor is deleted, and something that must go before it does not."""
    return false("DeletionBlocked", message)


def workload_replaced(name: str) -> Verdict:
    """A Job makes way for its successor."""
    return Verdict("Unknown", "ReplacingJob", f"the spec changed, so the Job {name!r} is being replaced", 5.0)


def workload_refused(kind: str, name: str, error: ApiError) -> Verdict | None:
    """What it means that the API server refused the workload with ``error``; None if it says nothing of it."""
    message = error.message
    if f'failed calling webhook "{INJECTOR}"' in message:
        problem = (
            f"the {kind} {name!r} is not written without its sidecar, and the webhook that injects it does not answer"
        )
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
        problem = f"the {kind} {name!r} is refused by a policy, a quota, a webhook or for want of a right: {message}"
        return false("WorkloadForbidden", f"{problem}. {remedy('WorkloadForbidden')}", UNWATCHED_SECONDS)
    return None


_WRONG_TYPE = "failed to create typed patch object"
"""What the API server answers to an apply in which a value has the wrong type; with code 500."""


def keda_not_installed() -> Verdict:
    """There are no KEDA resources in the cluster."""
    message = "KEDA is not installed, so the workload runs with spec.workload.replicas"
    return false("KEDANotInstalled", f"{message}. {remedy('KEDANotInstalled')}")


def scaler_not_owned(kind: str, name: str) -> Verdict:
    """A KEDA object of the wanted name exists and is not the actor's."""
    message = f"a {kind} named {name!r} exists and was not made for this AsyncActor"
    return false(f"{kind}NotOwned", f"{message}. {remedy('ScalerNotOwned')}")


def scaler_refused(message: str) -> Verdict:
    """The API server refuses a KEDA object."""
    problem = f"the API server refuses an object of KEDA's: {message}"
    return false("ScalerRefused", f"{problem}. {remedy('ScalerRefused')}", UNWATCHED_SECONDS)


def invalid_spec(errors: Iterable[str]) -> Verdict:
    """A stored actor that breaks today's rules."""
    return false("InvalidSpec", f"{'; '.join(errors)}. {remedy('InvalidSpec')}")


def first_problem(status: Object) -> Object | None:
    """The condition that says what is wrong, the first of :data:`PARTS`; what is false goes before what is unknown."""
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    if READY not in conditions:
        message = "the controller has not seen it yet; is it running? asya-operator doctor tells"
        return {"type": READY, "status": "Unknown", "reason": "", "message": message}
    wrong = [c for kind in PARTS if (c := conditions.get(kind)) is not None and c["status"] != "True"]
    return min(wrong, key=lambda c: bool(c["status"] != "False"), default=None)


def condition(obj: Object, kind: str) -> Object:
    """A condition of an object; an empty one if it has none of that type."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c.get("type") == kind), {})
