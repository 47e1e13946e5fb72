"""The plugin's commands that control an actor: pause, resume, scale, restart.

Pause, resume and scale patch the AsyncActor with its resourceVersion, so they never overwrite another writer's change.
The controller does the rest. If the AsyncActor does not set its replicas, they are written to the workload's scale
subresource, as ``kubectl scale`` does. Restart patches the workload's template, as ``kubectl rollout restart`` does.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from crds.names import ANNOTATION_REPLICAS_BEFORE_PAUSE, MAX_REPLICAS, MIN_REPLICAS
from kube.client import Client
from kube.failures import ApiError
from kube.objects import Object
from kube.resources import ASYNC_ACTORS, DEPLOYMENTS, STATEFUL_SETS, Resource
from messages.rights import explained

MANAGER: Final = "kubectl-asya"
"""Field manager of the plugin's writes."""
ATTEMPTS: Final = 5
"""How often a patch is tried if another writer changes the actor at the same time."""
SCALABLE: Final = {"Deployment": DEPLOYMENTS, "StatefulSet": STATEFUL_SETS}
RESTARTED: Final = "kubectl.kubernetes.io/restartedAt"
"""The annotation that ``kubectl rollout restart`` sets."""


class CannotControl(Exception):
    """The command cannot be carried out for this actor. The message says why and what to do."""


@contextmanager
def _explaining() -> Iterator[None]:
    """Turns a refusal of the API server into CannotControl; a decorator or a context manager."""
    try:
        yield
    except ApiError as error:
        raise CannotControl(explained(error)) from None


@_explaining()
def pause(client: Client, namespace: str, name: str, *, keep: bool = False) -> str:
    """Pause the actor: it consumes no messages, which wait in its queue.

    Args:
        client: with the caller's rights.
        namespace: the actor's.
        name: the actor's.
        keep: keep the current pods, and only stop KEDA from changing their number.

    Returns:
        The result, for the user; the actor is its subject.

    Raises:
        CannotControl: if the actor cannot be paused.
    """
    actor = _actor(client, namespace, name)
    scaling, workload = _sections(actor)
    if scaling.get("enabled"):
        is_job = workload.get("type") == "Job"
        replicas = None if keep or is_job else 0
        if scaling.get("paused") and scaling.get("pausedReplicas") == replicas:
            return "is paused already"
        patch = {"spec": {"scaling": {"paused": True, "pausedReplicas": replicas}}}
        _patch(client, namespace, name, lambda obj: patch)
        if is_job:
            return "paused: KEDA starts no Jobs; running Jobs continue"
        return "paused: the number of its pods does not change" if keep else "paused: it has no pods"
    if keep:
        raise CannotControl("--keep is for actors that KEDA scales, and KEDA does not scale this one; omit --keep")
    if ANNOTATION_REPLICAS_BEFORE_PAUSE in _annotations(actor):
        return "is paused already"
    spec_replicas = workload.get("replicas")
    resource, target = _workload(actor)
    before = int(spec_replicas) if spec_replicas is not None else _replicas(client, resource, namespace, target)
    annotation = {"metadata": {"annotations": {ANNOTATION_REPLICAS_BEFORE_PAUSE: str(before)}}}
    if spec_replicas is not None:
        _patch(client, namespace, name, lambda obj: {**annotation, "spec": {"workload": {"replicas": 0}}})
    else:
        _patch(client, namespace, name, lambda obj: annotation)
        _scale(client, resource, namespace, target, 0)
    return f"paused: it has no pods; it had {before}"


@_explaining()
def resume(client: Client, namespace: str, name: str) -> str:
    """Resume a paused actor; returns the result for the user.

    Raises:
        CannotControl: if the actor cannot be resumed.
    """
    actor = _actor(client, namespace, name)
    scaling, workload = _sections(actor)
    before = _annotations(actor).get(ANNOTATION_REPLICAS_BEFORE_PAUSE)
    if scaling.get("enabled"):
        if not scaling.get("paused"):
            return "is not paused"
        unpaused = {"spec": {"scaling": {"paused": None, "pausedReplicas": None}}}
        _patch(client, namespace, name, lambda obj: {**unpaused, **_without_annotation()})
        return "resumed: KEDA scales it"
    if before is None:
        return "is not paused"
    count = int(before) if before.isdigit() else 1
    if workload.get("replicas") is not None:
        restored = {"spec": {"workload": {"replicas": count}}, **_without_annotation()}
        _patch(client, namespace, name, lambda obj: restored)
    else:
        resource, target = _workload(actor)
        _scale(client, resource, namespace, target, count)
        _patch(client, namespace, name, lambda obj: _without_annotation())
    return f"resumed: it has {count} pods" if count != 1 else "resumed: it has 1 pod"


