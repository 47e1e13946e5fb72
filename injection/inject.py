"""Injection: the one function that makes a pod template into an actor's.

:func:`inject` and :func:`uninject` are pure and exact inverses. Nothing they are given is changed;
what they return shares every part that they did not touch, which is what keeps the patch small
(:mod:`webhook.patch`). The annotation ``asya.io/injected`` is their memory (:mod:`injection.record`).

Injecting what is injected already is a no-op as long as our parts are in place, even if others have
added theirs to our sidecar (EKS puts its pod identity there). When the plan has changed, the old
injection is taken out and the new one put in.

What others made of our parts depends on when they did so. In the present admission, before we are asked
again (an image mirror, a policy): that stays. In an earlier one that was admitted: that stays too, until the
plan changes. By a request that changes an injected workload: that is put back, with a warning
(:mod:`injection.edits`).
"""

from collections.abc import Iterable
from typing import Any

from crds.names import ANNOTATION_DEFAULT_CONTAINER, ANNOTATION_INJECTED, HOLDER, LABEL_ACTOR, RUNTIME_KEY
from injection.access import Object, is_disabled, list_of, map_of, name_of
from injection.containers import deny_taken_names, holder_container, sidecar_container
from injection.extras import is_extra
from injection.parts import in_place, is_complete, is_mirrored, parts_of, with_containers
from injection.plan import Plan
from injection.record import COMMAND, OUR_VOLUMES, Record, is_our_container, is_our_volume, read_record
from injection.runtime import Denied, inject_runtime, put_list, runtime_index, situation, uninject_runtime
from kube.compare import contains

__all__ = [
    "COMMAND",
    "Denied",
    "Record",
    "inject",
    "is_disabled",
    "map_of",
    "read_record",
    "runtime_container",
    "uninject",
]

DEFAULT_GRACE_PERIOD = 30
"""Seconds that Kubernetes gives a pod whose template does not say."""


def inject(
    template: Object, plan: Plan, *, job: bool = False, scaled: bool = False, before: Object | None = None
) -> Object:
    """``template`` with ``plan`` in it; ``template`` itself if that is in place already.

    Args:
        template: a pod template or a Pod, in which :func:`crds.shape.shape_fault` finds nothing wrong.
        plan: the actor's injection.
        job: whether the template is a Job's, so that the sidecar must not keep it from completing.
        scaled: whether KEDA starts the Jobs.
        before: the template as it was stored before the present request, if that changes one.

    Raises:
        Denied: if the template cannot be injected rightly.
    """
    record = read_record(template)
    fresh, note = _inject(template, record, plan, job, scaled)
    if record is None or not record.covers(note):
        return fresh
    present, wanted = parts_of(template, record), parts_of(fresh, note)
    if in_place(present, wanted):
        return template
    if not is_complete(present, wanted):
        return fresh
    earlier = read_record(before) if before is not None else None
    if before is None or earlier is None or earlier.digest != record.digest:
        # Injected in this admission, and changed by another webhook since.
        return template if present["order"] == wanted["order"] else with_containers(fresh, present["containers"])
    try:
        wanted_then = parts_of(*_inject(before, earlier, plan, job, scaled))
    except Denied:
        return fresh
    stored = parts_of(before, earlier)
    if (wanted, present) == (wanted_then, stored):
        return template if present["order"] == wanted["order"] else with_containers(fresh, present["containers"])
    as_wanted, as_stored = wanted["containers"], stored["containers"]
    unmoved = [name for name, ours in as_wanted.items() if wanted_then["containers"].get(name) == ours]
    kept = {name: as_stored[name] for name in unmoved if name in as_stored}
    for name, ours in as_wanted.items():
        image = present["containers"][name].get("image")
        if is_mirrored(image, ours.get("image")):
            kept[name] = {**kept.get(name, ours), "image": image}
    return with_containers(fresh, kept)


