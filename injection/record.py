"""Reads and writes the record of an injection: the annotation ``asya.io/injected``, in every released version.

The record is untrusted input, because any user can write an annotation. A forged record can only cause the removal of
parts that injection could have added. If a tool dropped the annotation, the parts themselves identify the injection.
This release does not undo an injection whose record is from a later release.
"""

from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crds.names import (
    ANNOTATION_INJECTED,
    HOLDER,
    LABEL_ACTOR,
    METRICS_PORT,
    RABBITMQ_VOLUME,
    RUNTIME,
    RUNTIME_CONFIGMAP,
    RUNTIME_PATH,
    RUNTIME_VOLUME,
    SIDECAR,
    SOCKET_VOLUME,
)
from injection.access import list_of, map_of, name_of, value_of
from injection.extras import is_extra
from injection.plan import CONTRACT
from kube.objects import Object

READABLE: Final = (1, CONTRACT)
"""Versions of the record that this release understands: the current one and all earlier ones."""

COMMAND: Final = ["python3", RUNTIME_PATH]
OUR_VOLUMES: Final = (SOCKET_VOLUME, RUNTIME_VOLUME, RABBITMQ_VOLUME)
OUR_PROBES: Final = ("startupProbe", "readinessProbe")
SOCKET_ENV: Final = ("ASYA_SOCKET_DIR", "ASYA_SOCKET_PATH", "ASYA_SOCKET_MAX_SIZE", "ASYA_SOCKET_HOLDER")
"""Variables of the runtime container that replace the user's, because runtime and sidecar need the same values."""
SCRIPT_ENV: Final = ("ASYA_RUNTIME_TIMEOUT", "ASYA_RUNTIME_PORT", "ASYA_JOB_MESSAGES", "ASYA_JOB_IDLE_SECONDS")
"""Variables of the runtime container that injection adds only if the user does not set them."""


class Record(BaseModel):
    """The content of the annotation ``asya.io/injected``."""

    model_config = ConfigDict(strict=True, extra="ignore")

    version: int = CONTRACT
    actor: str
    digest: str
    runtime: str
    native: bool = False
    holder: bool = False
    """Whether a separate container holds the socket."""
    label: bool = False
    """Whether injection set the template's label."""
    label_was: str | None = None
    grace: int | None = None
    """The ``terminationGracePeriodSeconds`` that injection set. None if it set none."""
    grace_was: int | None = None
    command: bool = False
    volumes: list[str] = Field(default_factory=list)
    pull_secrets: list[str] = Field(default_factory=list)
    mounts: list[str] = Field(default_factory=list)
    env: list[str] = Field(default_factory=list)
    env_was: dict[str, Object] = Field(default_factory=dict)
    env_set: dict[str, str] = Field(default_factory=dict)
    """Variables from :data:`SCRIPT_ENV` that injection added, with their values. With another value, it is the user's.
    """
    probes: list[str] = Field(default_factory=list)
    default_container: bool = False
    """Whether injection set the annotation that names kubectl's default container."""
    created: list[str] = Field(default_factory=list)
    """Lists and maps that injection created. Un-injection removes them when they are empty."""

    def annotation(self) -> str:
        """Return the value of the annotation: compact JSON without fields that have their default."""
        return orjson.dumps(self.model_dump(exclude_defaults=True) | {"version": self.version}).decode()

    def covers(self, other: "Record") -> bool:
        """Whether both records describe the same injection of the same plan. Earlier values do not matter."""
        return self._injected_parts() == other._injected_parts()

    def _injected_parts(self) -> tuple[Any, ...]:
        return (
            self.version,
            self.digest,
            self.actor,
            self.runtime,
            self.native,
            self.holder,
            self.command,
            sorted(self.volumes),
            sorted(self.pull_secrets),
            sorted(self.mounts),
            sorted([*self.env, *self.env_was]),
            sorted(self.env_set),
            sorted(self.probes),
        )


def read_record(template: Object) -> Record | None:
    """Return the record on ``template``, or one that is derived from its parts.

    Returns None if the template is not injected or if a later release injected it.
    """
    text = map_of(template, "annotations").get(ANNOTATION_INJECTED)
    if isinstance(text, str):
        try:
            record = Record.model_validate_json(text)
        except ValidationError:
            record = None
        if record is not None and record.version in READABLE:
            return record if _shows_injection(template) else None
        if _version(text) is not None:
            return None
    return _record_of_shape(template)


def unknown_version(template: Object) -> int | None:
    """Return the version of a record that this release cannot read, or None. The template must show an injection."""
    text = map_of(template, "annotations").get(ANNOTATION_INJECTED)
    version = _version(text) if isinstance(text, str) else None
    return version if version is not None and version not in READABLE and _shows_injection(template) else None


