"""``explain``: all about one actor. Its objects, what was injected where and why, each problem and its remedy."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from controller.cluster.access import WORKLOADS
from controller.rules.keda import exchange
from controller.rules.queues import queue_verdict
from controller.rules.status import QUEUE_CONSUMED, READY, condition
from crds.models import AsyncActor
from crds.names import ANNOTATION_RUNTIME_CONTAINER, HOLDER, LABEL_ACTOR, RUNTIME, RUNTIME_CONFIGMAP, SIDECAR
from crds.parse import InvalidActor, parse_actor
from injection.access import is_disabled, map_of
from injection.generations import sidecar_actor_name
from injection.kinds import KINDS
from injection.record import read_record, unknown_version, unknown_version_warning
from injection.settings import SidecarDefaults
from injection.warnings import warnings_of
from kube import events, resources
from kube.client import Client
from kube.failures import ApiError
from kube.objects import controller_of
from kube.resources import Resource

Object = dict[str, Any]

NOTEWORTHY = ("ScalingPaused", "SidecarUnknown")
"""Reasons of true conditions that may still explain why an actor does not do what users expect."""
REFUSED = ("NotInjected", "InjectionOutdated", "InjectionDenied")
"""Reasons of Events about labelled workloads that are not injected with the actor's present plan."""
KEDA = (resources.SCALED_OBJECTS, resources.SCALED_JOBS, resources.TRIGGER_AUTHENTICATIONS)
_KINDS = {kind.name: kind for kind in KINDS.values()}


@dataclass
class Story:
    """An actor and the objects that belong to it."""

    actor: Object
    workloads: list[Object] = field(default_factory=list)
    """Workloads with its label, and those that the operator created for it."""
    others: list[Object] = field(default_factory=list)
    """KEDA's objects and the runtime ConfigMap."""
    refusals: list[Object] = field(default_factory=list)
    """Events about workloads that are not injected with the actor's present plan: the latest of each reason."""


def read(client: Client, namespace: str, name: str) -> Story | None:
    """Read everything about an actor. None if there is no such actor.

    Raises:
        ApiError: if an object cannot be read.
    """
    actor = client.get(resources.ASYNC_ACTORS, namespace, name)
    if actor is None:
        return None
    story = Story(actor)
    selector = f"{LABEL_ACTOR}={name}"
    for resource in WORKLOADS:
        story.workloads += _list(client, resource, namespace, selector)
    for resource in KEDA:
        listed = _list(client, resource, namespace, selector)
        (story.workloads if resource is resources.SCALED_JOBS else story.others).extend(listed)
    config_map = client.get(resources.CONFIG_MAPS, namespace, RUNTIME_CONFIGMAP)
    story.others += [config_map] if config_map is not None else []
    reference = (actor.get("status") or {}).get("workloadRef") or {}
    known = {(w["kind"], w["metadata"]["name"]) for w in story.workloads}
    by_kind = {resource.kind: resource for resource in WORKLOADS}
    if reference.get("kind") in by_kind and (reference["kind"], reference["name"]) not in known:
        unlabelled = client.get(by_kind[reference["kind"]], namespace, reference["name"])
        story.workloads += [unlabelled] if unlabelled is not None else []
    if (actor.get("status") or {}).get("outdatedWorkloads"):
        listed = events.list_warnings(client, "AsyncActor", namespace, name)
        story.refusals = list({e["reason"]: e for e in listed if e.get("reason") in REFUSED}.values())
    return story


def _list(client: Client, resource: Resource, namespace: str, selector: str) -> list[Object]:
    try:
        listed = client.list(resource, namespace, labelSelector=selector)
    except ApiError as error:
        if error.code == 404:
            return []  # KEDA is not installed
        raise
    return [{**obj, "kind": resource.kind} for obj in listed]


def lines(story: Story) -> Iterator[str]:
    """The whole text, line by line."""
    actor = story.actor
    metadata, status = actor["metadata"], actor.get("status") or {}
    phase = status.get("phase") or "not processed by the controller yet"
    yield f"AsyncActor {metadata['namespace']}/{metadata['name']}: {phase}"
    yield ""
    yield "Objects"
    yield from objects(story) if story.workloads or story.others else ["  none yet"]
    for workload in story.workloads:
        yield ""
        yield from injection(workload)
    yield ""
    yield from queue(actor)
    yield from warnings(actor)
    yield from _problems(status, story.refusals)


def objects(story: Story) -> Iterator[str]:
    """One line for each of the actor's objects."""
    for obj in [*story.workloads, *story.others]:
        yield f"  {obj['kind']} {obj['metadata']['name']}: {_about(obj, story.actor)}"


def _about(obj: Object, actor: Object) -> str:
    if obj["kind"] == "ConfigMap":
        return "the runtime script of this namespace"
    owner = controller_of(obj)
    is_owned = owner == actor["metadata"].get("uid")
    origin = "created for this actor" if is_owned else "not created by the operator, has the label"
    status = obj.get("status") or {}
    if obj["kind"] in ("Deployment", "StatefulSet"):
        return f"{origin}; {status.get('readyReplicas', 0)} of {obj['spec'].get('replicas', 1)} pods are ready"
    ready = condition(obj, "Ready")
    return f"{origin}; KEDA reports Ready={ready['status']}" if ready else origin


