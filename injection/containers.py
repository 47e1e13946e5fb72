"""Builds the containers that injection adds.

These are the sidecar, and the holder, which keeps the socket open while the runtime restarts.
"""

from typing import Any, Final

from crds.names import HOLDER, SIDECAR
from injection.access import list_of, name_of
from injection.plan import Plan
from injection.record import COMMAND
from injection.runtime import Denied, Situation
from injection.settings import RESTRICTED
from kube.objects import Object

HOLDER_RESOURCES: Final[Object] = {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}}
CARRIED: Final = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "ASYA_SOCKET_CHMOD")
"""Variables of the runtime container that the holder also needs, to find the interpreter and to create the socket."""
_RUN_AS: Final = ("runAsUser", "runAsGroup", "runAsNonRoot")


def sidecar_container(spec: Object, runtime: Object, plan: Plan, situation: Situation) -> Object:
    """Return the sidecar for a pod's ``spec``. It runs as the runtime's user, so that both can use the socket."""
    runtime_context = runtime.get("securityContext") or {}
    run_as = {key: runtime_context[key] for key in _RUN_AS if key in runtime_context}
    pod_context = spec.get("securityContext") or {}
    merged = {**pod_context, **{key: value for key, value in run_as.items() if value is not None}}
    if merged.get("runAsNonRoot") and merged.get("runAsUser") is None:
        # The image's user has a name but no number, so the kubelet cannot verify that it is not root.
        run_as["runAsUser"] = plan.run_as_user
    plan_context = plan.sidecar["securityContext"]
    # The operator's settings have precedence over the runtime's.
    copied = {key: value for key, value in run_as.items() if key not in plan_context}
    sidecar = {**plan.sidecar, "securityContext": {**plan_context, **copied}}
    if situation.holder:
        sidecar["env"] = plan.patient_env
    if situation.native:
        return {**sidecar, "restartPolicy": "Always"}
    if situation.port is not None:
        # Released sidecars exit at once on SIGTERM. Without this hook, the message in process would run twice.
        drain = {"httpGet": {"path": "/drain", "port": situation.port, "scheme": "HTTP"}}
        sidecar["lifecycle"] = {"preStop": drain}
    return sidecar


def holder_container(runtime: Object, plan: Plan) -> Object:
    """Return the holder of the socket. It has the runtime's image and user, and runs the same script with ``hold``."""
    runtime_context = runtime.get("securityContext") or {}
    carried = [entry for entry in list_of(runtime, "env") if name_of(entry) in CARRIED]
    holder: dict[str, Any] = {"name": HOLDER}
    for key in ("image", "imagePullPolicy"):
        if runtime.get(key) is not None:
            holder[key] = runtime[key]
    return {
        **holder,
        "restartPolicy": "Always",
        "command": [*COMMAND, "hold"],
        "env": [*plan.env, plan.holder_env, *carried],
        "resources": HOLDER_RESOURCES,
        "volumeMounts": list(plan.mounts),
        "securityContext": {**RESTRICTED, **{key: runtime_context[key] for key in _RUN_AS if key in runtime_context}},
    }


def deny_taken_names(spec: Object, *, holder: bool) -> None:
    """Refuse a template in which a container of the user has the name of an injected container.

    Raises:
        Denied: there is such a container.
    """
    for place in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(place) or ():
            name = name_of(container)
            if name == SIDECAR or (holder and name == HOLDER):
                raise Denied(
                    f"spec.{place}: a container is named {name!r}, but injection uses this name; rename the container"
                )
