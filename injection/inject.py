"""Injection: the one function that makes a pod template into an actor's.

:func:`inject` and :func:`uninject` are pure and exact inverses. Nothing they are given is changed;
what they return shares every part that they did not touch, which is what keeps the patch small
(:mod:`webhook.patch`). The annotation ``asya.io/injected`` is their memory: which parts are ours,
and what stood in their place. It is read as untrusted input, since anyone may write an annotation:
a forged one can name nothing for removal but what injection itself could have added.

Injecting what is injected already is a no-op as long as our parts are in place, even if others have
added theirs to our sidecar (EKS puts its pod identity there). When the plan has changed, the old
injection is taken out and the new one put in.
"""

from collections.abc import Iterable
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from crds.names import (
    ANNOTATION_INJECTED,
    ANNOTATION_RUNTIME_CONTAINER,
    DISABLED,
    INJECT,
    LABEL_ACTOR,
    RABBITMQ_VOLUME,
    RUNTIME,
    RUNTIME_CONFIGMAP,
    RUNTIME_PATH,
    RUNTIME_VOLUME,
    SIDECAR,
    SOCKET_VOLUME,
)
from injection.plan import CONTRACT, Object, Plan
from kube.compare import contains

COMMAND = ["python3", RUNTIME_PATH]
HANDLER = "ASYA_HANDLER"
DEFAULT_GRACE_PERIOD = 30
"""Seconds that Kubernetes gives a pod whose template does not say."""

OUR_VOLUMES = (SOCKET_VOLUME, RUNTIME_VOLUME, RABBITMQ_VOLUME)
OUR_ENV = ("ASYA_SOCKET_DIR", "ASYA_SOCKET_PATH", "ASYA_SOCKET_MAX_SIZE")


class Denied(Exception):
    """A template that cannot be injected rightly; the message names the field and the remedy."""


class Record(BaseModel):
    """What the annotation ``asya.io/injected`` remembers."""

    model_config = ConfigDict(strict=True, extra="ignore")

    version: int = CONTRACT
    actor: str
    digest: str
    runtime: str
    native: bool = False
    label: bool = False
    """Whether the template's label is ours."""
    label_was: str | None = None
    grace: int | None = None
    """The ``terminationGracePeriodSeconds`` that we set, if we did."""
    grace_was: int | None = None
    command: bool = False
    volumes: list[str] = []
    mounts: list[str] = []
    env: list[str] = []
    env_was: dict[str, Object] = {}
    created: list[str] = []
    """Lists and maps that did not exist before, to be removed again once they are empty."""

    def annotation(self) -> str:
        """The record as the annotation's value: compact JSON without what is at its default."""
        return orjson.dumps(self.model_dump(exclude_defaults=True) | {"version": self.version}).decode()


def read_record(template: Object) -> Record | None:
    """The record on ``template``, or None if it has none or one that injection never wrote."""
    text = map_of(template, "annotations").get(ANNOTATION_INJECTED)
    if not isinstance(text, str):
        return None
    try:
        record = Record.model_validate_json(text)
    except ValidationError:
        return None
    return record if record.version == CONTRACT and _shows_injection(template) else None


def map_of(obj: Object | None, part: str) -> Object:
    """A map of the metadata of an object that may have any shape: its ``labels`` or its ``annotations``."""
    metadata = (obj or {}).get("metadata")
    found = metadata.get(part) if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) else {}


def disabled(obj: Object) -> bool:
    """Whether a workload, a template or a pod says ``asya.io/inject: disabled``, as label or annotation."""
    return DISABLED in (map_of(obj, part).get(INJECT) for part in ("labels", "annotations"))


