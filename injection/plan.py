"""Computes an actor's plan: all injected parts that depend only on the actor and the operator's settings.

Admission computes a plan once per actor, not once per request. :mod:`injection.inject` adds the parts that depend on
the template, such as the runtime container and its user.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson

from crds.models import AsyncActor, Job
from crds.names import (
    METRICS_PORT,
    RUNTIME_CONFIGMAP,
    RUNTIME_KEY,
    RUNTIME_PATH,
    RUNTIME_VOLUME,
    SIDECAR,
    SOCKET_VOLUME,
)
from crds.parse import InvalidActor
from injection import rabbitmq
from injection.environment import HOLDER_PATIENCE, environment
from injection.generations import generation, own_value, sidecar_image
from injection.settings import RESTRICTED, SidecarDefaults
from kube.objects import Object

CONTRACT: Final = 2
"""Version of the injection and of its record. It is part of every digest."""

HOLDER_SOCKET: Final = "asya-holder.sock"
"""A second socket in the directory of the actor's socket. Through it, the holder passes the actor's socket to each
runtime that starts."""


@dataclass(frozen=True)
class Plan:
    """The parts that injection adds for an actor. Templates share its values, so never change them.

    The digest includes the names of all fields up to ``pull_secrets``. To rename one would roll out every workload.
    """

    actor: str
    sidecar: Object
    """The sidecar without its user and its stop hook, which depend on the template."""
    patient_env: list[Object]
    """The sidecar's environment if a holder keeps its connection open while the runtime restarts."""
    volumes: tuple[Object, ...]
    mounts: tuple[Object, ...]
    """Volume mounts of the runtime container."""
    env: tuple[Object, ...]
    """Variables of the runtime container. They replace the user's."""
    holder_env: Object
    """An additional variable of the runtime container if there is a holder."""
    timeout_env: Object
    """A variable of the runtime script. The user's has precedence, as for the three below."""
    port_env: Object
    """Set if the script has a port."""
    job_env: tuple[Object, ...]
    """Set in a Job."""
    scaled_job_env: tuple[Object, ...]
    """Set in a Job that KEDA starts, instead of ``job_env``."""
    port: int
    """Port of the runtime script."""
    grace_period: int
    """Minimum of ``terminationGracePeriodSeconds``, in seconds."""
    native_sidecars: bool
    holder: bool
    """Whether a separate container holds the socket if the runtime script runs."""
    run_as_user: int
    """Numeric user ID of a sidecar whose pod sets ``runAsNonRoot`` without a numeric user ID."""
    pull_secrets: tuple[str, ...]
    """Names of pull secrets for the pod."""
    digest: str
    """A hash of the fields above and of the runtime script. It identifies the plan."""


@lru_cache(maxsize=4)  # each reconcile needs it, for the same script
def script_hash(script: str) -> str:
    """Return the string that represents a runtime script in a plan's digest."""
    return hashlib.sha256(script.encode()).hexdigest()[:16]


