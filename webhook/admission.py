"""Decides on an AdmissionReview. The functions are pure, except for the lookup of actors that the caller passes.

The meaning of the label depends on its place:

* In the metadata of a workload: the webhook injects the template, and un-injects it when the label is removed.
* In a template alone: the workload stays as its owner wrote it. The webhook injects its pods.
* On a Pod: the webhook injects the pod, unless its template was injected.

The webhook denies a template that it cannot inject correctly, and names the reason. It does not change an object that
is unlabelled or being deleted.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from crds.names import (
    ANNOTATION_ACTOR_GENERATION,
    ANNOTATION_INJECTED,
    ANNOTATION_RUNTIME_CONTAINER,
    INJECT,
    LABEL_ACTOR,
    SIDECAR,
)
from crds.parse import InvalidActor
from crds.shape import METADATA, TEMPLATE, shape_fault
from injection.access import is_disabled, map_of
from injection.edits import revert_warnings
from injection.inject import Denied, inject, read_record, uninject
from injection.kinds import KINDS, Kind
from injection.ownership import controlling_actor, ownership
from injection.plan import Plan
from injection.record import unknown_version, unknown_version_warning
from injection.refusals import refuse, refuse_mounts
from kube.objects import Object
from webhook.patch import Operation, operations

Outcome = Literal["injected", "unchanged", "uninjected", "denied", "error"]


@dataclass(frozen=True)
class PlanRequest:
    """Names the actor whose plan is needed, and the oldest version of it that is acceptable."""

    namespace: str
    actor: str
    generation: int = 0
    """The plan must be of this generation of the actor, or of a later one."""
    uid: str = ""
    """The plan must be of the actor with this uid. Empty for any."""


class NotCached(Exception):
    """The plan is not in memory, and the lookup must not wait for a read from the API server."""


PlanLookup = Callable[[PlanRequest], Plan | None]
"""The plan of an actor, or None if there is no such actor. It may raise :class:`InvalidActor` or :class:`NotCached`."""


@dataclass
class Decision:
    """The answer to one review."""

    outcome: Outcome
    patch: list[Operation] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    message: str = ""
    """The reason of a denial."""


UNCHANGED: Final = Decision("unchanged")


def decide(request: Object, lookup: PlanLookup, *, reinject_pods: bool = False) -> Decision:
    """Return the decision on ``request``, the ``request`` of an AdmissionReview.

    Args:
        request: the request.
        lookup: finds the plan of an actor. Its errors other than InvalidActor reach the caller.
        reinject_pods: whether a pod with an earlier plan gets the current one. In a cluster the rollout of its
            template does this. For files the caller sets it.
    """
    resource = request.get("resource")
    if not isinstance(resource, dict):
        return UNCHANGED
    kind = KINDS.get((str(resource.get("group", "")), str(resource.get("resource", ""))))
    if kind is None or request.get("subResource") or request.get("operation") not in ("CREATE", "UPDATE"):
        return UNCHANGED
    obj = request.get("object")
    if not isinstance(obj, dict):
        return UNCHANGED
    if not _is_labelled_or_injected(obj, kind) or _is_being_deleted(request):
        return UNCHANGED
    fault = shape_fault(obj.get("metadata"), METADATA, "metadata") or shape_fault(
        kind.template(obj), TEMPLATE, ".".join(kind.path)
    )
    if fault:
        return Decision("denied", message=str(fault))
    try:
        if not kind.path:
            return _decide_pod(request, obj, lookup, reinject_pods)
        return _decide_workload(request, obj, kind, lookup)
    except Denied as denied:
        return Decision("denied", message=str(denied))
    except InvalidActor as invalid:
        actor = map_of(obj, "labels").get(LABEL_ACTOR)
        return Decision("denied", message=f"AsyncActor {actor!r} is not valid: {invalid}; correct it first")


def _is_labelled_or_injected(obj: Object, kind: Kind) -> bool:
    """Whether the object is labelled or its template is injected. The webhook does not check other objects."""
    template = kind.template(obj)
    return LABEL_ACTOR in map_of(obj, "labels") or ANNOTATION_INJECTED in map_of(template, "annotations")


def _is_being_deleted(request: Object) -> bool:
    """Whether the object only waits for its finalizers. A denial would prevent their removal."""
    metadata = request["object"].get("metadata")
    deleted_at = metadata.get("deletionTimestamp") if isinstance(metadata, dict) else None
    return request["operation"] == "UPDATE" and bool(deleted_at)


def _decide_pod(request: Object, pod: Object, lookup: PlanLookup, reinject: bool) -> Decision:
    actor = map_of(pod, "labels").get(LABEL_ACTOR)
    if request["operation"] != "CREATE" or not actor or is_disabled(pod):
        return (
            Decision("unchanged", warnings=_empty_label_warnings(pod))
            if request["operation"] == "CREATE"
            else UNCHANGED
        )
    if unknown_version(pod) is not None or (not reinject and read_record(pod) is not None and _has_sidecar(pod)):
        # The template was injected, perhaps with an earlier plan. Its rollout brings the current plan. Until then all
        # pods of a ReplicaSet must be equal.
        return UNCHANGED
    namespace = request.get("namespace") or "default"
    plan = lookup(PlanRequest(namespace, actor))
    if plan is None:
        raise Denied(
            f"metadata.labels[{LABEL_ACTOR}]: there is no AsyncActor {actor!r} in namespace {namespace!r}; "
            "create it, or take the label off"
        )
    refuse(pod, plan)
    refuse_mounts(pod, plan)
    return _changed(pod, inject(pod, plan), "", "injected")


def _decide_workload(request: Object, workload: Object, kind: Kind, lookup: PlanLookup) -> Decision:
    if kind.job and request["operation"] == "UPDATE" and kind.path == ("spec", "template"):
        return UNCHANGED  # a Job's template is immutable
    template = kind.template(workload)
    if template is None:
        return UNCHANGED  # the API server itself refuses a workload without a template
    prefix = "".join(f"/{part}" for part in kind.path)
    version = unknown_version(template)
    if version is not None:
        return Decision("unchanged", warnings=[f"{'.'.join(kind.path)}.{unknown_version_warning(version)}"])
    actor = map_of(workload, "labels").get(LABEL_ACTOR)
    has_opted_out = is_disabled(workload) or is_disabled(template)
    owner = controlling_actor(workload)
    is_updated = request["operation"] == "UPDATE" and read_record(template) is not None
    if owner is not None and owner.get("name") != actor and is_updated and not has_opted_out:
        return _keep_owned(request, owner, lookup)
    if not actor or has_opted_out:
        decision = _changed(template, uninject(template), prefix, "uninjected")
        decision.warnings += _empty_label_warnings(workload)
        return decision
    namespace = request.get("namespace") or "default"
    generation = map_of(workload, "annotations").get(ANNOTATION_ACTOR_GENERATION, "")
    plan = lookup(
        PlanRequest(
            namespace,
            actor,
            int(generation) if generation.isdecimal() and len(generation) < 19 else 0,
            str(owner.get("uid", "")) if owner is not None and owner.get("name") == actor else "",
        )
    )
    if plan is None:
        relation = ownership(workload, actor, "")
        if relation == "predecessor" and request["operation"] == "CREATE":
            # The controller has not received the deletion yet. The workload would run without a sidecar for a moment.
            raise Denied(f"metadata.ownerReferences: the AsyncActor {actor!r} that is to own this is deleted")
        if relation in ("predecessor", "orphaned") and read_record(template) is not None:
            # Its actor is deleted. Garbage collection deletes the workload, or it was orphaned and must stay as it is.
            return UNCHANGED
        decision = _changed(template, uninject(template), prefix, "uninjected")
        decision.warnings.append(
            f"there is no AsyncActor {actor!r} in namespace {namespace!r} yet: "
            "this workload is injected as soon as that AsyncActor is created"
        )
        return decision
    chosen = map_of(workload, "annotations").get(ANNOTATION_RUNTIME_CONTAINER)
    if chosen and ANNOTATION_RUNTIME_CONTAINER not in map_of(template, "annotations"):
        raise Denied(
            f"metadata.annotations[{ANNOTATION_RUNTIME_CONTAINER}]: belongs on the pod template, not on the workload"
        )
    before = _template_before(request, kind)
    try:
        refuse(template, plan)
        if before != template or read_record(template) is None:  # a running workload with such mounts may continue
            refuse_mounts(template, plan)
        injected = inject(template, plan, job=kind.job, scaled=kind.scaled, before=before)
        decision = _changed(template, injected, prefix, "injected")
        decision.warnings += revert_warnings(template, injected, before, ".".join(kind.path))
        return decision
    except Denied as denied:
        raise Denied(f"{'.'.join(kind.path)}.{denied}") from None


def _keep_owned(request: Object, owner: Object, lookup: PlanLookup) -> Decision:
    """Keep the sidecar of an owned workload whose label was removed. The controller puts the label back.

    Otherwise two rollouts would follow each other, and the pods of the first would have no sidecar.
    """
    namespace, name = request.get("namespace") or "default", str(owner.get("name", ""))
    if lookup(PlanRequest(namespace, name, 0, str(owner.get("uid", "")))) is None:
        return UNCHANGED  # its actor is deleted, and garbage collection deletes the workload
    message = (
        f"metadata.labels[{LABEL_ACTOR}]: the AsyncActor {name!r} owns this workload, so the operator puts the label "
        f"back and the sidecar stays; delete the AsyncActor, or opt out by the annotation {INJECT}: disabled"
    )
    return Decision("unchanged", warnings=[message])


def _empty_label_warnings(obj: Object) -> list[str]:
    """Return the warning about a label that names no actor, if it is empty."""
    if map_of(obj, "labels").get(LABEL_ACTOR) != "":
        return []
    return [f"metadata.labels[{LABEL_ACTOR}]: is empty, so nothing is injected; name an AsyncActor, or take it off"]


def _changed(old: Object, new: Object, prefix: str, outcome: Outcome) -> Decision:
    patch = operations(old, new, prefix)
    return Decision(outcome if patch else "unchanged", patch)


def _template_before(request: Object, kind: Kind) -> Object | None:
    """Return the stored template, for a request that changes a workload."""
    old = request.get("oldObject")
    if request["operation"] != "UPDATE" or not isinstance(old, dict):
        return None
    template = kind.template(old)
    return template if template is not None and shape_fault(template, TEMPLATE, "") is None else None


def _has_sidecar(pod: Object) -> bool:
    spec = pod.get("spec") or {}
    return any(c.get("name") == SIDECAR for place in ("containers", "initContainers") for c in spec.get(place) or ())
