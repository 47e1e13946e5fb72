"""The user's part of a pod: which container holds the function, and what injection adds to it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from crds.names import ANNOTATION_RUNTIME_CONTAINER, RUNTIME, RUNTIME_PATH, SIDECAR
from injection.access import Object, list_of, map_of, mount_path, name_of, value_of
from injection.plan import Plan
from injection.record import (
    COMMAND,
    OUR_PROBES,
    OUR_VOLUMES,
    SCRIPT_ENV,
    SOCKET_ENV,
    Record,
    is_our_probe,
    our_handlers,
)
from kube.compare import contains

HANDLER: Final = "ASYA_HANDLER"
PORT: Final = "ASYA_RUNTIME_PORT"
HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "grpc")
"""Ways to ask in a probe, of which it may have one."""


class Denied(Exception):
    """A template that cannot be injected rightly; the message names the field and the remedy."""


@dataclass(frozen=True)
class Situation:
    """What of a template decides on the parts that it gets."""

    native: bool
    """Whether the pod is meant to complete, so that the sidecar must be a native one."""
    script: bool
    """Whether the runtime container runs the operator's script."""
    holder: bool
    port: int | None
    """The script's port, where it has one."""
    variables: tuple[Object, ...]
    """Variables of the script, which leave the user's be."""


def situation(spec: Object, runtime: Object, plan: Plan, *, native: bool, scaled: bool) -> Situation:
    """How it is with a pod's ``spec`` whose function is in ``runtime``."""
    script = wants_command(runtime) or _runs_script(runtime)
    if not script:
        return Situation(native, False, False, None, ())
    variables = [plan.timeout_env]
    named = any(name_of(entry) == PORT for entry in list_of(runtime, "env"))
    if named:
        port = _port_number(value_of(runtime, PORT))
    else:
        port = None if plan.port in _ports(spec) else plan.port
    if spec.get("hostNetwork"):
        port = None
    elif port is not None:
        variables.append(plan.port_env)
    if native:
        variables += plan.scaled_job_env if scaled else plan.job_env
    return Situation(native, True, plan.holder, port, tuple(variables))


def _runs_script(runtime: Object) -> bool:
    words = [*list_of(runtime, "command"), *list_of(runtime, "args")]
    return any(isinstance(word, str) and RUNTIME_PATH in word for word in words)


def _port_number(value: str | None) -> int | None:
    return int(value) if value and value.isdecimal() and 0 < int(value) < 65536 else None


def _ports(spec: Object) -> set[Any]:
    """Ports that the pod's own containers listen on."""
    return {
        port.get("containerPort")
        for place in ("containers", "initContainers")
        for container in list_of(spec, place)
        for port in list_of(container, "ports")
        if isinstance(port, dict)
    }


def wants_command(runtime: Object) -> bool:
    """Whether the container leaves it to injection to start its function."""
    return not runtime.get("command") and any(name_of(e) == HANDLER for e in list_of(runtime, "env"))


def runtime_index(template: Object, record: Record | None = None) -> int:
    """Place of the container that holds the user's function.

    Raises:
        Denied: if that is not clear.
    """
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


def inject_runtime(runtime: Object, plan: Plan, note: Record, index: int, situation: Situation) -> Object:
    """``runtime`` with our parts; what was there before goes into ``note``.

    Raises:
        Denied: if a mount of ours is taken.
    """
    result = dict(runtime)
    mounts = _with_mounts(runtime, plan, note, index)
    env = _with_variables(runtime, plan, note, situation)
    for key, items in (("volumeMounts", mounts), ("env", env)):
        if items != (runtime.get(key) or []):
            note.created += [] if key in runtime else [key]
            result[key] = items
    if wants_command(runtime):
        note.command = True
        note.created += ["command"] if "command" not in runtime else []
        result["command"] = COMMAND
    if situation.script and not situation.native and not any(runtime.get(kind) for kind in OUR_PROBES):
        note.probes = list(OUR_PROBES)
        note.created += [kind for kind in OUR_PROBES if kind not in runtime]
        result.update(_probes(situation.port))
    return result


def _with_mounts(runtime: Object, plan: Plan, note: Record, index: int) -> list[Any]:
    mounts = list(runtime.get("volumeMounts") or ())
    for ours in plan.mounts:
        path = ours["mountPath"]
        equal = [m for m in list_of(runtime, "volumeMounts") if mount_path(m) == path]
        for mount in equal:
            if name_of(mount) == ours["name"]:
                _deny_unlike(mount, ours, f"spec.containers[{index}].volumeMounts: {path}")
            else:
                raise Denied(
                    f"spec.containers[{index}].volumeMounts: {path} is taken by the volume "
                    f"{name_of(mount)!r}; mount that elsewhere, or set spec.socket.path of the AsyncActor "
                    "to another directory"
                )
        if not equal:
            mounts.append(ours)
            note.mounts.append(path)
    return mounts


