"""Builds the sidecar's environment, with the variables of all generations.

Each generation reads its own variable names and ignores the others, so one environment serves all generations. Only
the value of ``ASYA_ACTOR_NAME`` depends on the generation. ``docs/sidecars.md`` has a table.
"""

import orjson

from crds.models import AsyncActor
from injection import rabbitmq as rabbitmq_connection
from injection.generations import queue_name, sidecar_actor_name
from injection.settings import SidecarDefaults
from kube.objects import Object


class _Environment:
    """An ordered list of variables."""

    def __init__(self) -> None:
        self.entries: list[Object] = []

    def add(self, name: str, text: object) -> None:
        self.entries.append({"name": name, "value": str(text)})


HOLDER_PATIENCE = 360
"""Seconds that a sidecar waits beyond ``timeout.processing`` if a holder keeps its connection open.

The kubelet delays the restart of a crashing container by up to 300 s, and the function takes time to load. The message
that waits meanwhile must not time out. The runtime itself stops a function that takes too long.
"""


def environment(actor: AsyncActor, defaults: SidecarDefaults, *, patience: int = 0) -> list[Object]:
    """Return the sidecar's environment. ``spec.sidecar.env`` comes last and replaces variables of the same name.

    ``patience`` is the number of seconds that the sidecar waits for a response beyond ``timeout.processing``.
    """
    spec, env = actor.spec, _Environment()
    env.add("ASYA_ACTOR_NAME", sidecar_actor_name(actor, defaults))
    env.add("ASYA_NAMESPACE", actor.metadata.namespace)
    env.add("ASYA_QUEUE_NAME", queue_name(actor, defaults))
    env.add("ASYA_TRANSPORT", spec.transport.type)
    env.add("ASYA_SOCKET_DIR", spec.socket.directory)
    env.add("ASYA_SOCKET_PATH", spec.socket.path)
    env.add("ASYA_METRICS_ADDR", f":{defaults.metrics_port}")
    for name in ("ASYA_RUNTIME_TIMEOUT", "ASYA_RESILIENCY_ACTOR_TIMEOUT"):
        env.add(name, f"{spec.timeout.processing + patience}s")
    if spec.sidecar.end_actor:
        env.add("ASYA_IS_END_ACTOR", "true")
    _transport(env, actor)
    _resiliency(env, actor)
    env.add("ASYA_LOG_LEVEL", defaults.log_level)
    if defaults.gateway_url:
        env.add("ASYA_GATEWAY_URL", defaults.gateway_url)
    if defaults.otel_endpoint:
        env.add("OTEL_EXPORTER_OTLP_ENDPOINT", defaults.otel_endpoint)
        if defaults.otel_protocol:
            env.add("OTEL_EXPORTER_OTLP_PROTOCOL", defaults.otel_protocol)
    overrides = {entry["name"]: entry for entry in spec.sidecar.env or ()}
    return [entry for entry in env.entries if entry["name"] not in overrides] + list(overrides.values())


def _transport(env: _Environment, actor: AsyncActor) -> None:
    rabbitmq, sqs = actor.spec.transport.rabbitmq, actor.spec.transport.sqs
    if rabbitmq is not None:
        env.entries += rabbitmq_connection.variables(rabbitmq)
    if sqs is not None:
        env.add("ASYA_AWS_REGION", sqs.region)
        env.add("AWS_REGION", sqs.region)
        if sqs.endpoint is not None:
            env.add("ASYA_SQS_ENDPOINT", sqs.endpoint)
        env.add("ASYA_SQS_VISIBILITY_TIMEOUT", sqs.visibility_timeout)
        env.add("ASYA_SQS_WAIT_TIME_SECONDS", sqs.wait_time_seconds)
        env.add("QUEUE_BASE_URL", sqs.queue_base_url)


def _resiliency(env: _Environment, actor: AsyncActor) -> None:
    resiliency = actor.spec.resiliency
    if resiliency is None:
        return
    settings = resiliency.model_dump(mode="json", by_alias=True, exclude_none=True)
    for name, part in (("ASYA_RESILIENCY_POLICIES", "policies"), ("ASYA_RESILIENCY_RULES", "rules")):
        if settings.get(part):
            env.add(name, orjson.dumps(settings[part], option=orjson.OPT_SORT_KEYS).decode())