def inject(template: Object, plan: Plan, *, job: bool = False) -> Object:
    """``template`` with ``plan`` in it; ``template`` itself if that is in place already.

    Args:
        template: a pod template or a Pod, in which :func:`crds.shape.malformed` finds nothing wrong.
        plan: the actor's injection.
        job: whether the template is a Job's, so that the sidecar must not keep it from completing.

    Raises:
        Denied: if the template cannot be injected rightly.
    """
    record = read_record(template)
    spec: Object = template.get("spec") or {}
    _deny_windows(spec)
    native = job or spec.get("restartPolicy") in ("Never", "OnFailure")
    if native and not plan.native_sidecars:
        raise Denied(
            "spec.restartPolicy: a Job's sidecar must be a native one, which needs Kubernetes 1.29 or newer; "
            "use a Deployment, or upgrade the cluster"
        )
    if record is not None:
        if _in_place(template, plan, record, native):
            return template
        template = uninject(template)
        spec = template["spec"]
    index = _runtime_index(template, record)
    runtime = spec["containers"][index]
    sidecar = _sidecar(plan, runtime, native)
    _deny_taken_name(spec)
    note = Record(actor=plan.actor, digest=plan.digest, runtime=runtime["name"], native=native)
    new_spec = dict(spec)
    containers = list(spec["containers"])
    containers[index] = _inject_runtime(runtime, plan, note, index)
    if native:
        if not spec.get("initContainers"):
            note.created += [] if "initContainers" in spec else ["initContainers"]
        new_spec["initContainers"] = [sidecar, *(spec.get("initContainers") or ())]
        new_spec["containers"] = containers
    else:
        new_spec["containers"] = [sidecar, *containers]
    _inject_volumes(new_spec, plan, note)
    current = spec.get("terminationGracePeriodSeconds")
    if (DEFAULT_GRACE_PERIOD if current is None else current) < plan.grace_period:
        note.grace, note.grace_was = plan.grace_period, current
        new_spec["terminationGracePeriodSeconds"] = plan.grace_period
    return {**template, "metadata": _inject_metadata(template.get("metadata"), plan, note), "spec": new_spec}


def uninject(template: Object) -> Object:
    """``template`` as it was before injection, with edits made since; itself if it is not injected."""
    record = read_record(template)
    if record is None:
        return template
    spec = dict(template.get("spec") or {})
    place = "initContainers" if record.native else "containers"
    if isinstance(spec.get(place), list):
        _put_list(spec, place, [c for c in spec[place] if not _is_ours(c)], record)
    if isinstance(spec.get("containers"), list):
        spec["containers"] = [
            _uninject_runtime(c, record) if _name(c) == record.runtime else c for c in spec["containers"]
        ]
    ours = [name for name in record.volumes if name in OUR_VOLUMES]
    if isinstance(spec.get("volumes"), list):
        _put_list(spec, "volumes", [v for v in spec["volumes"] if not (_name(v) in ours and _is_our_volume(v))], record)
    if record.grace is not None and spec.get("terminationGracePeriodSeconds") == record.grace:
        if record.grace_was is None:
            del spec["terminationGracePeriodSeconds"]
        else:
            spec["terminationGracePeriodSeconds"] = record.grace_was
    return _uninject_metadata({**template, "spec": spec}, record)


def runtime_container(template: Object) -> str:
    """Name of the container that holds the user's function.

    Raises:
        Denied: if that is not clear.
    """
    name: str = (template.get("spec") or {})["containers"][_runtime_index(template)]["name"]
    return name


def _name(item: Any) -> Any:
    return item.get("name") if isinstance(item, dict) else None


def _is_ours(container: Any) -> bool:
    """Whether it can be the injected sidecar, by its name and by the socket that it shares."""
    return _name(container) == SIDECAR and any(_name(m) == SOCKET_VOLUME for m in _list(container, "volumeMounts"))


def _shows_injection(template: Object) -> bool:
    """Whether the sidecar or its socket is there. A record alone proves nothing: anyone can write or copy it."""
    spec = template.get("spec")
    return any(_name(v) == SOCKET_VOLUME and _is_our_volume(v) for v in _list(spec, "volumes")) or any(
        _is_ours(c) for place in ("containers", "initContainers") for c in _list(spec, place)
    )


def _list(holder: Any, key: str) -> list[Any]:
    """A list in what may have any shape."""
    found = holder.get(key) if isinstance(holder, dict) else None
    return found if isinstance(found, list) else []


def _is_our_volume(volume: Object) -> bool:
    if _name(volume) == SOCKET_VOLUME:
        return "emptyDir" in volume
    if _name(volume) == RABBITMQ_VOLUME:
        return "projected" in volume
    return bool(_name(volume.get("configMap")) == RUNTIME_CONFIGMAP)


