"""What people do with an actor beside its messages: pause and resume it, scale it, restart it.

Each is a patch of the AsyncActor with its resource version, so nothing is written over a change of somebody else's. The
controller does the rest. Only replicas that nobody states in the AsyncActor are written to the workload itself, by its
scale subresource, as ``kubectl scale`` does it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from crds.names import ANNOTATION_REPLICAS_BEFORE_PAUSE, MAX_REPLICAS, MIN_REPLICAS
from kube.client import Client
from kube.failures import ApiError
from kube.resources import ASYNC_ACTORS, DEPLOYMENTS, JOBS, STATEFUL_SETS, Resource
from messages.rights import explained

Object = dict[str, Any]

MANAGER: Final = "kubectl-asya"
"""Field manager of what the plugin writes."""
ATTEMPTS: Final = 5
SCALABLE: Final = {"Deployment": DEPLOYMENTS, "StatefulSet": STATEFUL_SETS}
RESTARTED: Final = "kubectl.kubernetes.io/restartedAt"
"""The annotation of ``kubectl rollout restart``."""


class CannotControl(Exception):
    """It cannot be done to this actor; one sentence that says why and what to do."""


@contextmanager
def _explaining() -> Iterator[None]:
    """A refusal of the API server as a sentence that names the missing right; around a function, or a block."""
    try:
        yield
    except ApiError as error:
        raise CannotControl(explained(error)) from None


@_explaining()
def pause(client: Client, namespace: str, name: str, *, keep: bool = False) -> str:
    """Have the actor take no messages, which wait in its queue; what was done, as a sentence.

    Args:
        client: with the caller's rights.
        namespace: the actor's.
        name: the actor.
        keep: leave its pods as they are instead, and only have KEDA leave their number alone.

    Raises:
        CannotControl: if it cannot be paused.
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
            return "paused: KEDA starts no Jobs; those that run go on"
        return "paused: the number of its pods stays as it is" if keep else "paused: it has no pods"
    if keep:
        raise CannotControl("--keep is for actors that KEDA scales; nobody changes the number of this one's pods")
    if ANNOTATION_REPLICAS_BEFORE_PAUSE in _annotations(actor):
        return "is paused already"
    stated = workload.get("replicas")
    resource, target = _workload(actor)
    before = int(stated) if stated is not None else _replicas(client, resource, namespace, target)
    annotation = {"metadata": {"annotations": {ANNOTATION_REPLICAS_BEFORE_PAUSE: str(before)}}}
    if stated is not None:
        _patch(client, namespace, name, lambda obj: {**annotation, "spec": {"workload": {"replicas": 0}}})
    else:
        _patch(client, namespace, name, lambda obj: annotation)
        _scale(client, resource, namespace, target, 0)
    return f"paused: it has no pods; it had {before}"


@_explaining()
def resume(client: Client, namespace: str, name: str) -> str:
    """Have a paused actor go on; what was done, as a sentence.

    Raises:
        CannotControl: if it cannot be resumed.
    """
    actor = _actor(client, namespace, name)
    scaling, workload = _sections(actor)
    before = _annotations(actor).get(ANNOTATION_REPLICAS_BEFORE_PAUSE)
    if scaling.get("enabled"):
        if not scaling.get("paused"):
            return "is not paused"
        goes_on = {"spec": {"scaling": {"paused": None, "pausedReplicas": None}}}
        _patch(client, namespace, name, lambda obj: {**goes_on, **_without_annotation()})
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
    """Set the fewest and the most pods between which KEDA scales the actor; what was done, as a sentence.

    Args:
        client: with the caller's rights.
        namespace: the actor's.
        name: the actor.
        least: ``spec.scaling.minReplicas``; as it is without it.
        most: ``spec.scaling.maxReplicas``; as it is without it.
        enable: switch scaling on, where it is off.

    Raises:
        CannotControl: if it cannot be scaled so.
    """

    def change(actor: Object) -> Object:
        scaling, _ = _sections(actor)
        if not scaling.get("enabled") and not enable:
            raise CannotControl(
                "KEDA does not scale this actor (spec.scaling.enabled): add --enable, or set spec.workload.replicas"
            )
        wanted = {"minReplicas": least, "maxReplicas": most, "enabled": True if enable else None}
        return {"spec": {"scaling": {key: value for key, value in wanted.items() if value is not None}}}

    if least is None and most is None and not enable:
        raise CannotControl("nothing to change: give --min, --max or both")
    done = _patch(client, namespace, name, change)
    scaling, _ = _sections(done)
    return f"scaled: {scaling.get('minReplicas', MIN_REPLICAS)} to {scaling.get('maxReplicas', MAX_REPLICAS)} pods"


@_explaining()
def restart(client: Client, namespace: str, name: str) -> str:
    """Have the actor's pods replaced, one after the other as its workload does it; what was done, as a sentence.

    Raises:
        CannotControl: if it has no pods that could be replaced.
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
    """Patch the actor as it was read; read it anew where somebody else was faster."""
    for attempt in range(ATTEMPTS):
        actor = _actor(client, namespace, name)
        patch = change(actor)
        version = {"resourceVersion": actor["metadata"]["resourceVersion"]}
        try:
            whole = {**patch, "metadata": {**(patch.get("metadata") or {}), **version}}
            return _write(client, ASYNC_ACTORS, namespace, name, whole)
        except ApiError as error:
            if error.code != 409 or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _workload(actor: Object) -> tuple[Resource, str]:
    """The actor's workload, as its spec names it."""
    _, workload = _sections(actor)
    kind = workload.get("type") or "Deployment"
    if kind not in SCALABLE:
        what = "KEDA starts Jobs, and each is new" if (actor["spec"].get("scaling") or {}).get("enabled") else "a Job"
        hint = f"; delete the {JOBS.kind} to have it made anew" if what == "a Job" else ""
        raise CannotControl(f"this is not for actors of type Job: {what}{hint}")
    return SCALABLE[kind], str(workload.get("name") or actor["metadata"]["name"])


def _replicas(client: Client, resource: Resource, namespace: str, name: str) -> int:
    workload = client.get(resource, namespace, name)
    if workload is None:
        raise CannotControl(f"there is no {resource.kind} {name!r} yet; see kubectl asya explain")
    return int((workload.get("spec") or {}).get("replicas", 1))


def _scale(client: Client, resource: Resource, namespace: str, name: str, replicas: int) -> None:
    _write(client, resource, namespace, name, {"spec": {"replicas": replicas}}, "scale")


def _write(
    client: Client, resource: Resource, namespace: str, name: str, patch: Object, subresource: str = ""
) -> Object:
    """A merge patch by a manager of the plugin's own."""
    written: Object = client.request(
        "PATCH",
        resource.path(namespace, name, subresource),
        query={"fieldManager": MANAGER},
        body=patch,
        content_type="application/merge-patch+json",
    )
    return written
