"""Extracts the injected parts of a template as JSON, so that present and desired parts can be compared."""

from typing import Any, Final

from crds.names import ANNOTATION_DEFAULT_CONTAINER, HOLDER, LABEL_ACTOR
from injection.access import list_of, map_of, mount_path, name_of
from injection.record import Record, is_our_container
from kube.compare import contains
from kube.objects import Object

GROUPS: Final = ("containers", "volumes", "secrets", "env", "mounts", "probes")


def parts_of(template: Object, record: Record) -> Object:
    """Return the parts of ``template`` that injection added according to ``record``, by kind and name."""
    spec: Object = template.get("spec") or {}
    runtime: Object = next((c for c in list_of(spec, "containers") if name_of(c) == record.runtime), {})
    variables = {*record.env, *record.env_was, *record.env_set}
    init, containers = list_of(spec, "initContainers"), list_of(spec, "containers")
    leading = [*init[: record.holder + record.native], *([] if record.native else containers[:1])]
    return {
        "containers": {
            name_of(c): c
            for c in (*init, *containers)
            if is_our_container(c) and (name_of(c) != HOLDER or record.holder)
        },
        "order": [name_of(c) for c in leading],
        "volumes": {name_of(v): v for v in list_of(spec, "volumes") if name_of(v) in record.volumes},
        "secrets": {name_of(s): s for s in list_of(spec, "imagePullSecrets") if name_of(s) in record.pull_secrets},
        "env": {name_of(e): e for e in list_of(runtime, "env") if name_of(e) in variables},
        "mounts": {path: m for m in list_of(runtime, "volumeMounts") if (path := mount_path(m)) in record.mounts},
        "probes": {kind: runtime[kind] for kind in record.probes if runtime.get(kind)},
        "command": runtime.get("command") if record.command else None,
        "grace": spec.get("terminationGracePeriodSeconds"),
        "label": map_of(template, "labels").get(LABEL_ACTOR),
        "default": map_of(template, "annotations").get(ANNOTATION_DEFAULT_CONTAINER),
    }


def is_in_place(present: Object, desired: Object) -> bool:
    """Whether ``present`` contains all desired parts unchanged. Other writers may have added fields to them."""
    return contains(present, desired)


def is_complete(present: Object, desired: Object) -> bool:
    """Whether ``present`` has each desired part. Other writers may have changed them."""
    return present["command"] == desired["command"] and all(
        desired[group].keys() <= present[group].keys() for group in GROUPS
    )


def is_mirrored(image: Any, desired: Any) -> bool:
    """Whether ``image`` is the desired image from another registry: same name and tag, other registry.

    A webhook that redirects all images to a mirror may be installed long after injection. If the operator reverted
    such an image, it would contest the webhook, and the cluster might be unable to pull the image.
    """
    if not isinstance(image, str) or not isinstance(desired, str):
        return False
    (name, _, digest), (desired_name, _, desired_digest) = (
        text.rpartition("/")[2].partition("@") for text in (image, desired)
    )
    return image != desired and name == desired_name and desired_digest in ("", digest)


def with_containers(template: Object, containers: dict[str, Any]) -> Object:
    """Return ``template`` with injected containers replaced by those of the same name in ``containers``."""
    spec = dict(template["spec"])
    for place in ("initContainers", "containers"):
        if any(name_of(c) in containers and is_our_container(c) for c in list_of(spec, place)):
            spec[place] = [containers.get(name_of(c), c) if is_our_container(c) else c for c in spec[place]]
    return {**template, "spec": spec}
