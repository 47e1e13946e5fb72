"""Injects an actor's plan into a pod template, and takes it out again.

:func:`inject` and :func:`uninject` are pure and exact inverses. They do not change their arguments. Their results
share all unchanged parts with the input, which keeps the patch small (:mod:`webhook.patch`). The annotation
``asya.io/injected`` stores the earlier values (:mod:`injection.record`).

Injecting an injected template changes nothing if all injected parts are present. Other writers may have added fields
to the sidecar; EKS, for example, adds its pod identity. If the plan has changed, the old injection is replaced.

The author of a change of an injected part decides whether it stays:

* another webhook in the same admission, such as an image mirror or a policy: the change stays;
* another webhook in an earlier admission: the change stays until the plan changes;
* the user's request: the change is reverted, with a warning (:mod:`injection.edits`).
"""

from collections.abc import Iterable
from typing import Any

from crds.names import ANNOTATION_DEFAULT_CONTAINER, ANNOTATION_INJECTED, HOLDER, LABEL_ACTOR, RUNTIME_KEY
from injection.access import is_disabled, list_of, map_of, name_of
from injection.containers import deny_taken_names, holder_container, sidecar_container
from injection.extras import is_extra
from injection.parts import is_complete, is_in_place, is_mirrored, parts_of, with_containers
from injection.plan import Plan
from injection.record import COMMAND, OUR_VOLUMES, Record, is_our_container, is_our_volume, read_record
from injection.runtime import Denied, inject_runtime, put_list, runtime_index, situation, uninject_runtime
from kube.compare import contains
from kube.objects import Object

__all__ = [
    "COMMAND",
    "Denied",
    "Record",
    "find_runtime",
    "inject",
    "is_disabled",
    "map_of",
    "read_record",
    "uninject",
]

NO_WINDOWS = (
    "the sidecar runs on Linux and cannot join a Windows pod; remove the label asya.io/actor, or move the workload to "
    "Linux nodes"
)
DEFAULT_GRACE_PERIOD = 30
"""Kubernetes' default of ``terminationGracePeriodSeconds``."""


def inject(
    template: Object, plan: Plan, *, job: bool = False, scaled: bool = False, before: Object | None = None
) -> Object:
    """Return ``template`` with ``plan`` in it. Return ``template`` itself if the plan is already there.

    Args:
        template: a pod template or a Pod, for which :func:`crds.shape.shape_fault` returns None.
        plan: the actor's plan.
        job: whether the template belongs to a Job. The sidecar must not prevent the Job from completing.
        scaled: whether KEDA starts the Jobs.
        before: the stored template, if the request changes an existing object.

    Raises:
        Denied: injection cannot make the template work.
    """
    record = read_record(template)
    injected, new_record = _inject(template, record, plan, job, scaled)
    if record is None or not record.covers(new_record):
        return injected  # the template was not injected, or its plan has changed
    present, desired = parts_of(template, record), parts_of(injected, new_record)
    if is_in_place(present, desired):
        return template
    if not is_complete(present, desired):
        return injected
    earlier = read_record(before) if before is not None else None
    if before is None or earlier is None or earlier.digest != record.digest:
        # This admission injected the template, and another webhook changed it afterwards. The change stays.
        return _with_order(template, injected, present, desired)
    try:
        desired_before = parts_of(*_inject(before, earlier, plan, job, scaled))
    except Denied:
        return injected
    stored = parts_of(before, earlier)
    if (desired, present) == (desired_before, stored):
        # Another webhook changed the injected parts in an earlier admission. The request does not touch them.
        return _with_order(template, injected, present, desired)
    # The request changes injected parts, so they are reverted.
    return with_containers(injected, _containers_to_keep(present, desired, stored, desired_before))


def _with_order(template: Object, injected: Object, present: Object, desired: Object) -> Object:
    """Return ``template``, or ``injected`` with the present containers if the template has them in another order."""
    return template if present["order"] == desired["order"] else with_containers(injected, present["containers"])


def _containers_to_keep(present: Object, desired: Object, stored: Object, desired_before: Object) -> dict[str, Any]:
    """Return the injected containers with other webhooks' changes, which stay when a request is reverted.

    These are changes that were already stored, unless the desired container itself has changed, and mirrored images.
    """
    to_keep: dict[str, Any] = {}
    for name, container in desired["containers"].items():
        if name in stored["containers"] and desired_before["containers"].get(name) == container:
            to_keep[name] = stored["containers"][name]
        image = present["containers"][name].get("image")
        if is_mirrored(image, container.get("image")):
            to_keep[name] = {**to_keep.get(name, container), "image": image}
    return to_keep