@_explaining()
def scale(
    client: Client,
    namespace: str,
    name: str,
    *,
    least: int | None = None,
    most: int | None = None,
    enable: bool = False,
) -> str:
    """Set the minimum and maximum number of pods for KEDA; returns the result for the user.

    Args:
        client: with the caller's rights.
        namespace: the actor's.
        name: the actor's.
        least: the new ``spec.scaling.minReplicas``; None keeps the current one.
        most: the new ``spec.scaling.maxReplicas``; None keeps the current one.
        enable: enable scaling if it is disabled.

    Raises:
        CannotControl: if the API server refuses the values, or scaling is disabled.
    """

    def change(actor: Object) -> Object:
        scaling, _ = _sections(actor)
        if not scaling.get("enabled") and not enable:
            raise CannotControl(
                "KEDA does not scale this actor (spec.scaling.enabled): add --enable, or set spec.workload.replicas"
            )
        changes = {"minReplicas": least, "maxReplicas": most, "enabled": True if enable else None}
        return {"spec": {"scaling": {key: value for key, value in changes.items() if value is not None}}}

    if least is None and most is None and not enable:
        raise CannotControl("nothing to change: give --min, --max or both")
    patched = _patch(client, namespace, name, change)
    scaling, _ = _sections(patched)
    return f"scaled: {scaling.get('minReplicas', MIN_REPLICAS)} to {scaling.get('maxReplicas', MAX_REPLICAS)} pods"


@_explaining()
def restart(client: Client, namespace: str, name: str) -> str:
    """Replace the actor's pods by a rollout of its workload; returns the result for the user.

    Raises:
        CannotControl: if the workload cannot be restarted, as a Job.
    """
    resource, target = _workload(_actor(client, namespace, name))
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    annotation = {"metadata": {"annotations": {RESTARTED: stamp}}}
    _write(client, resource, namespace, target, {"spec": {"template": annotation}})
    return f"restarted: the pods of the {resource.kind} {target} are replaced"


# -- the actor and its workload ------------------------------------------------------------------------


def _actor(client: Client, namespace: str, name: str) -> Object:
    actor = client.get(ASYNC_ACTORS, namespace, name)
    if actor is None:
        raise CannotControl(f'asyncactors.asya.io "{name}" not found in namespace "{namespace}"')
    return actor


def _sections(actor: Object) -> tuple[Object, Object]:
    spec = actor.get("spec") or {}
    return spec.get("scaling") or {}, spec.get("workload") or {}


def _annotations(actor: Object) -> Object:
    annotations: Object = actor["metadata"].get("annotations") or {}
    return annotations


def _without_annotation() -> Object:
    return {"metadata": {"annotations": {ANNOTATION_REPLICAS_BEFORE_PAUSE: None}}}


def _patch(client: Client, namespace: str, name: str, change: Callable[[Object], Object]) -> Object:
    """Patch the actor by ``change``, which gets the current actor; after a conflict, read it and try again."""
    for attempt in range(ATTEMPTS):
        actor = _actor(client, namespace, name)
        patch = change(actor)
        version = {"resourceVersion": actor["metadata"]["resourceVersion"]}
        try:
            versioned = {**patch, "metadata": {**(patch.get("metadata") or {}), **version}}
            return _write(client, ASYNC_ACTORS, namespace, name, versioned)
        except ApiError as error:
            if error.code != 409 or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _workload(actor: Object) -> tuple[Resource, str]:
    """The kind and name of the workload in the actor's spec.

    Raises:
        CannotControl: if it is a Job.
    """
    _, workload = _sections(actor)
    kind = workload.get("type") or "Deployment"
    if kind not in SCALABLE:
        if (actor["spec"].get("scaling") or {}).get("enabled"):
            raise CannotControl("this is not for actors of type Job: KEDA starts new Jobs by itself")
        raise CannotControl("this is not for actors of type Job: delete the Job, and the operator creates a new one")
    return SCALABLE[kind], str(workload.get("name") or actor["metadata"]["name"])


def _replicas(client: Client, resource: Resource, namespace: str, name: str) -> int:
    workload = client.get(resource, namespace, name)
    if workload is None:
        raise CannotControl(f"the {resource.kind} {name!r} does not exist; run kubectl asya explain to see why")
    return int((workload.get("spec") or {}).get("replicas", 1))


def _scale(client: Client, resource: Resource, namespace: str, name: str, replicas: int) -> None:
    _write(client, resource, namespace, name, {"spec": {"replicas": replicas}}, "scale")


def _write(
    client: Client, resource: Resource, namespace: str, name: str, patch: Object, subresource: str = ""
) -> Object:
    """Send a merge patch with the plugin's field manager; returns the patched object."""
    written: Object = client.request(
        "PATCH",
        resource.path(namespace, name, subresource),
        query={"fieldManager": MANAGER},
        body=patch,
        content_type="application/merge-patch+json",
    )
    return written
