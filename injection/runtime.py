"""Finds the container with the user's function, and adds and removes the injected parts of that container."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from crds.names import ANNOTATION_RUNTIME_CONTAINER, RUNTIME, RUNTIME_PATH, SIDECAR
from injection.access import list_of, map_of, mount_path, name_of, value_of
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
from kube.objects import Object

HANDLER: Final = "ASYA_HANDLER"
PORT: Final = "ASYA_RUNTIME_PORT"
HANDLERS: Final = ("exec", "httpGet", "tcpSocket", "grpc")
"""Kinds of handlers in a probe. A probe may have only one."""


class Denied(Exception):
    """Injection cannot make this template work. The message names the field and the remedy."""


@dataclass(frozen=True)
class Situation:
    """The facts about a template that decide which parts injection adds."""

    native: bool
    """Whether the pod is meant to complete, so that it needs a native sidecar."""
    script: bool
    """Whether the runtime container runs the operator's script."""
    holder: bool
    """Whether a separate container holds the socket."""
    port: int | None
    """The script's port. None if it has no port."""
    variables: tuple[Object, ...]
    """Variables of the script. The user's variables of the same name have precedence."""


def situation(spec: Object, runtime: Object, plan: Plan, *, native: bool, scaled: bool) -> Situation:
    """Return the facts about a pod's ``spec`` whose function is in the container ``runtime``."""
    script = needs_command(runtime) or _runs_script(runtime)
    if not script:
        return Situation(native, False, False, None, ())
    variables = [plan.timeout_env]
    sets_port = any(name_of(entry) == PORT for entry in list_of(runtime, "env"))
    if sets_port:
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
    """Return the ports that the pod's containers declare."""
    return {
        port.get("containerPort")
        for place in ("containers", "initContainers")
        for container in list_of(spec, place)
        for port in list_of(container, "ports")
        if isinstance(port, dict)
    }


def needs_command(runtime: Object) -> bool:
    """Whether injection must set the command: the container has a handler and no command."""
    return not runtime.get("command") and any(name_of(e) == HANDLER for e in list_of(runtime, "env"))


