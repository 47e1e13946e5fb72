"""What to tell whoever changes an injected part: that it was put back, and where such a change belongs.

Without a word, ``kubectl set image`` on the sidecar, or a patch of ``containers[0]`` that meant the function's
container, would seem to have worked.
"""

from collections.abc import Iterator
from typing import Any, Final

from crds.names import HOLDER, SIDECAR
from injection.access import Object, list_of, name_of
from injection.parts import parts_of
from injection.record import Record, read_record

_SETTINGS: Final = {
    "image": "spec.sidecar.image of the AsyncActor {actor!r}, or for all actors sidecar.image of the operator's chart",
    "imagePullPolicy": "spec.sidecar.imagePullPolicy of the AsyncActor {actor!r}",
    "resources": "spec.sidecar.resources of the AsyncActor {actor!r}, or for all actors sidecar.defaultResources of "
    "the operator's chart",
    "env": "spec.sidecar.env of the AsyncActor {actor!r}",
    "securityContext": "the securityContext of the container {runtime!r}, whose user the sidecar follows",
}
_VARIABLES: Final = {
    "ASYA_SOCKET_DIR": "spec.socket.path of the AsyncActor {actor!r}",
    "ASYA_SOCKET_PATH": "spec.socket.path of the AsyncActor {actor!r}",
    "ASYA_SOCKET_MAX_SIZE": "spec.socket.maxSize of the AsyncActor {actor!r}",
}
_UNSETTABLE: Final = "it is the operator's; take the label asya.io/actor off to be without the sidecar"
_SHOWN: Final = 120
"""Characters of a value that a warning shows."""


def revert_warnings(submitted: Object, result: Object, before: Object | None, path: str) -> list[str]:
    """Warnings about changes that ``submitted`` made to our parts of ``before`` and that ``result`` does not have.

    ``path`` is where the template is in its object. There are none where the injection itself changed.
    """
    if before is None or submitted is result:
        return []
    records = read_record(submitted), read_record(result), read_record(before)
    record = records[1]
    if record is None or any(r is None or r.digest != record.digest for r in records):
        return []
    theirs, ours, stored = (
        parts_of(template, r) for template, r in zip((submitted, result, before), records, strict=True) if r
    )
    return list(_warnings(theirs, ours, stored, record, path, submitted))


def _warnings(
    theirs: Object, ours: Object, stored: Object, record: Record, path: str, submitted: Object
) -> Iterator[str]:
    for name, container in ours["containers"].items():
        changed, was = theirs["containers"].get(name), stored["containers"].get(name)
        if was is None:
            continue
        place = "initContainers" if record.native or name == HOLDER else "containers"
        at = f"{path}.spec.{place}[{name}]"
        if changed is None:
            yield f"{at}: was put back, since {_UNSETTABLE}"
            continue
        for field in sorted({*changed, *was}):
            if changed.get(field) != was.get(field) and container.get(field) != changed.get(field):
                message = _describe(f"{at}.{field}", changed.get(field), container.get(field))
                yield message + _where(name, field, record) + _hint(name, record, submitted)
    at = f"{path}.spec.containers[{record.runtime}]"
    for group in ("env", "mounts", "probes"):
        for name, part in ours[group].items():
            changed, was = theirs[group].get(name), stored[group].get(name)
            if was is not None and changed != was and part != changed:
                field = {"env": f".env[{name}]", "mounts": f".volumeMounts[{name}]", "probes": f".{name}"}[group]
                yield _describe(at + field, changed, part) + _set(_VARIABLES.get(name, ""), record)
    if theirs["command"] != stored["command"] and ours["command"] not in (None, theirs["command"]):
        yield _describe(f"{at}.command", theirs["command"], ours["command"]) + _set("", record)


def _describe(at: str, value: Any, kept: Any) -> str:
    shown = [f"{value!r}" for value in (value, kept)]
    if any(len(text) > _SHOWN or isinstance(v, list | dict) for text, v in zip(shown, (value, kept), strict=True)):
        return f"{at}: the change was put back; "
    if value is None:
        return f"{at}: its removal was put back to {shown[1]}; "
    return f"{at}: {shown[0]} was put back to {shown[1]}; "


def _where(container: str, field: str, record: Record) -> str:
    if container == SIDECAR:
        return _set(_SETTINGS.get(field, ""), record)
    if field == "image":
        return _set("the image of the container {runtime!r}, which this one follows", record)
    return "it is the operator's; set spec.socket.activation of the AsyncActor to false to be without this container"


def _set(where: str, record: Record) -> str:
    return f"set {where.format(actor=record.actor, runtime=record.runtime)} instead" if where else _UNSETTABLE


def _hint(container: str, record: Record, submitted: Object) -> str:
    """Which container a patch by place may have meant."""
    if container != SIDECAR or record.native:
        return ""
    names = [name_of(c) for c in list_of(submitted.get("spec"), "containers")]
    if record.runtime not in names:
        return ""
    return f" (containers[0] is the injected sidecar; the function's is containers[{names.index(record.runtime)}])"
