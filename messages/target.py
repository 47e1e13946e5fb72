"""One actor as somebody who has to do with its messages needs it: generation, queues, and the way to its broker.

Everything is read with the caller's own rights. What the operator's settings say of the sidecar is read from its
Deployment where the caller may; else the injected sidecar tells, which stands in the caller's own namespace.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from crds.models import AsyncActor
from crds.names import LABEL_ACTOR, OPERATOR, SIDECAR
from crds.parse import InvalidActor, parse_actor
from injection import rabbitmq as rabbitmq_connection
from injection.environment import environment
from injection.generations import Generation, consumed_queue, generation, own_value, queue_name, sidecar_actor_name
from injection.settings import InvalidSetting, SidecarDefaults, from_environment
from kube import resources
from kube.client import Client
from kube.failures import ApiError
from kube.resources import Resource
from messages.envelope import ENDS
from messages.requests import Request

Object = dict[str, Any]

WORKLOADS: Final[Mapping[str, Resource]] = {
    "Deployment": resources.DEPLOYMENTS,
    "StatefulSet": resources.STATEFUL_SETS,
    "Job": resources.JOBS,
    "ScaledJob": resources.SCALED_JOBS,
}


class NoTarget(Exception):
    """There is no such actor, or it has no queues that could be known."""


@dataclass(frozen=True)
class Target:
    """An actor, its queues and its way to the broker."""

    namespace: str
    name: str
    uid: str
    generation: Generation
    transport: str
    """``rabbitmq`` or ``sqs``."""
    actor_name: str
    """By which routes name it."""
    queue: str
    prefix: str
    """Of the names of queues."""
    sink: str
    sump: str
    exchange: str = "asya"
    environment: tuple[Object, ...] = ()
    """The sidecar's variables that say how to reach the broker, as a container has them."""
    volumes: tuple[Object, ...] = ()
    mounts: tuple[Object, ...] = ()
    service_account: str = ""
    pull_secrets: tuple[Object, ...] = ()
    image: str = field(default="", compare=False)
    """Of the operator; empty where it is not known."""

    @property
    def ends(self) -> dict[str, str]:
        """The queues at the end of routes, each with its routing key: for results, then for what went wrong."""
        return {self.prefix + name: name for name in (self.sink, self.sump)}

    def request(self, **fields: Any) -> Request:
        """A request about this actor."""
        about: Object = {
            "queue": self.queue,
            "ends": self.ends,
            "dead": [self.prefix + self.sump],
            "prefix": self.prefix,
            "exchange": self.exchange,
            "queues": [self.queue, *self.ends],
        }
        return Request(**{**about, **fields})

    def route(self, actors: Iterable[str] = ()) -> list[str]:
        """A whole route: ``actors``, with this one before them unless it is the first."""
        names = list(actors)
        return names if names[:1] == [self.actor_name] else [self.actor_name, *names]


def find_target(client: Client, namespace: str, name: str, operator_namespace: str = "asya-system") -> Target:
    """The actor of that name.

    Raises:
        NoTarget: if there is none, or its spec is invalid.
        ApiError: if it cannot be read.
    """
    obj = client.get(resources.ASYNC_ACTORS, namespace, name)
    if obj is None:
        raise NoTarget(f'asyncactors.asya.io "{name}" not found in namespace "{namespace}"')
    return target_of(client, obj, operator_namespace)


def target_of(client: Client, obj: Object, operator_namespace: str = "asya-system") -> Target:
    """The target that a stored AsyncActor is.

    Raises:
        NoTarget: if its spec is invalid.
    """
    try:
        actor = parse_actor(obj)
    except InvalidActor as invalid:
        raise NoTarget(f"the AsyncActor {obj['metadata']['name']!r} is invalid: {invalid}") from None
    operator = _operator(client, operator_namespace)
    spec = _pod_spec(client, obj)
    made = make_target(actor, _defaults(operator, spec), spec)
    return replace(made, image=_image(operator))


