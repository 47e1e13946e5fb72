"""The facts that a session needs about an actor: its sidecar's generation, its queues, and how to reach its broker.

All reads use the caller's own rights. The operator's settings for the sidecar come from its Deployment. If the caller
may not read that, they come from the injected sidecar in the actor's namespace.
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
from kube.objects import Object
from kube.resources import Resource
from messages.envelope import ENDS
from messages.requests import Request

WORKLOADS: Final[Mapping[str, Resource]] = {
    "Deployment": resources.DEPLOYMENTS,
    "StatefulSet": resources.STATEFUL_SETS,
    "Job": resources.JOBS,
    "ScaledJob": resources.SCALED_JOBS,
}


CONTROLLER: Final = "app.kubernetes.io/component=controller"
"""Selects the Deployment of the controller, whatever its name is."""


class NoTarget(Exception):
    """The actor does not exist, or its spec is not valid."""


@dataclass(frozen=True)
class Target:
    """An actor, its queues, and how its sidecar reaches the broker."""

    namespace: str
    name: str
    uid: str
    generation: Generation
    transport: str
    """``rabbitmq`` or ``sqs``."""
    actor_name: str
    """The actor's name in routes."""
    queue: str
    prefix: str
    """The prefix of actors' queues."""
    sink: str
    """The actor at the end of routes that gets results."""
    sump: str
    """The actor at the end of routes that gets errors."""
    exchange: str = "asya"
    environment: tuple[Object, ...] = ()
    """The sidecar's environment variables for the broker, in the form of a container's ``env``."""
    volumes: tuple[Object, ...] = ()
    mounts: tuple[Object, ...] = ()
    service_account: str = ""
    pull_secrets: tuple[Object, ...] = ()
    image: str = field(default="", compare=False)
    """The operator's image; empty if unknown."""

    @property
    def ends(self) -> dict[str, str]:
        """The queues at the end of routes, each with its routing key: first for results, then for errors."""
        return {self.prefix + name: name for name in (self.sink, self.sump)}

    def request(self, **fields: Any) -> Request:
        """A request about this actor."""
        defaults: Object = {
            "queue": self.queue,
            "ends": self.ends,
            "dead": [self.prefix + self.sump],
            "prefix": self.prefix,
            "exchange": self.exchange,
            "queues": [self.queue, *self.ends],
        }
        return Request(**{**defaults, **fields})

    def route(self, actors: Iterable[str] = ()) -> list[str]:
        """``actors`` as a route that begins with this actor; it is put first if it is not."""
        names = list(actors)
        return names if names[:1] == [self.actor_name] else [self.actor_name, *names]


def find_target(client: Client, namespace: str, name: str, operator_namespace: str = "asya-system") -> Target:
    """Read the actor of that name.

    Raises:
        NoTarget: if it does not exist, or its spec is not valid.
        ApiError: if it cannot be read.
    """
    obj = client.get(resources.ASYNC_ACTORS, namespace, name)
    if obj is None:
        raise NoTarget(f'asyncactors.asya.io "{name}" not found in namespace "{namespace}"')
    return target_of(client, obj, operator_namespace)


def target_of(client: Client, obj: Object, operator_namespace: str = "asya-system") -> Target:
    """The target for a stored AsyncActor.

    Raises:
        NoTarget: if its spec is not valid.
    """
    try:
        actor = parse_actor(obj)
    except InvalidActor as invalid:
        raise NoTarget(f"the AsyncActor {obj['metadata']['name']!r} is invalid: {invalid}") from None
    operator = _operator(client, operator_namespace)
    spec = _pod_spec(client, obj)
    target = make_target(actor, _defaults(operator, spec), spec)
    return replace(target, image=_image(operator))


def make_target(actor: AsyncActor, defaults: SidecarDefaults, pod_spec: Object | None = None) -> Target:
    """The target for a parsed actor. Pure.

    Args:
        actor: the actor.
        defaults: the operator's settings, as far as the caller may read them.
        pod_spec: the spec of the actor's pods; None: that of its template.
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
    """The controller's container in the operator's Deployment; None if the caller cannot read that.

    The chart can give the Deployment another name, so the component's label finds it where the usual name does not.
    """
    try:
        usual = client.get(resources.DEPLOYMENTS, namespace, OPERATOR)
        controllers = [usual] if usual else client.list(resources.DEPLOYMENTS, namespace, labelSelector=CONTROLLER)
    except ApiError:
        return None
    specs = (((obj.get("spec") or {}).get("template") or {}).get("spec") or {} for obj in controllers)
    containers = [c for spec in specs for c in spec.get("containers") or () if c.get("name") == "controller"]
    return next((c for c in containers if usual or is_operator(c)), None)


def is_operator(container: Object) -> bool:
    """Return whether the container is a process of the operator. Other programs have a component "controller", too."""
    return any(variable.get("name") == "ASYA_LEASE_NAME" for variable in container.get("env") or ())


def _image(operator: Object | None) -> str:
    return str((operator or {}).get("image") or "")


def _defaults(operator: Object | None, pod_spec: Object | None) -> SidecarDefaults:
    """The operator's settings from its Deployment; else the sidecar's image from an injected pod."""
    if operator is not None:
        env = {e["name"]: e["value"] for e in operator.get("env") or () if isinstance(e.get("value"), str)}
        try:
            return from_environment(env)
        except InvalidSetting:
            return SidecarDefaults()  # an operator with such settings does not start
    sidecar = next((c for c in _containers(pod_spec) if c.get("name") == SIDECAR), None)
    return SidecarDefaults(image=sidecar["image"]) if sidecar is not None else SidecarDefaults()


def _containers(pod_spec: Object | None) -> list[Object]:
    spec = pod_spec or {}
    return [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]


def _pod_spec(client: Client, actor: Object) -> Object | None:
    """The injected spec of the actor's pods; None if there is none, or the caller may not read it."""
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
