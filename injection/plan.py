"""What an actor's injection consists of, made once per actor and not once per request.

A :class:`Plan` is everything that follows from the actor and the operator's settings alone. The
template's share (which container is the runtime, whom it runs as) is added in
:mod:`injection.inject`. The environment is the table of the specification's section 3: released
sidecars read one name of a row and earlier ones another, so both are set.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from crds.models import AsyncActor
from crds.names import RUNTIME_CONFIGMAP, RUNTIME_KEY, RUNTIME_PATH, RUNTIME_VOLUME, SIDECAR, SOCKET_VOLUME
from injection import rabbitmq as rabbitmq_connection
from injection.generations import queue_name, sidecar_actor_name, sidecar_image
from injection.settings import RESTRICTED, SidecarDefaults

CONTRACT = 1
"""Version of what injection does and of the record it leaves; part of every digest."""

Object = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """An actor's injection, ready to be put into a template. Its values are shared: never change them."""

    actor: str
    sidecar: Object
    """The container, but for whom it runs as."""
    volumes: tuple[Object, ...]
    mounts: tuple[Object, ...]
    """Volume mounts of the runtime container."""
    env: tuple[Object, ...]
    """Environment variables of the runtime container."""
    grace_period: int
    """Seconds: the least ``terminationGracePeriodSeconds``."""
    native_sidecars: bool
    digest: str
    """Changes exactly when any of the above does."""


def environment(actor: AsyncActor, defaults: SidecarDefaults) -> list[Object]:
    """The sidecar's environment, in order; ``spec.sidecar.env`` is last and wins over a name above."""
    spec = actor.spec
    env: list[Object] = []

    def value(name: str, text: object) -> None:
        env.append({"name": name, "value": str(text)})

    value("ASYA_ACTOR_NAME", sidecar_actor_name(actor, defaults))
    value("ASYA_NAMESPACE", actor.metadata.namespace)
    value("ASYA_QUEUE_NAME", queue_name(actor, defaults))
    value("ASYA_TRANSPORT", spec.transport.type)
    value("ASYA_SOCKET_DIR", spec.socket.directory)
    value("ASYA_SOCKET_PATH", spec.socket.path)
    value("ASYA_METRICS_ADDR", f":{defaults.metrics_port}")
    value("ASYA_RUNTIME_TIMEOUT", f"{spec.timeout.processing}s")
    rabbitmq, sqs = spec.transport.rabbitmq, spec.transport.sqs
    if rabbitmq is not None:
        env += rabbitmq_connection.variables(rabbitmq)
    if sqs is not None:
        value("ASYA_AWS_REGION", sqs.region)
        value("AWS_REGION", sqs.region)
        if sqs.endpoint is not None:
            value("ASYA_SQS_ENDPOINT", sqs.endpoint)
        value("ASYA_SQS_VISIBILITY_TIMEOUT", sqs.visibility_timeout)
        value("ASYA_SQS_WAIT_TIME_SECONDS", sqs.wait_time_seconds)
        value("QUEUE_BASE_URL", sqs.queue_base_url)
    value("ASYA_LOG_LEVEL", defaults.log_level)
    if defaults.gateway_url:
        value("ASYA_GATEWAY_URL", defaults.gateway_url)
    overrides = {entry["name"]: entry for entry in spec.sidecar.env or ()}
    return [entry for entry in env if entry["name"] not in overrides] + list(overrides.values())


def script_hash(script: str) -> str:
    """What stands for a runtime script in a plan's digest."""
    return hashlib.sha256(script.encode()).hexdigest()[:16]


def make_plan(actor: AsyncActor, defaults: SidecarDefaults, script: str = "") -> Plan:
    """The plan for ``actor``. Pure.

    ``script`` is the :func:`script_hash` of the runtime script; another one makes another digest,
    and so new pods, unless that is switched off.
    """
    spec = actor.spec
    socket_mount = {"name": SOCKET_VOLUME, "mountPath": spec.socket.directory}
    runtime_mount = {
        "name": RUNTIME_VOLUME,
        "mountPath": RUNTIME_PATH,
        "subPath": RUNTIME_KEY,
        "readOnly": True,
    }
    resources = spec.sidecar.resources if spec.sidecar.resources is not None else dict(defaults.resources)
    sidecar: Object = {
        "name": SIDECAR,
        "image": sidecar_image(actor, defaults),
        "imagePullPolicy": spec.sidecar.image_pull_policy or defaults.image_pull_policy,
        "env": environment(actor, defaults),
        "ports": [{"name": "asya-metrics", "containerPort": defaults.metrics_port, "protocol": "TCP"}],
        **({"resources": resources} if resources else {}),
        "volumeMounts": [socket_mount, *rabbitmq_connection.mounts(spec.transport.rabbitmq)],
        "securityContext": RESTRICTED,
    }
    volumes: tuple[Object, ...] = (
        {"name": SOCKET_VOLUME, "emptyDir": {}},
        {"name": RUNTIME_VOLUME, "configMap": {"name": RUNTIME_CONFIGMAP, "defaultMode": 0o555}},
        *rabbitmq_connection.volumes(spec.transport.rabbitmq),
    )
    env = (
        {"name": "ASYA_SOCKET_DIR", "value": spec.socket.directory},
        {"name": "ASYA_SOCKET_PATH", "value": spec.socket.path},
        {"name": "ASYA_SOCKET_MAX_SIZE", "value": spec.socket.max_size},
    )
    rolled = script if defaults.runtime_rollout else ""
    inputs = (CONTRACT, actor.metadata.name, sidecar, volumes, env, spec.timeout.grace_period, rolled)
    return Plan(
        actor=actor.metadata.name,
        sidecar=sidecar,
        volumes=volumes,
        mounts=(socket_mount, runtime_mount),
        env=env,
        grace_period=spec.timeout.grace_period,
        native_sidecars=defaults.native_sidecars,
        digest=hashlib.sha256(orjson.dumps(inputs, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16],
    )