def _inject(template: Object, record: Record | None, plan: Plan, job: bool, scaled: bool) -> tuple[Object, Record]:
    """The injection of ``template``, whose ``record`` is that of an earlier one, and the new record."""
    _deny_windows(template.get("spec") or {})
    if record is not None:
        template = _uninject(template, record)
    spec: Object = template.get("spec") or {}
    native = job or spec.get("restartPolicy") in ("Never", "OnFailure")
    if native and not plan.native_sidecars:
        raise Denied(
            "spec.restartPolicy: a Job's sidecar must be a native one, which needs Kubernetes 1.29 or newer; "
            "use a Deployment, or upgrade the cluster"
        )
    index = runtime_index(template, record)
    runtime = spec["containers"][index]
    context = situation(spec, runtime, plan, native=native, scaled=scaled)
    deny_taken_names(spec, holder=context.holder)
    note = Record(actor=plan.actor, digest=plan.digest, runtime=runtime["name"], native=native, holder=context.holder)
    new_spec = dict(spec)
    containers = list(spec["containers"])
    containers[index] = inject_runtime(runtime, plan, note, index, context)
    sidecar = sidecar_container(spec, runtime, plan, context)
    init = [holder_container(runtime, plan)] if context.holder else []
    init += [sidecar] if native else []
    if init:
        note.created += [] if "initContainers" in spec else ["initContainers"]
        new_spec["initContainers"] = [*init, *(spec.get("initContainers") or ())]
    new_spec["containers"] = containers if native else [sidecar, *containers]
    _inject_volumes(new_spec, plan, note)
    _inject_pull_secrets(new_spec, plan, note)
    current = spec.get("terminationGracePeriodSeconds")
    if (DEFAULT_GRACE_PERIOD if current is None else current) < plan.grace_period:
        note.grace, note.grace_was = plan.grace_period, current
        new_spec["terminationGracePeriodSeconds"] = plan.grace_period
    metadata = _inject_metadata(template, plan, note)
    return {**template, "metadata": metadata, "spec": new_spec}, note


def uninject(template: Object) -> Object:
    """``template`` as it was before injection, with edits made since; itself if it is not injected."""
    record = read_record(template)
    return template if record is None else _uninject(template, record)


def _uninject(template: Object, record: Record) -> Object:
    spec = dict(template.get("spec") or {})
    _remove_containers(spec, record)
    if isinstance(spec.get("containers"), list):
        spec["containers"] = [
            uninject_runtime(c, record) if name_of(c) == record.runtime else c for c in spec["containers"]
        ]
    ours = [name for name in record.volumes if name in OUR_VOLUMES or is_extra(name)]
    if isinstance(spec.get("volumes"), list):
        kept = [v for v in spec["volumes"] if not (name_of(v) in ours and is_our_volume(v))]
        put_list(spec, "volumes", kept, record.created)
    if record.pull_secrets and isinstance(spec.get("imagePullSecrets"), list):
        kept = [s for s in spec["imagePullSecrets"] if name_of(s) not in record.pull_secrets]
        put_list(spec, "imagePullSecrets", kept, record.created)
    if record.grace is not None and spec.get("terminationGracePeriodSeconds") == record.grace:
        if record.grace_was is None:
            del spec["terminationGracePeriodSeconds"]
        else:
            spec["terminationGracePeriodSeconds"] = record.grace_was
    return _uninject_metadata({**template, "spec": spec}, record)


def _remove_containers(spec: Object, record: Record) -> None:
    places = {"initContainers"} if record.native else {"containers"}
    places |= {"initContainers"} if record.holder else set()
    for place in places:
        if isinstance(spec.get(place), list):
            kept = [c for c in spec[place] if not _is_removed(c, record)]
            put_list(spec, place, kept, record.created)


def _is_removed(container: Any, record: Record) -> bool:
    return is_our_container(container) and (name_of(container) != HOLDER or record.holder)


def runtime_container(template: Object) -> str:
    """Name of the container that holds the user's function.

    Raises:
        Denied: if that is not clear.
    """
    name: str = (template.get("spec") or {})["containers"][runtime_index(template)]["name"]
    return name