def make_target(actor: AsyncActor, defaults: SidecarDefaults, pod_spec: Object | None = None) -> Target:
    """The target of a parsed actor. Pure.

    Args:
        actor: the actor.
        defaults: the operator's settings, as far as they are known.
        pod_spec: of the actor's pods.
    """
    kind, rabbitmq = generation(actor, defaults), actor.spec.transport.rabbitmq
    sidecar_name = sidecar_actor_name(actor, defaults)
    sink, sump = ENDS[kind]
    variables = ("ASYA_ACTOR_SINK", "ASYA_ACTOR_SUMP") if kind == "http" else _ENDS_OF_FRAMES
    spec = pod_spec or (actor.spec.workload.template or {}).get("spec") or {}
    extras = defaults.extras
    return Target(
        namespace=actor.metadata.namespace,
        name=actor.metadata.name,
        uid=actor.metadata.uid,
        generation=kind,
        transport=actor.spec.transport.type,
        actor_name=sidecar_name,
        queue=queue_name(actor, defaults),
        prefix=consumed_queue(actor, defaults).removesuffix(sidecar_name),
        sink=own_value(actor, variables[0]) or sink,
        sump=own_value(actor, variables[1]) or sump,
        exchange=own_value(actor, "ASYA_RABBITMQ_EXCHANGE") or "asya",
        environment=tuple(environment(actor, defaults)),
        volumes=(*rabbitmq_connection.volumes(rabbitmq), *extras.volumes),
        mounts=(*rabbitmq_connection.mounts(rabbitmq), *extras.volume_mounts),
        service_account=str(spec.get("serviceAccountName") or ""),
        pull_secrets=tuple(spec.get("imagePullSecrets") or ()),
    )


_ENDS_OF_FRAMES: Final = ("ASYA_ACTOR_HAPPY_END", "ASYA_ACTOR_ERROR_END")


def _operator(client: Client, namespace: str) -> Object | None:
    """The container of the operator's controller; None if there is none, or the caller may not see it."""
    try:
        deployment = client.get(resources.DEPLOYMENTS, namespace, OPERATOR)
    except ApiError:
        return None
    containers = (((deployment or {}).get("spec") or {}).get("template") or {}).get("spec", {}).get("containers") or ()
    return next((c for c in containers if c.get("name") == "controller"), None)


def _image(operator: Object | None) -> str:
    return str((operator or {}).get("image") or "")


def _defaults(operator: Object | None, pod_spec: Object | None) -> SidecarDefaults:
    """The operator's settings from its Deployment, else as the injected sidecar shows them."""
    if operator is not None:
        env = {e["name"]: e["value"] for e in operator.get("env") or () if isinstance(e.get("value"), str)}
        try:
            return from_environment(env)
        except InvalidSetting:
            return SidecarDefaults()  # such an operator does not start
    sidecar = next((c for c in _containers(pod_spec) if c.get("name") == SIDECAR), None)
    return SidecarDefaults(image=sidecar["image"]) if sidecar is not None else SidecarDefaults()


def _containers(pod_spec: Object | None) -> list[Object]:
    spec = pod_spec or {}
    return [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]


def _pod_spec(client: Client, actor: Object) -> Object | None:
    """The spec of the actor's pods as injected; None if it has no workload, or the caller may not see it."""
    status = actor.get("status") or {}
    reference = status.get("workloadRef") or status.get("scaledJobRef") or {}
    resource, namespace = WORKLOADS.get(str(reference.get("kind"))), actor["metadata"]["namespace"]
    spec: Object | None = None
    try:
        if resource is not None:
            workload = (client.get(resource, namespace, reference["name"]) or {}).get("spec") or {}
            template = workload.get("template") or (workload.get("jobTargetRef") or {}).get("template") or {}
            spec = template.get("spec")
        if spec is None or all(c.get("name") != SIDECAR for c in _containers(spec)):
            selector = f"{LABEL_ACTOR}={actor['metadata']['name']}"
            pods = client.list(resources.PODS, namespace, labelSelector=selector)
            spec = next((p["spec"] for p in pods if _containers(p["spec"])), spec)
    except ApiError:
        return spec
    return spec
