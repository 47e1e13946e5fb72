"""Refuses templates whose pods could not run with the injected parts. Each message names the field and the remedy.

The API server or the kubelet would refuse such a pod later, with a message that does not mention the sidecar.
"""

from decimal import Decimal
from typing import Any

from crds.names import RUNTIME_PATH
from injection.access import linked_path, mount_path, name_of
from injection.inject import NO_WINDOWS, Denied, read_record
from injection.plan import Plan
from injection.runtime import runtime_index
from kube.objects import Object
from kube.quantity import parse_quantity

_SOCKET_FILES = ("asya-runtime.sock", "runtime-ready")
"""Files that the runtime creates in the socket's directory, independent of the socket's name."""
_OTHER_SOCKET = ", or set spec.socket.path of the AsyncActor to another directory"


def refuse(template: Object, plan: Plan) -> None:
    """Refuse a template that could not run with the parts of ``plan``.

    Raises:
        Denied: the template could not run.
    """
    spec = template.get("spec") or {}
    if field := _windows(spec):
        raise Denied(f"{field}: {NO_WINDOWS}")
    _refuse_small_pod(spec, plan)


def refuse_mounts(template: Object, plan: Plan) -> None:
    """Refuse the user's mount if it covers a parent of an injected mount, or a file in the socket's directory.

    ``/var/run`` and ``/run`` count as the same path, because on most images one is a link to the other. The injected
    volume may be mounted at both; any other volume at either path is refused.

    An injected mount below such a parent needs a directory there. The container runtime cannot create it in a
    read-only volume, and leaves it behind in any other volume.

    Raises:
        Denied: there is such a mount.
    """
    try:
        index = runtime_index(template, read_record(template))
    except Denied:
        return  # injection refuses the template with a better message
    runtime = template["spec"]["containers"][index]
    names_by_path = {mount["mountPath"]: mount["name"] for mount in plan.mounts}
    env = {entry["name"]: str(entry["value"]) for entry in (*plan.env, plan.holder_env)}
    directory = env["ASYA_SOCKET_DIR"]
    files = [env["ASYA_SOCKET_PATH"], env["ASYA_SOCKET_HOLDER"], *(f"{directory}/{name}" for name in _SOCKET_FILES)]
    for i, mount in enumerate(_list(runtime.get("volumeMounts"))):
        path = mount_path(mount)
        if path is None:
            continue
        at = f"spec.containers[{index}].volumeMounts[{i}].mountPath: {mount['mountPath']}"
        child = next((our for our in names_by_path if _is_parent(path, our)), None)
        if child is not None:
            raise Denied(
                f"{at} is a parent of {child}{_link_note(path, child)}, where injection mounts its own volume; "
                f"mount {name_of(mount)!r} elsewhere or deeper{_OTHER_SOCKET if child == directory else ''}"
            )
        resolved = linked_path(path)
        twin = next((our for our in names_by_path if path != our and resolved == linked_path(our)), None)
        if twin is not None and name_of(mount) != names_by_path[twin]:
            raise Denied(
                f"{at} is the same path as {twin}{_link_note(path, twin)}, where injection mounts its own volume; "
                f"mount {name_of(mount)!r} elsewhere{_OTHER_SOCKET if twin == directory else ''}"
            )
        file = next((f for f in (*files, RUNTIME_PATH) if f"{resolved}/".startswith(linked_path(f) + "/")), None)
        if file is not None and path != RUNTIME_PATH:
            raise Denied(
                f"{at} hides {file}{_link_note(path, file)}, which sidecar and runtime need; "
                f"mount {name_of(mount)!r} elsewhere"
            )


def _is_parent(path: str, our: str) -> bool:
    """Whether ``path`` is a parent of ``our``, before or after the link is resolved."""
    pairs = (path, our), (linked_path(path), linked_path(our))
    return any(child.startswith(parent.rstrip("/") + "/") for parent, child in pairs)


def _link_note(path: str, our: str) -> str:
    """Return a note for the message if only the link makes the two paths the same."""
    only_by_link = not f"{our}/".startswith(path.rstrip("/") + "/") and not path.startswith(our + "/")
    return " (on most images /var/run is a link to /run)" if only_by_link else ""


def _windows(spec: Object) -> str:
    """Return the field that makes this a Windows pod, or "". Injection itself checks ``os`` and ``nodeSelector``."""
    if _map(spec.get("securityContext")).get("windowsOptions"):
        return "spec.securityContext.windowsOptions"
    for place in ("containers", "initContainers"):
        for i, container in enumerate(_list(spec.get(place))):
            if _map(_map(container).get("securityContext")).get("windowsOptions"):
                return f"spec.{place}[{i}].securityContext.windowsOptions"
    required = _map(_map(spec.get("affinity")).get("nodeAffinity")).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    terms = _list(_map(required).get("nodeSelectorTerms"))
    if terms and all(any(_wants_windows(e) for e in _list(_map(t).get("matchExpressions"))) for t in terms):
        return "spec.affinity.nodeAffinity"
    return ""


def _wants_windows(expression: Any) -> bool:
    fields = _map(expression)
    return (fields.get("key"), fields.get("operator"), fields.get("values")) == ("kubernetes.io/os", "In", ["windows"])


def _refuse_small_pod(spec: Object, plan: Plan) -> None:
    pod = _quantity(_map(_map(spec.get("resources")).get("limits")).get("memory"))
    resources = _map(plan.sidecar.get("resources"))
    for kind in ("limits", "requests"):
        sidecar = _quantity(_map(resources.get(kind)).get("memory"))
        if pod is not None and sidecar is not None and pod < sidecar:
            raise Denied(
                f"spec.resources.limits.memory: {spec['resources']['limits']['memory']} for the whole pod is less than "
                f"the sidecar's {kind}.memory of {resources[kind]['memory']}; raise it, or set spec.sidecar.resources "
                "of the AsyncActor"
            )


def _quantity(value: Any) -> Decimal | None:
    try:
        return parse_quantity(value) if isinstance(value, str | int | float) else None
    except ValueError:
        return None  # the API server refuses the quantity


def _map(value: Any) -> Object:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
