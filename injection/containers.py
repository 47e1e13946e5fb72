"""The containers that injection adds: the sidecar, and the one that holds the socket while the runtime is away."""

from typing import Any, Final

from crds.names import HOLDER, SIDECAR
from injection.access import Object, list_of, name_of
from injection.plan import Plan
from injection.record import COMMAND
from injection.runtime import Denied, Situation
from injection.settings import RESTRICTED

HOLDER_RESOURCES: Final[Object] = {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}}
CARRIED: Final = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "ASYA_SOCKET_CHMOD")
"""Variables of the runtime container that the holder needs too: to find its interpreter, and to make the socket."""
_RUN_AS: Final = ("runAsUser", "runAsGroup", "runAsNonRoot")


def sidecar_container(spec: Object, runtime: Object, plan: Plan, situation: Situation) -> Object:
    """The sidecar for a pod's ``spec``: the same user as the runtime, so that both may use the socket."""
    theirs = runtime.get("securityContext") or {}
    run_as = {key: theirs[key] for key in _RUN_AS if key in theirs}
    pods = spec.get("securityContext") or {}
    merged = {**pods, **{key: value for key, value in run_as.items() if value is not None}}
    if merged.get("runAsNonRoot") and merged.get("runAsUser") is None:
        # The image's user has a name and no number, and the kubelet cannot tell that it is not root.
        run_as["runAsUser"] = plan.run_as_user
    ours = plan.sidecar["securityContext"]
    followed = {key: value for key, value in run_as.items() if key not in ours}  # what the operator sets wins
    sidecar = {**plan.sidecar, "securityContext": {**ours, **followed}}
    if situation.holder:
        sidecar["env"] = plan.patient_env
    if situation.native:
        return {**sidecar, "restartPolicy": "Always"}
    if situation.port is not None:
        # Released sidecars end at once when they are told to, and the message in hand would be done twice.
        drain = {"httpGet": {"path": "/drain", "port": situation.port, "scheme": "HTTP"}}
        sidecar["lifecycle"] = {"preStop": drain}
    return sidecar


def holder_container(runtime: Object, plan: Plan) -> Object:
    """The socket's holder: the runtime's image and user, and the same script with another argument."""
    theirs = runtime.get("securityContext") or {}
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
        "securityContext": {**RESTRICTED, **{key: theirs[key] for key in _RUN_AS if key in theirs}},
    }


def deny_taken_names(spec: Object, *, holder: bool) -> None:
    """Refuse a template whose own containers have the names of ours.

    Raises:
        Denied: if there is one.
    """
    for place in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(place) or ():
            name = name_of(container)
            if name == SIDECAR or (holder and name == HOLDER):
                raise Denied(
                    f"spec.{place}: a container is named {name!r} already, which is the injected one's name; rename it"
                )