def injection(workload: Object) -> Iterator[str]:
    """What was injected into a workload, and why."""
    title = f"{workload['kind']} {workload['metadata']['name']}"
    template = _KINDS[workload["kind"]].template(workload) or {}
    record = read_record(template)
    version = unknown_version(template)
    if version is not None:
        yield f"{title}: {unknown_version_warning(version)}"
        return
    if record is None:
        is_off = is_disabled(workload) or is_disabled(template)
        reason = "asya.io/inject turns injection off" if is_off else _why_not(workload)
        yield f"Not injected into {title}: {reason}"
        return
    spec = template.get("spec") or {}
    containers = {c["name"]: c for part in ("initContainers", "containers") for c in spec.get(part) or ()}
    sidecar, runtime = containers.get(SIDECAR) or {}, containers.get(record.runtime) or {}
    yield f"Injected into {title}"
    yield f"  because it has the label {LABEL_ACTOR}={record.actor}"
    place = "first of initContainers, so that the Job can complete" if record.native else "first of containers"
    yield f"  + container {SIDECAR} ({place}): image {sidecar.get('image')}"
    if record.holder:
        yield f"  + container {HOLDER} (first of initContainers): holds the socket while the runtime restarts"
    for volume in record.volumes:
        yield f"  + volume {volume}"
    chosen = ANNOTATION_RUNTIME_CONTAINER in map_of(template, "annotations")
    choice = "by annotation" if chosen else "by its name" if record.runtime == RUNTIME else "the only one"
    yield f"  in container {record.runtime} ({choice}, so it holds the function)"
    for path in record.mounts:
        yield f"    + mount {path}"
    for kind in record.probes:
        yield f"    + {kind}, which asks the runtime script"
    for name in [*record.env, *record.env_was, *record.env_set]:
        value = next((e.get("value") for e in runtime.get("env") or () if e.get("name") == name), "")
        yield f"    {'=' if name in record.env_was else '+'} variable {name}={value}"
    if record.command:
        yield f"    + command {' '.join(runtime.get('command') or ())}, since it has ASYA_HANDLER and no command"
    if record.grace is not None:
        before = record.grace_was if record.grace_was is not None else "the default, 30"
        yield f"  terminationGracePeriodSeconds {record.grace} (it was {before})"


def _why_not(workload: Object) -> str:
    if LABEL_ACTOR not in map_of(workload, "labels"):
        return f"it does not have the label {LABEL_ACTOR}"
    return "admission has not injected it; see the problems below, and run asya-operator doctor"


def queue(actor: Object) -> Iterator[str]:
    """The actor's queue, whether the sidecar consumes it, and what the cluster cannot show."""
    parsed = _parsed(actor)
    if parsed is None:
        return
    status = actor.get("status") or {}
    consumed = condition(actor, QUEUE_CONSUMED)
    yield "Queue"
    if status.get("observedGeneration") == actor["metadata"].get("generation") and consumed:
        yield f"  {consumed['message']}"
    else:
        yield f"  {queue_verdict(parsed, SidecarDefaults()).message}"
    if parsed.spec.transport.type == "rabbitmq":
        name = sidecar_actor_name(parsed, SidecarDefaults())
        yield f"  The exchange {exchange(parsed)!r} sends messages to it by a binding with the routing key {name!r}."
        yield "  RabbitMQ drops messages without such a binding. The cluster cannot show bindings; to list them, run"
        yield "  rabbitmqctl list_bindings source_name routing_key destination_name"
    yield ""


def warnings(actor: Object) -> Iterator[str]:
    """The warnings that admission gave when the actor was applied."""
    status = actor.get("status") or {}
    if status.get("observedGeneration") == actor["metadata"].get("generation"):
        texts = status.get("warnings") or []
    else:
        parsed = _parsed(actor)
        texts = warnings_of(parsed, SidecarDefaults()) if parsed is not None else []
    if texts:
        yield "Warnings"
        yield from (f"  {text}" for text in texts)
        yield ""


def _parsed(actor: Object) -> AsyncActor | None:
    """The actor. None if it breaks the present rules; its conditions then report that as a problem."""
    try:
        return parse_actor({**actor, "status": None})
    except InvalidActor:
        return None


def _problems(status: Object, refusals: list[Object]) -> Iterator[str]:
    conditions = status.get("conditions") or ()
    failing = [c for c in conditions if c["type"] != READY and (c["status"] != "True" or c["reason"] in NOTEWORTHY)]
    # Only Ready has this reason, because no other condition covers deletion.
    failing += [c for c in conditions if c["type"] == READY and c["reason"] == "DeletionBlocked"]
    if not conditions:
        yield "Problems"
        yield "  the controller has not processed this actor yet: asya-operator doctor checks whether it runs"
    elif not failing and not refusals:
        yield "No problems"
    else:
        yield "Problems"
        for c in failing:
            yield f"  {c['type']}={c['status']} ({c['reason']})"
            yield f"    {c['message']}"
        for event in refusals:
            yield f"  {event['reason']}"
            yield f"    {event['message']}"
