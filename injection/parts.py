"""Our parts of an injected template, as plain JSON that can be compared: what we want there and what is there."""

from typing import Any, Final

from crds.names import ANNOTATION_DEFAULT_CONTAINER, HOLDER, LABEL_ACTOR
from injection.access import Object, list_of, map_of, mount_path, name_of
from injection.record import Record, is_our_container
from kube.compare import contains

GROUPS: Final = ("containers", "volumes", "secrets", "env", "mounts", "probes")


def parts_of(template: Object, record: Record) -> Object:
    """What of ``template`` is ours by ``record``, by kind of part and name."""
    spec: Object = template.get("spec") or {}
    runtime: Object = next((c for c in list_of(spec, "containers") if name_of(c) == record.runtime), {})
    variables = {*record.env, *record.env_was, *record.env_set}
    init, containers = list_of(spec, "initContainers"), list_of(spec, "containers")
    first = [*init[: record.holder + record.native], *([] if record.native else containers[:1])]
    return {
        "containers": {
            name_of(c): c
            for c in (*init, *containers)
            if is_our_container(c) and (name_of(c) != HOLDER or record.holder)
        },
        "order": [name_of(c) for c in first],
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


def in_place(present: Object, wanted: Object) -> bool:
    """Whether ``present`` holds all that is wanted; others may have added theirs."""
    return contains(present, wanted)


def is_complete(present: Object, wanted: Object) -> bool:
    """Whether each wanted part is there, though others may have changed it."""
    return present["command"] == wanted["command"] and all(
        wanted[group].keys() <= present[group].keys() for group in GROUPS
    )


def is_mirrored(image: Any, wanted: Any) -> bool:
    """Whether ``image`` is the wanted one from another registry, by its name and tag, and so a mirror's doing.

    A webhook that has all images come from a mirror may be installed long after injection. To put such an image back
    would be to fight it, and to pull what a cluster may not be able to reach.
    """
    if not isinstance(image, str) or not isinstance(wanted, str):
        return False
    (name, _, digest), (wanted_name, _, wanted_digest) = (
        text.rpartition("/")[2].partition("@") for text in (image, wanted)
    )
    return image != wanted and name == wanted_name and wanted_digest in ("", digest)


def with_containers(template: Object, kept: dict[str, Any]) -> Object:
    """``template`` with its containers of those names replaced."""
    spec = dict(template["spec"])
    for place in ("initContainers", "containers"):
        if any(name_of(c) in kept and is_our_container(c) for c in list_of(spec, place)):
            spec[place] = [kept.get(name_of(c), c) if is_our_container(c) else c for c in spec[place]]
    return {**template, "spec": spec}
