"""Templates that admission refuses because no pod of theirs could run, each with the field and the remedy.

The API server or the kubelet would refuse such a pod too, but later, and by a message that says nothing of the sidecar.
"""

from decimal import Decimal
from typing import Any

from crds.names import RUNTIME_PATH
from injection.access import linked_path, mount_path, name_of
from injection.inject import Denied, read_record
from injection.plan import Object, Plan
from injection.runtime import runtime_index
from kube.quantity import parse_quantity

_SOCKET_FILES = ("asya-runtime.sock", "runtime-ready")
"""Files that the runtime makes in the socket's directory, whatever the socket's own name is."""
_OTHER_SOCKET = ", or set spec.socket.path of the AsyncActor to another directory"
_REMEDY = "take the label asya.io/actor off, or move the workload to Linux nodes"


def refuse(template: Object, plan: Plan) -> None:
    """Refuse a template that could not run with ``plan`` in it.

    Raises:
        Denied: with the field, what was found and what to do.
    """
    spec = template.get("spec") or {}
    if field := _windows(spec):
        raise Denied(f"{field}: the sidecar runs on Linux and cannot join a Windows pod; {_REMEDY}")
    _refuse_small_pod(spec, plan)


def refuse_mounts(template: Object, plan: Plan) -> None:
    """Refuse a mount of the runtime container over a parent of one of ours, or on a file in the socket's directory.

    ``/var/run`` and ``/run`` are one place, since on most images one is a link to the other. Where they are two,
    our own volume at both does no harm; another one in our place is refused.

    Our mount inside such a parent needs a directory there, which the container runtime cannot make in a read-only
    volume; in any other it leaves one behind.

    Raises:
        Denied: with the field, what was found and what to do.
    """
    try:
        index = runtime_index(template, read_record(template))
    except Denied:
        return  # which injection itself says better
    runtime = template["spec"]["containers"][index]
    ours = {mount["mountPath"]: mount["name"] for mount in plan.mounts}
    env = {entry["name"]: str(entry["value"]) for entry in (*plan.env, plan.holder_env)}
    directory = env["ASYA_SOCKET_DIR"]
    files = [env["ASYA_SOCKET_PATH"], env["ASYA_SOCKET_HOLDER"], *(f"{directory}/{name}" for name in _SOCKET_FILES)]
    for i, mount in enumerate(_list(runtime.get("volumeMounts"))):
        path = mount_path(mount)
        if path is None:
            continue
        at = f"spec.containers[{index}].volumeMounts[{i}].mountPath: {mount['mountPath']}"
        inside = next((our for our in ours if _leads_to(path, our)), None)
        if inside is not None:
            raise Denied(
                f"{at} holds {inside}{_link(path, inside)}, where injection mounts its own volume; "
                f"mount {name_of(mount)!r} elsewhere or deeper{_OTHER_SOCKET if inside == directory else ''}"
            )
        place = linked_path(path)
        taken = next((our for our in ours if path != our and place == linked_path(our)), None)
        if taken is not None and name_of(mount) != ours[taken]:
            raise Denied(
                f"{at} is {taken}{_link(path, taken)}, where injection mounts its own volume; mount "
                f"{name_of(mount)!r} elsewhere{_OTHER_SOCKET if taken == directory else ''}"
            )
        file = next((f for f in (*files, RUNTIME_PATH) if f"{place}/".startswith(linked_path(f) + "/")), None)
        if file is not None and path != RUNTIME_PATH:
            raise Denied(
                f"{at} hides {file}{_link(path, file)}, which is the sidecar's and the runtime's; "
                f"mount {name_of(mount)!r} elsewhere"
            )


def _leads_to(path: str, our: str) -> bool:
    """Whether ``path`` is above ``our``, by their names or where they lead."""
    pairs = (path, our), (linked_path(path), linked_path(our))
    return any(below.startswith(above.rstrip("/") + "/") for above, below in pairs)


def _link(path: str, our: str) -> str:
    """What to add where two paths are one place only by the link."""
    apart = not f"{our}/".startswith(path.rstrip("/") + "/") and not path.startswith(our + "/")
    return " (on most images /var/run is a link to /run)" if apart else ""


def _windows(spec: Object) -> str:
    """The field that makes this a Windows pod, but for those that injection itself looks at."""
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
    expression_map = _map(expression)
    wanted = (expression_map.get("key"), expression_map.get("operator"), expression_map.get("values"))
    return wanted == ("kubernetes.io/os", "In", ["windows"])


def _refuse_small_pod(spec: Object, plan: Plan) -> None:
    pod = _quantity(_map(_map(spec.get("resources")).get("limits")).get("memory"))
    theirs = _map(plan.sidecar.get("resources"))
    for kind in ("limits", "requests"):
        sidecar = _quantity(_map(theirs.get(kind)).get("memory"))
        if pod is not None and sidecar is not None and pod < sidecar:
            raise Denied(
                f"spec.resources.limits.memory: {spec['resources']['limits']['memory']} for the whole pod is below the "
                f"sidecar's {kind}.memory of {theirs[kind]['memory']}; raise it, or set spec.sidecar.resources of the "
                "AsyncActor"
            )


def _quantity(value: Any) -> Decimal | None:
    try:
        return parse_quantity(value) if isinstance(value, str | int | float) else None
    except ValueError:
        return None  # the API server refuses it


def _map(value: Any) -> Object:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