def runtime_index(template: Object, record: Record | None = None) -> int:
    """Return the index of the container with the user's function.

    Raises:
        Denied: several containers qualify, or none.
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
        # It was the only container until another injector added one.
        return names.index(record.runtime)
    if len(users) == 1:
        return names.index(users[0])
    raise Denied(
        "spec.containers: which one holds the function is not clear; the containers are "
        f"{', '.join(users) or 'none'}; name that container {RUNTIME!r}, or name it in the annotation "
        f"{ANNOTATION_RUNTIME_CONTAINER}"
    )


def inject_runtime(runtime: Object, plan: Plan, new_record: Record, index: int, situation: Situation) -> Object:
    """Return ``runtime`` with the injected parts. The function adds them and the earlier values to ``new_record``.

    Raises:
        Denied: another mount uses the path of an injected mount.
    """
    injected = dict(runtime)
    mounts = _with_mounts(runtime, plan, new_record, index)
    env = _with_variables(runtime, plan, new_record, situation)
    for key, entries in (("volumeMounts", mounts), ("env", env)):
        if entries != (runtime.get(key) or []):
            new_record.created += [] if key in runtime else [key]
            injected[key] = entries
    if needs_command(runtime):
        new_record.command = True
        new_record.created += ["command"] if "command" not in runtime else []
        injected["command"] = COMMAND
    if situation.script and not situation.native and not any(runtime.get(kind) for kind in OUR_PROBES):
        new_record.probes = list(OUR_PROBES)
        new_record.created += [kind for kind in OUR_PROBES if kind not in runtime]
        injected.update(_probes(situation.port))
    return injected


def _with_mounts(runtime: Object, plan: Plan, new_record: Record, index: int) -> list[Any]:
    mounts = list(runtime.get("volumeMounts") or ())
    for added in plan.mounts:
        path = added["mountPath"]
        same_path = [m for m in list_of(runtime, "volumeMounts") if mount_path(m) == path]
        for mount in same_path:
            if name_of(mount) == added["name"]:
                _deny_different_mount(mount, added, f"spec.containers[{index}].volumeMounts: {path}")
            else:
                raise Denied(
                    f"spec.containers[{index}].volumeMounts: {path} is taken by the volume "
                    f"{name_of(mount)!r}; mount that volume elsewhere, or set spec.socket.path of the AsyncActor "
                    "to another directory"
                )
        if not same_path:
            mounts.append(added)
            new_record.mounts.append(path)
    return mounts


def _deny_different_mount(mount: Object, injected: Object, at: str) -> None:
    """Refuse a mount of the injected volume that does not show the same files as the injected mount."""
    keys = ("subPath", "subPathExpr", "readOnly")
    different = [key for key in keys if (mount.get(key) or None) != injected.get(key)]
    if different:
        differences = " and ".join(
            f"with {key} {mount.get(key)!r}" if mount.get(key) else f"without {key}" for key in different
        )
        raise Denied(
            f"{at} is a mount of {injected['name']!r} {differences}, so sidecar and runtime would not find the files "
            "that they share; remove the mount, because injection adds its own"
        )


def last_indexes(env: list[Any]) -> dict[Any, int]:
    """Return the index in ``env`` of each variable. Kubernetes uses the last entry of a name."""
    return {name_of(entry): i for i, entry in enumerate(env)}


def first_indexes(env: list[Any]) -> dict[Any, int]:
    """Return the index of the first entry of each name. Version 1 of the record replaced that entry."""
    return {name_of(entry): i for i, entry in reversed(list(enumerate(env)))}


def _with_variables(runtime: Object, plan: Plan, new_record: Record, situation: Situation) -> list[Any]:
    env = list(runtime.get("env") or ())
    indexes = last_indexes(env)
    forced = (*plan.env, plan.holder_env) if situation.holder else plan.env
    for variable in forced:
        i = indexes.get(variable["name"])
        if i is None:
            env.append(variable)
            new_record.env.append(variable["name"])
        elif not contains(env[i], variable) or "valueFrom" in env[i]:
            new_record.env_was[variable["name"]] = env[i]
            env[i] = variable
    for variable in situation.variables:
        if variable["name"] not in indexes:
            env.append(variable)
            new_record.env_set[variable["name"]] = variable["value"]
    return env


def _probes(port: int | None) -> Object:
    """Return the runtime's probes. The start may take half an hour, because some functions load models."""
    if port is None:  # longer periods, because each probe starts an interpreter
        handler: Object = {"exec": {"command": [*COMMAND, "ready"]}}
        return {
            "startupProbe": {**handler, "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 360},
            "readinessProbe": {**handler, "periodSeconds": 10, "timeoutSeconds": 5},
        }
    handler = {"httpGet": {"path": "/ready", "port": port, "scheme": "HTTP"}}
    return {
        "startupProbe": {**handler, "periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 900},
        "readinessProbe": {**handler, "periodSeconds": 5, "timeoutSeconds": 2},
    }


def uninject_runtime(runtime: Object, record: Record) -> Object:
    """Return ``runtime`` without the parts that injection added according to ``record``."""
    restored = dict(runtime)
    if isinstance(restored.get("volumeMounts"), list):
        kept = [
            m for m in restored["volumeMounts"] if not (name_of(m) in OUR_VOLUMES and mount_path(m) in record.mounts)
        ]
        put_list(restored, "volumeMounts", kept, record.created)
    if isinstance(restored.get("env"), list):
        added = [name for name in record.env if name in SOCKET_ENV]
        replaced = {name: entry for name, entry in record.env_was.items() if name in SOCKET_ENV}
        env = list(restored["env"])
        indexes = last_indexes(env) if record.version > 1 else first_indexes(env)
        for name, entry in replaced.items():
            if name in indexes:
                env[indexes[name]] = entry
        kept = [e for e in env if name_of(e) not in added and not _is_unchanged(e, record)]
        put_list(restored, "env", kept, record.created)
    if record.command and restored.get("command") == COMMAND:
        if "command" in record.created:
            del restored["command"]
        else:
            restored["command"] = []
    for kind in OUR_PROBES:
        if kind in record.probes and is_our_probe(restored.get(kind)):
            _uninject_probe(restored, kind, record)
    return restored


def _is_unchanged(entry: Any, record: Record) -> bool:
    """Whether a variable from :data:`SCRIPT_ENV` still has the value that injection gave it."""
    name = name_of(entry)
    return name in SCRIPT_ENV and name in record.env_set and entry == {"name": name, "value": record.env_set[name]}


def _uninject_probe(container: Object, kind: str, record: Record) -> None:
    probe = container[kind]
    if any(probe.get(handler) for handler in HANDLERS if handler not in our_handlers(probe)):
        # The user added a handler of their own to the injected probe. It stays.
        container[kind] = {key: value for key, value in probe.items() if key not in our_handlers(probe)}
    elif kind in record.created:
        del container[kind]
    else:
        container[kind] = None


def put_list(parent: Object, key: str, elements: list[Any], created: Iterable[str]) -> None:
    """Set ``parent[key]`` to ``elements``. Remove the key instead if the list is empty and injection created it."""
    if elements or key not in created:
        parent[key] = elements
    else:
        del parent[key]