def _runtime_index(template: Object, record: Record | None = None) -> int:
    containers = (template.get("spec") or {}).get("containers")
    if not isinstance(containers, list) or not all(
        isinstance(c, dict) and isinstance(c.get("name"), str) for c in containers
    ):
        raise Denied("spec.containers: must be a list of containers, each with a name")
    names = [c["name"] for c in containers]
    users = [name for name in names if name != SIDECAR]
    chosen = map_of(template, "annotations").get(ANNOTATION_RUNTIME_CONTAINER)
    if chosen is not None:
        if chosen not in users:
            raise Denied(
                f"metadata.annotations[{ANNOTATION_RUNTIME_CONTAINER}]: no container is named {chosen!r}; "
                f"the containers are {', '.join(users) or 'none'}"
            )
        return names.index(chosen)
    if RUNTIME in users:
        return names.index(RUNTIME)
    if record is not None and users.count(record.runtime) == 1:
        # It was the only one, until another injector added its own.
        return names.index(record.runtime)
    if len(users) == 1:
        return names.index(users[0])
    raise Denied(
        f"spec.containers: which one holds the function is not clear among {', '.join(users) or 'none'}; "
        f"name it {RUNTIME!r}, or say so in the annotation {ANNOTATION_RUNTIME_CONTAINER}"
    )


def _deny_windows(spec: Object) -> None:
    system = (spec.get("os") or {}).get("name") or (spec.get("nodeSelector") or {}).get("kubernetes.io/os")
    if system == "windows":
        raise Denied(
            "spec.os: the sidecar runs on Linux and cannot join a Windows pod; "
            "take the label asya.io/actor off, or move the workload to Linux nodes"
        )


def _deny_taken_name(spec: Object) -> None:
    for place in ("containers", "initContainers", "ephemeralContainers"):
        if any(_name(c) == SIDECAR for c in spec.get(place) or ()):
            raise Denied(
                f"spec.{place}: a container is named {SIDECAR!r} already, which is the injected one's name; rename it"
            )


def _sidecar(plan: Plan, runtime: Object, native: bool) -> Object:
    """The sidecar for this template: the same user as the runtime, so that both may use the socket."""
    theirs = runtime.get("securityContext") or {}
    run_as = {key: theirs[key] for key in ("runAsUser", "runAsGroup", "runAsNonRoot") if key in theirs}
    sidecar = {**plan.sidecar, "securityContext": {**plan.sidecar["securityContext"], **run_as}}
    return {**sidecar, "restartPolicy": "Always"} if native else sidecar


def _in_place(template: Object, plan: Plan, record: Record, native: bool) -> bool:
    runtime = template["spec"]["containers"][_runtime_index(template, record)]
    wanted = (plan.digest, plan.actor, runtime["name"], native)
    if (record.digest, record.actor, record.runtime, record.native) != wanted:
        return False
    spec = template["spec"]
    first = (spec.get("initContainers" if native else "containers") or [None])[0]
    return (
        _name(first) == SIDECAR
        and contains(first, _sidecar(plan, runtime, native))
        and contains(spec.get("volumes"), plan.volumes)
        and contains(runtime.get("env"), plan.env)
        and contains(runtime.get("volumeMounts"), plan.mounts)
        and (bool(runtime.get("command")) or not _wants_command(runtime))
        and (spec.get("terminationGracePeriodSeconds") or DEFAULT_GRACE_PERIOD) >= plan.grace_period
        and map_of(template, "labels").get(LABEL_ACTOR) == plan.actor
    )


def _wants_command(runtime: Object) -> bool:
    return not runtime.get("command") and any(_name(e) == HANDLER for e in runtime.get("env") or ())


def _inject_runtime(runtime: Object, plan: Plan, note: Record, index: int) -> Object:
    result = dict(runtime)
    path = f"spec.containers[{index}]"
    mounts = list(runtime.get("volumeMounts") or ())
    for ours in plan.mounts:
        taken = next((m for m in mounts if _same_path(m, ours)), None)
        if taken is None:
            mounts.append(ours)
            note.mounts.append(ours["mountPath"])
        elif not contains(taken, ours):
            raise Denied(
                f"{path}.volumeMounts: {ours['mountPath']} is taken by the volume {_name(taken)!r}; "
                "mount that elsewhere, or set spec.socket.path of the AsyncActor to another directory"
            )
    env = list(runtime.get("env") or ())
    places = {_name(entry): i for i, entry in reversed(list(enumerate(env)))}
    for variable in plan.env:
        at = places.get(variable["name"])
        if at is None:
            env.append(variable)
            note.env.append(variable["name"])
        elif not contains(env[at], variable) or "valueFrom" in env[at]:
            note.env_was[variable["name"]] = env[at]
            env[at] = variable
    for key, items in (("volumeMounts", mounts), ("env", env)):
        if items != (runtime.get(key) or []):
            note.created += [] if key in runtime else [key]
            result[key] = items
    if _wants_command(runtime):
        note.command = True
        note.created += ["command"] if "command" not in runtime else []
        result["command"] = COMMAND
    return result