def _inject(template: Object, record: Record | None, plan: Plan, job: bool, scaled: bool) -> tuple[Object, Record]:
    """Return the injected template and its new record. ``record`` is that of an earlier injection, or None."""
    _deny_windows(template.get("spec") or {})
    if record is not None:
        template = _uninject(template, record)
    spec: Object = template.get("spec") or {}
    native = job or spec.get("restartPolicy") in ("Never", "OnFailure")
    if native and not plan.native_sidecars:
        raise Denied(
            "spec.restartPolicy: a Job needs a native sidecar, which Kubernetes supports from 1.29; "
            "use a Deployment, or upgrade the cluster"
        )
    index = runtime_index(template, record)
    runtime = spec["containers"][index]
    context = situation(spec, runtime, plan, native=native, scaled=scaled)
    deny_taken_names(spec, holder=context.holder)
    new_record = Record(
        actor=plan.actor, digest=plan.digest, runtime=runtime["name"], native=native, holder=context.holder
    )
    new_spec = dict(spec)
    containers = list(spec["containers"])
    containers[index] = inject_runtime(runtime, plan, new_record, index, context)
    sidecar = sidecar_container(spec, runtime, plan, context)
    init = [holder_container(runtime, plan)] if context.holder else []
    init += [sidecar] if native else []
    if init:
        new_record.created += [] if "initContainers" in spec else ["initContainers"]
        new_spec["initContainers"] = [*init, *(spec.get("initContainers") or ())]
    new_spec["containers"] = containers if native else [sidecar, *containers]
    _inject_volumes(new_spec, plan, new_record)
    _inject_pull_secrets(new_spec, plan, new_record)
    current = spec.get("terminationGracePeriodSeconds")
    if (DEFAULT_GRACE_PERIOD if current is None else current) < plan.grace_period:
        new_record.grace, new_record.grace_was = plan.grace_period, current
        new_spec["terminationGracePeriodSeconds"] = plan.grace_period
    metadata = _inject_metadata(template, plan, new_record)
    return {**template, "metadata": metadata, "spec": new_spec}, new_record


def uninject(template: Object) -> Object:
    """Return ``template`` as it was before injection, with later edits. Return it unchanged if it is not injected."""
    record = read_record(template)
    return template if record is None else _uninject(template, record)


def _uninject(template: Object, record: Record) -> Object:
    spec = dict(template.get("spec") or {})
    _remove_containers(spec, record)
    if isinstance(spec.get("containers"), list):
        spec["containers"] = [
            uninject_runtime(c, record) if name_of(c) == record.runtime else c for c in spec["containers"]
        ]
    added = [name for name in record.volumes if name in OUR_VOLUMES or is_extra(name)]
    if isinstance(spec.get("volumes"), list):
        kept = [v for v in spec["volumes"] if not (name_of(v) in added and is_our_volume(v))]
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


def find_runtime(template: Object | None) -> Object | None:
    """Return the container with the user's function. None if there is no template, or injection would refuse it."""
    if template is None:
        return None
    try:
        index = runtime_index(template)
    except Denied:
        return None
    runtime: Object = template["spec"]["containers"][index]
    return runtime


def _deny_windows(spec: Object) -> None:
    system = (spec.get("os") or {}).get("name") or (spec.get("nodeSelector") or {}).get("kubernetes.io/os")
    if system == "windows":
        raise Denied(f"spec.os: {NO_WINDOWS}")


def _inject_volumes(spec: Object, plan: Plan, new_record: Record) -> None:
    volumes = list(spec.get("volumes") or ())
    for volume in plan.volumes:
        existing = next((v for v in volumes if name_of(v) == volume["name"]), None)
        if existing is None:
            volumes.append(volume)
            new_record.volumes.append(volume["name"])
        elif not _has_same_content(existing, volume):
            raise Denied(f"spec.volumes: the name {volume['name']!r} is taken by another volume; rename that volume")
    if new_record.volumes:
        new_record.created += [] if "volumes" in spec else ["volumes"]
        spec["volumes"] = volumes


def _inject_pull_secrets(spec: Object, plan: Plan, new_record: Record) -> None:
    present = {name_of(secret) for secret in list_of(spec, "imagePullSecrets")}
    new_record.pull_secrets = [name for name in plan.pull_secrets if name not in present]
    if new_record.pull_secrets:
        new_record.created += [] if "imagePullSecrets" in spec else ["imagePullSecrets"]
        spec["imagePullSecrets"] = [
            *(spec.get("imagePullSecrets") or ()),
            *({"name": name} for name in new_record.pull_secrets),
        ]


def _has_same_content(existing: Object, volume: Object) -> bool:
    """Whether the user's volume has the same source as the injected one, and the script under the same name."""
    files = list_of(existing.get("configMap"), "items")
    has_script = not files or any(file.get("key") == file.get("path") == RUNTIME_KEY for file in files)
    sources = {key for key, value in existing.items() if value is not None}
    return has_script and sources <= set(volume) <= set(existing) and contains(existing, volume)


def _inject_metadata(template: Object, plan: Plan, new_record: Record) -> Object:
    metadata = dict(template.get("metadata") or {})
    labels = metadata.get("labels") or {}
    if labels.get(LABEL_ACTOR) != plan.actor:
        new_record.label, new_record.label_was = True, labels.get(LABEL_ACTOR)
        new_record.created += [] if "labels" in metadata else ["labels"]
        metadata["labels"] = {**labels, LABEL_ACTOR: plan.actor}
    new_record.created += [] if "annotations" in metadata else ["annotations"]
    new_record.created += [] if "metadata" in template else ["metadata"]
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != ANNOTATION_INJECTED}
    if ANNOTATION_DEFAULT_CONTAINER not in annotations:
        new_record.default_container = True
        annotations[ANNOTATION_DEFAULT_CONTAINER] = new_record.runtime
    metadata["annotations"] = {**annotations, ANNOTATION_INJECTED: new_record.annotation()}
    return metadata


def _uninject_metadata(template: Object, record: Record) -> Object:
    metadata = dict(template.get("metadata") or {})
    annotations = map_of(template, "annotations")
    added = [ANNOTATION_INJECTED]
    if record.default_container and annotations.get(ANNOTATION_DEFAULT_CONTAINER) == record.runtime:
        added.append(ANNOTATION_DEFAULT_CONTAINER)
    if isinstance(metadata.get("annotations"), dict):
        _put_map(metadata, "annotations", _without(annotations, added), record)
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


def _put_map(parent: Object, key: str, mapping: Object, record: Record) -> None:
    if mapping or key not in record.created:
        parent[key] = mapping
    else:
        del parent[key]
