"""What an actor's injection consists of, made once per actor and not once per request.

A :class:`Plan` is everything that follows from the actor and the operator's settings alone. The
template's share (which container is the runtime, whom it runs as) is added in :mod:`injection.inject`.
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

CONTRACT: Final = 2
"""Version of what injection does and of the record it leaves; part of every digest."""

HOLDER_SOCKET: Final = "asya-holder.sock"
"""Beside the actor's socket: where each runtime that starts is handed that one."""

Object = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """An actor's injection, ready to be put into a template. Its values are shared: never change them."""

    actor: str
    sidecar: Object
    """The container, but for whom it runs as and how it stops."""
    patient_env: list[Object]
    """The sidecar's environment where a holder keeps its connection while the runtime is away."""
    volumes: tuple[Object, ...]
    mounts: tuple[Object, ...]
    """Volume mounts of the runtime container."""
    env: tuple[Object, ...]
    """Environment variables of the runtime container, which replace the user's."""
    holder_env: Object
    """The one that is there with a socket holder."""
    timeout_env: Object
    port_env: Object
    job_env: tuple[Object, ...]
    """Those of the runtime script, which leave the user's be: for all, where it has a port, in a Job."""
    scaled_job_env: tuple[Object, ...]
    """In a Job that KEDA starts."""
    port: int
    """Port of the runtime script."""
    grace_period: int
    """Seconds: the least ``terminationGracePeriodSeconds``."""
    native_sidecars: bool
    holder: bool
    """Whether a container of its own holds the socket, where the runtime script runs."""
    run_as_user: int
    """User of a sidecar that must not be root and whose pod says no number."""
    pull_secrets: tuple[str, ...]
    """Names of pull secrets that the pod gets."""
    digest: str
    """Changes exactly when any of the above does."""


@lru_cache(maxsize=4)  # asked for in each reconcile, of the same script
def script_hash(script: str) -> str:
    """What stands for a runtime script in a plan's digest."""
    return hashlib.sha256(script.encode()).hexdigest()[:16]


def make_plan(actor: AsyncActor, defaults: SidecarDefaults, script: str = "") -> Plan:
    """The plan for ``actor``. Pure.

    ``script`` is the :func:`script_hash` of the runtime script; another one makes another digest,
    and so new pods, unless that is switched off.

    Raises:
        InvalidActor: if the actor asks for what its sidecar cannot do.
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
    rolled = script if defaults.runtime_rollout else ""
    # Only Jobs read this, and which ones they are does not change with scaling.
    counted = {name: part for name, part in parts.items() if name != "pull_secrets" or part}
    inputs = (CONTRACT, {**counted, "job_env": job}, rolled)
    digest = hashlib.sha256(orjson.dumps(inputs, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    return Plan(**parts, digest=digest)


def _check(actor: AsyncActor, defaults: SidecarDefaults) -> None:
    kind = generation(actor, defaults)
    if actor.spec.resiliency is not None and kind != "http":
        raise InvalidActor(
            [
                f"spec.resiliency: the actor's sidecar ({sidecar_image(actor, defaults)}) is of the generation "
                f"{kind!r}, which knows no retries or error routes; use an image of 0.5.1 or newer, set "
                "spec.sidecar.generation if its tag misleads, or leave spec.resiliency out"
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
        # Its last words are then in the pod's status, from which the actor's status tells what the broker refused.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _metrics_port(actor: AsyncActor, defaults: SidecarDefaults) -> int | None:
    """The port on which the sidecar tells its health; None where its own environment leaves that open."""
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
    counted = () if messages is None else (_variable("ASYA_JOB_MESSAGES", str(messages)),)
    return (*counted, _variable("ASYA_JOB_IDLE_SECONDS", str(job.idle_seconds)))


def _variable(name: str, value: str) -> Object:
    return {"name": name, "value": value}
