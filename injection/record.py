"""What injection remembers of a template: the annotation ``asya.io/injected``, in every form that was released.

It is read as untrusted input, since anyone may write an annotation: a forged one can name nothing for removal
but what injection itself could have added. A template that holds our parts without the annotation, such as one
whose annotations a tool has dropped, is recognised by the shape of those parts. A record of a later release is
nobody's to undo here: what it describes is left in place.
"""

from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

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
from injection.access import Object, list_of, map_of, name_of, value_of
from injection.extras import is_extra
from injection.plan import CONTRACT

READABLE: Final = (1, CONTRACT)
"""Versions of the record that this release understands: the present one and those before it."""

COMMAND: Final = ["python3", RUNTIME_PATH]
OUR_VOLUMES: Final = (SOCKET_VOLUME, RUNTIME_VOLUME, RABBITMQ_VOLUME)
OUR_PROBES: Final = ("startupProbe", "readinessProbe")
SOCKET_ENV: Final = ("ASYA_SOCKET_DIR", "ASYA_SOCKET_PATH", "ASYA_SOCKET_MAX_SIZE", "ASYA_SOCKET_HOLDER")
"""Variables of the runtime container where both sides must have the same, so that ours replace the user's."""
SCRIPT_ENV: Final = ("ASYA_RUNTIME_TIMEOUT", "ASYA_RUNTIME_PORT", "ASYA_JOB_MESSAGES", "ASYA_JOB_IDLE_SECONDS")
"""Variables of the runtime container where the user's own win."""


class Record(BaseModel):
    """What the annotation ``asya.io/injected`` remembers."""

    model_config = ConfigDict(strict=True, extra="ignore")

    version: int = CONTRACT
    actor: str
    digest: str
    runtime: str
    native: bool = False
    holder: bool = False
    """Whether a container of its own holds the socket."""
    label: bool = False
    """Whether the template's label is ours."""
    label_was: str | None = None
    grace: int | None = None
    """The ``terminationGracePeriodSeconds`` that we set, if we did."""
    grace_was: int | None = None
    command: bool = False
    volumes: list[str] = []
    pull_secrets: list[str] = []
    mounts: list[str] = []
    env: list[str] = []
    env_was: dict[str, Object] = {}
    env_set: dict[str, str] = {}
    """Variables that leave the user's be, with the values that we gave them: one of another value is the user's."""
    probes: list[str] = []
    default_container: bool = False
    """Whether the annotation that names kubectl's default container is ours."""
    created: list[str] = []
    """Lists and maps that did not exist before, to be removed again once they are empty."""

    def annotation(self) -> str:
        """The record as the annotation's value: compact JSON without what is at its default."""
        return orjson.dumps(self.model_dump(exclude_defaults=True) | {"version": self.version}).decode()

    def covers(self, other: "Record") -> bool:
        """Whether both describe the same injection of the same plan, whatever the template was before."""
        return self._essence() == other._essence()

    def _essence(self) -> tuple[Any, ...]:
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
    """The record on ``template``, or what its shape tells; None if it is not injected, or by a later release."""
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
    """The version of a record that this release cannot read, on a template that is injected by it."""
    text = map_of(template, "annotations").get(ANNOTATION_INJECTED)
    version = _version(text) if isinstance(text, str) else None
    return version if version is not None and version not in READABLE and _shows_injection(template) else None


def unknown_version_warning(version: int) -> str:
    """What to tell whoever meets a record of a later release."""
    return (
        f"metadata.annotations[{ANNOTATION_INJECTED}]: the injection was made by another version of the operator "
        f"(record {version}; this one reads {', '.join(map(str, READABLE))}), so it is left as it is; "
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
    """Whether it can be an injected container, by its name and by the socket that it shares."""
    return name_of(container) in (SIDECAR, HOLDER) and any(
        name_of(m) == SOCKET_VOLUME for m in list_of(container, "volumeMounts")
    )


def is_our_volume(volume: Object) -> bool:
    """Whether it can be an injected volume, by its name and kind."""
    if name_of(volume) == SOCKET_VOLUME:
        return "emptyDir" in volume
    if name_of(volume) == RABBITMQ_VOLUME:
        return "projected" in volume
    if is_extra(name_of(volume)):
        return True
    return bool(name_of(volume) == RUNTIME_VOLUME and name_of(volume.get("configMap")) == RUNTIME_CONFIGMAP)


def is_injected_sidecar(container: Any) -> bool:
    """Whether it is an injected sidecar beyond doubt: what no one writes by hand is all there."""
    return (
        name_of(container) == SIDECAR
        and is_our_container(container)
        and any(name_of(port) == METRICS_PORT for port in list_of(container, "ports"))
        and any(name_of(entry) == "ASYA_ACTOR_NAME" for entry in list_of(container, "env"))
    )


def _shows_injection(template: Object) -> bool:
    """Whether the sidecar or its socket is there. A record alone proves nothing: anyone can write or copy it."""
    spec = template.get("spec")
    return any(name_of(v) == SOCKET_VOLUME and is_our_volume(v) for v in list_of(spec, "volumes")) or any(
        is_our_container(c) for place in ("containers", "initContainers") for c in list_of(spec, place)
    )


def _record_of_shape(template: Object) -> Record | None:
    """A record of what is in a template that has our parts and no annotation."""
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
    """Whether it asks the runtime script."""
    return isinstance(probe, dict) and bool(our_handlers(probe))


def our_handlers(probe: Object) -> list[str]:
    """Which ways to ask in ``probe`` are ours: another writer's may stand beside it, until ours goes."""
    request, command = probe.get("httpGet"), probe.get("exec")
    handlers = ["httpGet"] if isinstance(request, dict) and request.get("path") == "/ready" else []
    return handlers + (["exec"] if list_of(command, "command") == [*COMMAND, "ready"] else [])
