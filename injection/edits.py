"""Warns a user whose change of an injected part was reverted, and names the setting to change instead.

Without a warning, ``kubectl set image`` on the sidecar would seem to succeed. So would a patch of ``containers[0]``
that is meant for the function's container.
"""

from collections.abc import Iterator
from typing import Any, Final

from crds.names import HOLDER, SIDECAR
from injection.access import list_of, name_of
from injection.parts import parts_of
from injection.record import Record, read_record
from kube.objects import Object

_SETTINGS: Final = {
    "image": "spec.sidecar.image of the AsyncActor {actor!r}, or for all actors sidecar.image of the operator's chart",
    "imagePullPolicy": "spec.sidecar.imagePullPolicy of the AsyncActor {actor!r}",
    "resources": "spec.sidecar.resources of the AsyncActor {actor!r}, or for all actors sidecar.defaultResources of "
    "the operator's chart",
    "env": "spec.sidecar.env of the AsyncActor {actor!r}",
    "securityContext": "the securityContext of the container {runtime!r}; the sidecar runs as the same user",
}
_VARIABLES: Final = {
    "ASYA_SOCKET_DIR": "spec.socket.path of the AsyncActor {actor!r}",
    "ASYA_SOCKET_PATH": "spec.socket.path of the AsyncActor {actor!r}",
    "ASYA_SOCKET_MAX_SIZE": "spec.socket.maxSize of the AsyncActor {actor!r}",
}
_UNSETTABLE: Final = "the operator manages it; remove the label asya.io/actor to remove the sidecar"
_MAX_SHOWN: Final = 120
"""Longest value, in characters, that a warning shows."""


def revert_warnings(submitted: Object, admitted: Object, before: Object | None, path: str) -> list[str]:
    """Return a warning for each change of an injected part that ``submitted`` made and ``admitted`` reverts.

    The list is empty if the request changes the plan.

    Args:
        submitted: the template in the request.
        admitted: the template that admission returns.
        before: the stored template, or None if the request creates the object.
        path: path of the template in its object.
    """
    if before is None or submitted is admitted:
        return []
    records = read_record(submitted), read_record(admitted), read_record(before)
    record = records[1]
    if record is None or any(r is None or r.digest != record.digest for r in records):
        return []
    submitted_parts, admitted_parts, stored_parts = (
        parts_of(template, r) for template, r in zip((submitted, admitted, before), records, strict=True) if r
    )
    return list(_warnings(submitted_parts, admitted_parts, stored_parts, record, path, submitted))


def _warnings(
    submitted_parts: Object, admitted_parts: Object, stored_parts: Object, record: Record, path: str, submitted: Object
) -> Iterator[str]:
    for name, container in admitted_parts["containers"].items():
        changed, stored = submitted_parts["containers"].get(name), stored_parts["containers"].get(name)
        if stored is None:
            continue
        place = "initContainers" if record.native or name == HOLDER else "containers"
        at = f"{path}.spec.{place}[{name}]"
        if changed is None:
            yield f"{at}: the removal was reverted; {_UNSETTABLE}"
            continue
        for field in sorted({*changed, *stored}):
            if changed.get(field) != stored.get(field) and container.get(field) != changed.get(field):
                message = _describe(f"{at}.{field}", changed.get(field), container.get(field))
                yield message + _advice(name, field, record) + _hint(name, record, submitted)
    at = f"{path}.spec.containers[{record.runtime}]"
    for group in ("env", "mounts", "probes"):
        for name, part in admitted_parts[group].items():
            changed, stored = submitted_parts[group].get(name), stored_parts[group].get(name)
            if stored is not None and changed != stored and part != changed:
                field = {"env": f".env[{name}]", "mounts": f".volumeMounts[{name}]", "probes": f".{name}"}[group]
                yield _describe(at + field, changed, part) + _setting_advice(_VARIABLES.get(name, ""), record)
    command = submitted_parts["command"]
    if command != stored_parts["command"] and admitted_parts["command"] not in (None, command):
        yield _describe(f"{at}.command", command, admitted_parts["command"]) + _setting_advice("", record)


def _describe(at: str, submitted: Any, restored: Any) -> str:
    values = (submitted, restored)
    texts = [f"{value!r}" for value in values]
    if any(len(t) > _MAX_SHOWN or isinstance(v, list | dict) for t, v in zip(texts, values, strict=True)):
        return f"{at}: the change was reverted; "
    if submitted is None:
        return f"{at}: the removal was reverted, the value is {texts[1]}; "
    return f"{at}: {texts[0]} was reverted to {texts[1]}; "


def _advice(container: str, field: str, record: Record) -> str:
    if container == SIDECAR:
        return _setting_advice(_SETTINGS.get(field, ""), record)
    if field == "image":
        return _setting_advice("the image of the container {runtime!r}; this container uses the same image", record)
    return "the operator manages it; set spec.socket.activation of the AsyncActor to false to remove this container"


def _setting_advice(setting: str, record: Record) -> str:
    return f"instead, set {setting.format(actor=record.actor, runtime=record.runtime)}" if setting else _UNSETTABLE


def _hint(container: str, record: Record, submitted: Object) -> str:
    """Return the index of the function's container, for a user who patched ``containers[0]`` by mistake."""
    if container != SIDECAR or record.native:
        return ""
    names = [name_of(c) for c in list_of(submitted.get("spec"), "containers")]
    if record.runtime not in names:
        return ""
    return f" (containers[0] is the injected sidecar; the function runs in containers[{names.index(record.runtime)}])"