def _deny_unlike(mount: Object, ours: Object, at: str) -> None:
    """Refuse a mount of our volume in whose place the kubelet would not put what ours does."""
    unlike = [key for key in ("subPath", "subPathExpr", "readOnly") if (mount.get(key) or None) != ours.get(key)]
    if unlike:
        differences = " and ".join(
            f"with {key} {mount.get(key)!r}" if mount.get(key) else f"without {key}" for key in unlike
        )
        raise Denied(
            f"{at} is a mount of {ours['name']!r} {differences}, so that sidecar and runtime would not find what they "
            "share; take the mount out, since injection adds its own"
        )


def last_places(env: list[Any]) -> dict[Any, int]:
    """Where in ``env`` each variable has its value: of one given twice, the last counts."""
    return {name_of(entry): i for i, entry in enumerate(env)}


def first_places(env: list[Any]) -> dict[Any, int]:
    """Where the first version of the record replaced a variable."""
    return {name_of(entry): i for i, entry in reversed(list(enumerate(env)))}


def _with_variables(runtime: Object, plan: Plan, note: Record, situation: Situation) -> list[Any]:
    env = list(runtime.get("env") or ())
    places = last_places(env)
    forced = (*plan.env, plan.holder_env) if situation.holder else plan.env
    for variable in forced:
        at = places.get(variable["name"])
        if at is None:
            env.append(variable)
            note.env.append(variable["name"])
        elif not contains(env[at], variable) or "valueFrom" in env[at]:
            note.env_was[variable["name"]] = env[at]
            env[at] = variable
    for variable in situation.variables:
        if variable["name"] not in places:
            env.append(variable)
            note.env_set[variable["name"]] = variable["value"]
    return env


def _probes(port: int | None) -> Object:
    """Start-up may take half an hour: some functions load models."""
    if port is None:  # an interpreter is started for each
        ask: Object = {"exec": {"command": [*COMMAND, "ready"]}}
        return {
            "startupProbe": {**ask, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 360},
            "readinessProbe": {**ask, "periodSeconds": 10, "timeoutSeconds": 5},
        }
    ask = {"httpGet": {"path": "/ready", "port": port, "scheme": "HTTP"}}
    return {
        "startupProbe": {**ask, "periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 900},
        "readinessProbe": {**ask, "periodSeconds": 5, "timeoutSeconds": 2},
    }


def uninject_runtime(runtime: Object, record: Record) -> Object:
    """``runtime`` without what ``record`` says is ours."""
    result = dict(runtime)
    if isinstance(result.get("volumeMounts"), list):
        kept = [m for m in result["volumeMounts"] if not (name_of(m) in OUR_VOLUMES and mount_path(m) in record.mounts)]
        put_list(result, "volumeMounts", kept, record.created)
    if isinstance(result.get("env"), list):
        ours = [name for name in record.env if name in SOCKET_ENV]
        were = {name: entry for name, entry in record.env_was.items() if name in SOCKET_ENV}
        env = list(result["env"])
        places = last_places(env) if record.version > 1 else first_places(env)
        for name, entry in were.items():
            if name in places:
                env[places[name]] = entry
        kept = [e for e in env if name_of(e) not in ours and not _is_set(e, record)]
        put_list(result, "env", kept, record.created)
    if record.command and result.get("command") == COMMAND:
        if "command" in record.created:
            del result["command"]
        else:
            result["command"] = []
    for kind in OUR_PROBES:
        if kind in record.probes and is_our_probe(result.get(kind)):
            _uninject_probe(result, kind, record)
    return result


def _is_set(entry: Any, record: Record) -> bool:
    """Whether a variable has the value that we gave it."""
    name = name_of(entry)
    return name in SCRIPT_ENV and name in record.env_set and entry == {"name": name, "value": record.env_set[name]}


def _uninject_probe(container: Object, kind: str, record: Record) -> None:
    probe = container[kind]
    if any(probe.get(handler) for handler in HANDLERS if handler not in our_handlers(probe)):
        # Merged with one that the user has set since, which is theirs.
        container[kind] = {key: value for key, value in probe.items() if key not in our_handlers(probe)}
    elif kind in record.created:
        del container[kind]
    else:
        container[kind] = None


def put_list(holder: Object, key: str, items: list[Any], created: Iterable[str]) -> None:
    """Set ``holder[key]``, or remove it if injection created it and nothing else is in it."""
    if items or key not in created:
        holder[key] = items
    else:
        del holder[key]