def _deny_windows(spec: Object) -> None:
    system = (spec.get("os") or {}).get("name") or (spec.get("nodeSelector") or {}).get("kubernetes.io/os")
    if system == "windows":
        raise Denied(
            "spec.os: the sidecar runs on Linux and cannot join a Windows pod; "
            "take the label asya.io/actor off, or move the workload to Linux nodes"
        )


def _inject_volumes(spec: Object, plan: Plan, note: Record) -> None:
    volumes = list(spec.get("volumes") or ())
    for ours in plan.volumes:
        taken = next((v for v in volumes if name_of(v) == ours["name"]), None)
        if taken is None:
            volumes.append(ours)
            note.volumes.append(ours["name"])
        elif not _is_like(taken, ours):
            raise Denied(f"spec.volumes: the name {ours['name']!r} is taken by another volume; rename that one")
    if note.volumes:
        note.created += [] if "volumes" in spec else ["volumes"]
        spec["volumes"] = volumes


def _inject_pull_secrets(spec: Object, plan: Plan, note: Record) -> None:
    there = {name_of(secret) for secret in list_of(spec, "imagePullSecrets")}
    note.pull_secrets = [name for name in plan.pull_secrets if name not in there]
    if note.pull_secrets:
        note.created += [] if "imagePullSecrets" in spec else ["imagePullSecrets"]
        spec["imagePullSecrets"] = [
            *(spec.get("imagePullSecrets") or ()),
            *({"name": name} for name in note.pull_secrets),
        ]


def _is_like(taken: Object, ours: Object) -> bool:
    """Whether a volume of the user's holds what ours would: of the same source, and with the script under its name."""
    items = list_of(taken.get("configMap"), "items")
    is_script = not items or any(item.get("key") == item.get("path") == RUNTIME_KEY for item in items)
    sources = {key for key, value in taken.items() if value is not None}
    return is_script and sources <= set(ours) <= set(taken) and contains(taken, ours)


def _inject_metadata(template: Object, plan: Plan, note: Record) -> Object:
    result = dict(template.get("metadata") or {})
    labels = result.get("labels") or {}
    if labels.get(LABEL_ACTOR) != plan.actor:
        note.label, note.label_was = True, labels.get(LABEL_ACTOR)
        note.created += [] if "labels" in result else ["labels"]
        result["labels"] = {**labels, LABEL_ACTOR: plan.actor}
    note.created += [] if "annotations" in result else ["annotations"]
    note.created += [] if "metadata" in template else ["metadata"]
    annotations = {k: v for k, v in (result.get("annotations") or {}).items() if k != ANNOTATION_INJECTED}
    if ANNOTATION_DEFAULT_CONTAINER not in annotations:
        note.default_container = True
        annotations[ANNOTATION_DEFAULT_CONTAINER] = note.runtime
    result["annotations"] = {**annotations, ANNOTATION_INJECTED: note.annotation()}
    return result


def _uninject_metadata(template: Object, record: Record) -> Object:
    metadata = dict(template.get("metadata") or {})
    annotations = map_of(template, "annotations")
    ours = [ANNOTATION_INJECTED]
    if record.default_container and annotations.get(ANNOTATION_DEFAULT_CONTAINER) == record.runtime:
        ours.append(ANNOTATION_DEFAULT_CONTAINER)
    if isinstance(metadata.get("annotations"), dict):
        _put_map(metadata, "annotations", _without(annotations, ours), record)
    labels = metadata.get("labels")
    if record.label and isinstance(labels, dict) and labels.get(LABEL_ACTOR) == record.actor:
        kept = (
            _without(labels, [LABEL_ACTOR]) if record.label_was is None else {**labels, LABEL_ACTOR: record.label_was}
        )
        _put_map(metadata, "labels", kept, record)
    if not metadata and "metadata" in record.created:
        return _without(template, ["metadata"])
    return {**template, "metadata": metadata} if "metadata" in template else template


def _without(mapping: Object, keys: Iterable[str]) -> Object:
    return {k: v for k, v in mapping.items() if k not in keys}


def _put_map(holder: Object, key: str, value: Object, record: Record) -> None:
    if value or key not in record.created:
        holder[key] = value
    else:
        del holder[key]