def unknown_version_warning(version: int) -> str:
    """Return the warning for a template whose record is from a later release."""
    return (
        f"metadata.annotations[{ANNOTATION_INJECTED}]: another version of the operator made this injection "
        f"(record version {version}; this operator reads {', '.join(map(str, READABLE))}), so it stays unchanged; "
        "upgrade the operator to change it"
    )


def _version(text: str) -> int | None:
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    version = parsed.get("version") if isinstance(parsed, dict) else None
    return version if isinstance(version, int) and not isinstance(version, bool) else None


def is_our_container(container: Any) -> bool:
    """Whether ``container`` can be an injected one: it has such a name and mounts the socket's volume."""
    return name_of(container) in (SIDECAR, HOLDER) and any(
        name_of(m) == SOCKET_VOLUME for m in list_of(container, "volumeMounts")
    )


def is_our_volume(volume: Object) -> bool:
    """Whether ``volume`` can be an injected one, by its name and kind."""
    if name_of(volume) == SOCKET_VOLUME:
        return "emptyDir" in volume
    if name_of(volume) == RABBITMQ_VOLUME:
        return "projected" in volume
    if is_extra(name_of(volume)):
        return True
    return bool(name_of(volume) == RUNTIME_VOLUME and name_of(volume.get("configMap")) == RUNTIME_CONFIGMAP)


def is_injected_sidecar(container: Any) -> bool:
    """Whether ``container`` is certainly an injected sidecar: it has all parts that nobody writes by hand."""
    return (
        name_of(container) == SIDECAR
        and is_our_container(container)
        and any(name_of(port) == METRICS_PORT for port in list_of(container, "ports"))
        and any(name_of(entry) == "ASYA_ACTOR_NAME" for entry in list_of(container, "env"))
    )


def _shows_injection(template: Object) -> bool:
    """Whether the template has the sidecar or its socket. A record alone proves nothing: any user can copy one."""
    spec = template.get("spec")
    return any(name_of(v) == SOCKET_VOLUME and is_our_volume(v) for v in list_of(spec, "volumes")) or any(
        is_our_container(c) for place in ("containers", "initContainers") for c in list_of(spec, place)
    )


def _record_of_shape(template: Object) -> Record | None:
    """Return a record that is derived from the injected parts of a template without the annotation, or None."""
    spec = template.get("spec")
    containers, init = list_of(spec, "containers"), list_of(spec, "initContainers")
    native = any(is_injected_sidecar(c) for c in init)
    if not native and not any(is_injected_sidecar(c) for c in containers):
        return None
    users = [c for c in containers if not is_our_container(c)]
    runtime = next((c for c in users if _mounts_script(c)), None)
    if runtime is None:
        return None
    names = {name_of(entry) for entry in list_of(runtime, "env")}
    sidecar: Object = next((c for c in (*init, *containers) if is_injected_sidecar(c)), {})
    extra = [name for m in list_of(sidecar, "volumeMounts") if is_extra(name := name_of(m))]
    paths = {m.get("mountPath"): name_of(m) for m in list_of(runtime, "volumeMounts") if isinstance(m, dict)}
    return Record(
        version=CONTRACT,
        actor=str(map_of(template, "labels").get(LABEL_ACTOR, "")),
        digest="",
        runtime=str(name_of(runtime) or RUNTIME),
        native=native,
        holder=any(name_of(c) == HOLDER and is_our_container(c) for c in init),
        volumes=[name for name in (*OUR_VOLUMES, *extra) if any(name_of(v) == name for v in list_of(spec, "volumes"))],
        mounts=[path for path, name in paths.items() if isinstance(path, str) and name in OUR_VOLUMES],
        env=[name for name in SOCKET_ENV if name in names],
        env_set={name: value for name in SCRIPT_ENV if (value := value_of(runtime, name)) is not None},
        probes=[kind for kind in OUR_PROBES if is_our_probe(runtime.get(kind))],
        command=runtime.get("command") == COMMAND and value_of(runtime, "ASYA_HANDLER") is not None,
        created=["command", "volumes", "volumeMounts", "env", "initContainers", *OUR_PROBES],
    )


def _mounts_script(container: Any) -> bool:
    return any(name_of(m) == RUNTIME_VOLUME for m in list_of(container, "volumeMounts"))


def is_our_probe(probe: Any) -> bool:
    """Whether ``probe`` queries the runtime script."""
    return isinstance(probe, dict) and bool(our_handlers(probe))


def our_handlers(probe: Object) -> list[str]:
    """Return the handlers in ``probe`` that injection added. Another writer may have merged a handler of its own."""
    request, command = probe.get("httpGet"), probe.get("exec")
    handlers = ["httpGet"] if isinstance(request, dict) and request.get("path") == "/ready" else []
    return handlers + (["exec"] if list_of(command, "command") == [*COMMAND, "ready"] else [])
