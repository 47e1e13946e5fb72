"""Before and after an uninstall: every AsyncActor is let go, and what the processes made in their namespace goes.

An actor that is let go has no finalizer of ours any more, and what runs goes on.

A controller that still runs would put the finalizers back, so its Lease is taken first, and it is waited for until
it has noticed.
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
"""At an actor that others change at the same time."""


def release_all(
    client: Client,
    namespace: str,
    sleep: Callable[[float], None] = time.sleep,
    *,
    lease: str = OPERATOR,
    namespaces: Sequence[str] = (),
) -> list[str]:
    """Take the operator's finalizer off every actor; their names, each with its namespace.

    Args:
        client: a client of the cluster.
        namespace: the operator's own, which has its Lease; it may be gone.
        sleep: waits for so many seconds.
        lease: name of the Lease.
        namespaces: those of the actors; all if empty.

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
    return [f"{a['metadata']['namespace']}/{a['metadata']['name']}" for a in actors if _let_go(client, a)]


def remove_leftovers(client: Client, namespace: str, *, lease: str, secrets: Sequence[str]) -> list[str]:
    """Delete what the processes made in the operator's own namespace; what is deleted, as kind and name.

    Args:
        client: a client of the cluster.
        namespace: the operator's own.
        lease: name of the Lease.
        secrets: those with the certificate and its CA.

    Raises:
        ApiError: if something cannot be deleted.
    """
    removed = [f"secret/{name}" for name in secrets if client.delete(SECRETS, namespace, name)]
    for name in (KEDA_CONFIGMAP, RUNTIME_CONFIGMAP):
        live = client.get(CONFIG_MAPS, namespace, name)
        labels = ((live or {}).get("metadata") or {}).get("labels") or {}
        if labels.get(LABEL_MANAGED_BY) == OPERATOR and client.delete(CONFIG_MAPS, namespace, name):
            removed.append(f"configmap/{name}")
    # Last: whoever leads now must not find anything of the one before.
    if client.delete(LEASES, namespace, lease):
        removed.append(f"lease/{lease}")
    return removed


def _let_go(client: Client, actor: Object) -> bool:
    """Whether there was something to take off."""
    namespace, name, uid = (actor["metadata"][part] for part in ("namespace", "name", "uid"))
    result: Object | None = actor
    for attempt in range(TRIES):
        if result is None or result["metadata"]["uid"] != uid or FINALIZER not in _finalizers(result):
            return attempt > 0
        kept = [f for f in _finalizers(result) if f != FINALIZER]
        version = result["metadata"]["resourceVersion"]
        patch: Object = {"metadata": {"finalizers": kept or None, "resourceVersion": version}}
        try:
            client.merge_patch(ASYNC_ACTORS, namespace, name, patch)
        except ApiError as error:
            if error.code not in (404, 409) or attempt == TRIES - 1:
                raise
            result = client.get(ASYNC_ACTORS, namespace, name)
        else:
            return True
    return False


def _finalizers(actor: Object) -> list[str]:
    return actor["metadata"].get("finalizers") or []


def _take_lease(client: Client, namespace: str, name: str) -> float:
    """Take the controllers' Lease, if there is one; seconds until whoever held it has noticed, 0 if nobody did."""
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
        if error.code == 409:  # its leader has renewed it just now
            return _take_lease(client, namespace, name)
        raise
    is_held = bool(holder) and holder != HOLDER
    return float(spec.get("leaseDurationSeconds") or LeaseTimes().lease) if is_held else 0.0