def make_plan(actor: AsyncActor, defaults: SidecarDefaults, script: str = "") -> Plan:
    """Return the plan for ``actor``. Pure.

    ``script`` is the :func:`script_hash` of the runtime script. A changed script changes the digest and causes a
    rollout, unless ``defaults.runtime_rollout`` is false.

    Raises:
        InvalidActor: the actor uses a feature that its sidecar does not support.
    """
    _check(actor, defaults)
    spec = actor.spec
    socket_mount = {"name": SOCKET_VOLUME, "mountPath": spec.socket.directory}
    runtime_mount = {
        "name": RUNTIME_VOLUME,
        "mountPath": RUNTIME_PATH,
        "subPath": RUNTIME_KEY,
        "readOnly": True,
    }
    activation = defaults.socket_activation if spec.socket.activation is None else spec.socket.activation
    job = _job_env(actor, scaled=False)
    scaled_by_us = spec.scaling.enabled and spec.workload.type == "Job"
    parts: dict[str, Any] = {
        "actor": actor.metadata.name,
        "sidecar": _sidecar(actor, defaults, socket_mount),
        "patient_env": environment(actor, defaults, patience=HOLDER_PATIENCE),
        "volumes": (
            {"name": SOCKET_VOLUME, "emptyDir": {}},
            {"name": RUNTIME_VOLUME, "configMap": {"name": RUNTIME_CONFIGMAP, "defaultMode": 0o555}},
            *rabbitmq.volumes(spec.transport.rabbitmq),
            *defaults.extras.volumes,
        ),
        "mounts": (socket_mount, runtime_mount),
        "env": (
            _variable("ASYA_SOCKET_DIR", spec.socket.directory),
            _variable("ASYA_SOCKET_PATH", spec.socket.path),
            _variable("ASYA_SOCKET_MAX_SIZE", spec.socket.max_size),
        ),
        "holder_env": _variable("ASYA_SOCKET_HOLDER", f"{spec.socket.directory}/{HOLDER_SOCKET}"),
        "timeout_env": _variable("ASYA_RUNTIME_TIMEOUT", f"{spec.timeout.processing}s"),
        "port_env": _variable("ASYA_RUNTIME_PORT", str(defaults.runtime_port)),
        "scaled_job_env": (scaled := _job_env(actor, scaled=True)),
        "job_env": scaled if scaled_by_us else job,
        "port": defaults.runtime_port,
        "grace_period": spec.timeout.grace_period,
        "native_sidecars": defaults.native_sidecars,
        "holder": defaults.native_sidecars and activation,
        "run_as_user": defaults.run_as_user,
        "pull_secrets": tuple(defaults.extras.pull_secrets),
    }
    digested_script = script if defaults.runtime_rollout else ""
    # Without pull secrets, the digest is the same as before this field existed.
    digested = {name: part for name, part in parts.items() if name != "pull_secrets" or part}
    # Only Jobs use ``job_env``. The digest contains the unscaled one, so that a change of scaling causes no rollout.
    inputs = (CONTRACT, {**digested, "job_env": job}, digested_script)
    digest = hashlib.sha256(orjson.dumps(inputs, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    return Plan(**parts, digest=digest)


def _check(actor: AsyncActor, defaults: SidecarDefaults) -> None:
    kind = generation(actor, defaults)
    if actor.spec.resiliency is not None and kind != "http":
        raise InvalidActor(
            [
                f"spec.resiliency: the actor's sidecar ({sidecar_image(actor, defaults)}) is of the generation "
                f"{kind!r}, which does not support retries and error routes; use an image of 0.5.1 or newer, set "
                "spec.sidecar.generation if its tag is misleading, or leave spec.resiliency out"
            ]
        )


def _sidecar(actor: AsyncActor, defaults: SidecarDefaults, socket_mount: Object) -> Object:
    spec = actor.spec
    resources = spec.sidecar.resources if spec.sidecar.resources is not None else dict(defaults.resources)
    port = _metrics_port(actor, defaults)
    probe = {"httpGet": {"path": "/health", "port": port, "scheme": "HTTP"}, "periodSeconds": 5, "timeoutSeconds": 3}
    return {
        "name": SIDECAR,
        "image": sidecar_image(actor, defaults),
        "imagePullPolicy": spec.sidecar.image_pull_policy or defaults.image_pull_policy,
        "env": environment(actor, defaults),
        "ports": [{"name": METRICS_PORT, "containerPort": port or defaults.metrics_port, "protocol": "TCP"}],
        **({"resources": resources} if resources else {}),
        **({"readinessProbe": probe} if port is not None else {}),
        "volumeMounts": [
            socket_mount,
            *rabbitmq.mounts(spec.transport.rabbitmq),
            *defaults.extras.volume_mounts,
        ],
        "securityContext": {**RESTRICTED, **defaults.extras.security_context},
        # The pod's status then contains the sidecar's last log lines. The actor's status reports the broker's errors
        # from them.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _metrics_port(actor: AsyncActor, defaults: SidecarDefaults) -> int | None:
    """Return the port of the sidecar's health endpoint. None if ``spec.sidecar.env`` disables, moves or hides it."""
    names = {entry["name"] for entry in actor.spec.sidecar.env or ()}
    if (own_value(actor, "ASYA_METRICS_ENABLED") or "true").lower() not in ("true", "1"):
        return None
    if "ASYA_METRICS_ADDR" not in names:
        return defaults.metrics_port
    host, _, port = (own_value(actor, "ASYA_METRICS_ADDR") or "").rpartition(":")
    reachable = host in ("", "0.0.0.0", "[::]")
    return int(port) if reachable and port.isdecimal() and 0 < int(port) < 65536 else None


def _job_env(actor: AsyncActor, *, scaled: bool) -> tuple[Object, ...]:
    job = actor.spec.workload.job or Job()
    messages = 1 if scaled and job.messages is None else job.messages
    limit = () if messages is None else (_variable("ASYA_JOB_MESSAGES", str(messages)),)
    return (*limit, _variable("ASYA_JOB_IDLE_SECONDS", str(job.idle_seconds)))


def _variable(name: str, value: str) -> Object:
    return {"name": name, "value": value}
