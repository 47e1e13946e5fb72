"""Uninstalling: removes the operator's finalizer from every AsyncActor, and deletes the processes' own objects.

Without the finalizer an actor can be deleted without the operator. Its pods keep running.

A running controller would add the finalizers again. So this code takes the controller's Lease first, and waits until
the controller must have stopped.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from crds.names import FINALIZER, KEDA_CONFIGMAP, LABEL_MANAGED_BY, OPERATOR, RUNTIME_CONFIGMAP
from kube.client import Client
from kube.failures import ApiError
from kube.leader import microtime
from kube.lease import LeaseTimes
from kube.objects import Object
from kube.resources import ASYNC_ACTORS, CONFIG_MAPS, LEASES, SECRETS

HOLDER = f"{OPERATOR}-release"
TRIES = 5
"""How often to try to change an actor that others change at the same time."""


def release_all(
    client: Client,
    namespace: str,
    sleep: Callable[[float], None] = time.sleep,
    *,
    lease: str = OPERATOR,
    namespaces: Sequence[str] = (),
) -> list[str]:
    """Remove the operator's finalizer from every actor. Return the changed actors as ``namespace/name``.

    Args:
        client: a client of the cluster.
        namespace: the operator's own namespace, with its Lease. It may be deleted already.
        sleep: waits for a number of seconds.
        lease: name of the Lease.
        namespaces: the namespaces of the actors. Empty: all.

    Raises:
        ApiError: if an actor cannot be changed.
    """
    seconds = _take_lease(client, namespace, lease)
    if seconds:
        sleep(seconds)
        _take_lease(client, namespace, lease)
    try:
        actors = [actor for place in namespaces or ("",) for actor in client.list(ASYNC_ACTORS, place)]
    except ApiError as error:
        if error.code == 404:
            return []  # the resource definition is gone, and all actors with it
        raise
    return [f"{a['metadata']['namespace']}/{a['metadata']['name']}" for a in actors if _remove_finalizer(client, a)]


def remove_leftovers(client: Client, namespace: str, *, lease: str, secrets: Sequence[str]) -> list[str]:
    """Delete the objects that the processes created in the operator's own namespace. Return them as ``kind/name``.

    Args:
        client: a client of the cluster.
        namespace: the operator's own namespace.
        lease: name of the Lease.
        secrets: the Secrets with the certificate and its CA.

    Raises:
        ApiError: if an object cannot be deleted.
    """
    removed = [f"secret/{name}" for name in secrets if client.delete(SECRETS, namespace, name)]
    for name in (KEDA_CONFIGMAP, RUNTIME_CONFIGMAP):
        live = client.get(CONFIG_MAPS, namespace, name)
        labels = ((live or {}).get("metadata") or {}).get("labels") or {}
        if labels.get(LABEL_MANAGED_BY) == OPERATOR and client.delete(CONFIG_MAPS, namespace, name):
            removed.append(f"configmap/{name}")
    # Last: the next leader must find nothing of the previous installation.
    if client.delete(LEASES, namespace, lease):
        removed.append(f"lease/{lease}")
    return removed


def _remove_finalizer(client: Client, actor: Object) -> bool:
    """Remove the operator's finalizer from an actor. False if the actor did not have it."""
    namespace, name, uid = (actor["metadata"][part] for part in ("namespace", "name", "uid"))
    live: Object | None = actor
    for attempt in range(TRIES):
        if live is None or live["metadata"]["uid"] != uid or FINALIZER not in _finalizers(live):
            return attempt > 0
        kept = [f for f in _finalizers(live) if f != FINALIZER]
        version = live["metadata"]["resourceVersion"]
        patch: Object = {"metadata": {"finalizers": kept or None, "resourceVersion": version}}
        try:
            client.merge_patch(ASYNC_ACTORS, namespace, name, patch)
        except ApiError as error:
            if error.code not in (404, 409) or attempt == TRIES - 1:
                raise
            live = client.get(ASYNC_ACTORS, namespace, name)
        else:
            return True
    return False


def _finalizers(actor: Object) -> list[str]:
    return actor["metadata"].get("finalizers") or []


def _take_lease(client: Client, namespace: str, name: str) -> float:
    """Take the controller's Lease, if it exists. Return the seconds until its holder must have stopped, else 0."""
    lease = client.get(LEASES, namespace, name)
    if lease is None:
        return 0.0
    spec: dict[str, Any] = lease.get("spec") or {}
    holder = spec.get("holderIdentity")
    now = microtime()
    lease["spec"] = {**spec, "holderIdentity": HOLDER, "acquireTime": now, "renewTime": now}
    try:
        client.request("PUT", LEASES.path(namespace, name), body=lease)
    except ApiError as error:
        if error.code == 409:  # its leader renewed it a moment ago
            return _take_lease(client, namespace, name)
        raise
    is_held = bool(holder) and holder != HOLDER
    return float(spec.get("leaseDurationSeconds") or LeaseTimes().lease) if is_held else 0.0