def _same_path(mount: Any, ours: Object) -> bool:
    path = mount.get("mountPath") if isinstance(mount, dict) else None
    return isinstance(path, str) and path.rstrip("/") == ours["mountPath"]


def _uninject_runtime(runtime: Object, record: Record) -> Object:
    result = dict(runtime)
    if isinstance(result.get("volumeMounts"), list):
        kept = [
            m for m in result["volumeMounts"] if not (_name(m) in OUR_VOLUMES and m.get("mountPath") in record.mounts)
        ]
        _put_list(result, "volumeMounts", kept, record)
    if isinstance(result.get("env"), list):
        ours = [name for name in record.env if name in OUR_ENV]
        were = {name: entry for name, entry in record.env_was.items() if name in OUR_ENV}
        kept = [were.get(_name(e), e) for e in result["env"] if _name(e) not in ours]
        _put_list(result, "env", kept, record)
    if record.command and result.get("command") == COMMAND:
        if "command" in record.created:
            del result["command"]
        else:
            result["command"] = []
    return result


def _put_list(holder: Object, key: str, items: list[Any], record: Record) -> None:
    """Set ``holder[key]``, or remove it if injection created it and nothing else is in it."""
    if items or key not in record.created:
        holder[key] = items
    else:
        del holder[key]


def _inject_volumes(spec: Object, plan: Plan, note: Record) -> None:
    volumes = list(spec.get("volumes") or ())
    for ours in plan.volumes:
        taken = next((v for v in volumes if _name(v) == ours["name"]), None)
        if taken is None:
            volumes.append(ours)
            note.volumes.append(ours["name"])
        elif not contains(taken, ours) or not set(ours) <= set(taken):
            raise Denied(f"spec.volumes: the name {ours['name']!r} is taken by another volume; rename that one")
    if note.volumes:
        note.created += [] if "volumes" in spec else ["volumes"]
        spec["volumes"] = volumes


def _inject_metadata(metadata: Object | None, plan: Plan, note: Record) -> Object:
    result = dict(metadata or {})
    labels = result.get("labels") or {}
    if labels.get(LABEL_ACTOR) != plan.actor:
        note.label, note.label_was = True, labels.get(LABEL_ACTOR)
        note.created += [] if "labels" in result else ["labels"]
        result["labels"] = {**labels, LABEL_ACTOR: plan.actor}
    note.created += [] if "annotations" in result else ["annotations"]
    note.created += [] if metadata is not None else ["metadata"]
    annotations = {k: v for k, v in (result.get("annotations") or {}).items() if k != ANNOTATION_INJECTED}
    result["annotations"] = {**annotations, ANNOTATION_INJECTED: note.annotation()}
    return result


def _uninject_metadata(template: Object, record: Record) -> Object:
    metadata = dict(template["metadata"])
    _put_map(metadata, "annotations", _without(metadata["annotations"], [ANNOTATION_INJECTED]), record)
    labels = metadata.get("labels")
    if record.label and isinstance(labels, dict) and labels.get(LABEL_ACTOR) == record.actor:
        kept = (
            _without(labels, [LABEL_ACTOR]) if record.label_was is None else {**labels, LABEL_ACTOR: record.label_was}
        )
        _put_map(metadata, "labels", kept, record)
    if not metadata and "metadata" in record.created:
        return _without(template, ["metadata"])
    return {**template, "metadata": metadata}


def _without(mapping: Object, keys: Iterable[str]) -> Object:
    return {k: v for k, v in mapping.items() if k not in keys}


def _put_map(holder: Object, key: str, value: Object, record: Record) -> None:
    if value or key not in record.created:
        holder[key] = value
    else:
        del holder[key]
