"""The logs of all pods of an actor, merged: in the order of their times, or live as lines arrive."""

import heapq
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import urllib3

from crds.names import ANNOTATION_DEFAULT_CONTAINER, LABEL_ACTOR, RUNTIME, SIDECAR
from kube.client import Client
from kube.failures import ApiError
from kube.objects import Object
from kube.resources import PODS
from messages.rights import explained

LOOK_SECONDS: Final = 2.0
"""Seconds between two lists of pods, to find new ones."""
SILENCE: Final = urllib3.Timeout(connect=5.0, read=None)
"""A log that is followed may be silent for any time."""
TAIL_OF_MANY: Final = 100
"""The default number of lines of each container, if there are several. The default for a single one is all lines."""


class NoLogs(Exception):
    """There is no log to read. The message says why."""


@dataclass(frozen=True)
class Line:
    """A line of a container's log."""

    pod: str
    container: str
    time: str
    text: str


def containers_of(pod: Object, container: str = "") -> list[str]:
    """The names of the containers whose logs to read.

    Args:
        pod: the pod.
        container: ``runtime``, which may have another name in the pod; another name; or empty for all.
    """
    spec = pod["spec"]
    native = [c["name"] for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    names = [*native, *(c["name"] for c in spec["containers"])]
    if not container:
        return names
    name = runtime_of(pod) if container == RUNTIME else container
    return [name] if name in names else []


def runtime_of(pod: Object) -> str:
    """The name of the runtime container of an injected pod.

    That is ``runtime``; else kubectl's default container, which injection sets; else the first container that is not
    the sidecar. Empty if there is none.
    """
    names = [c["name"] for c in (pod.get("spec") or {}).get("containers") or ()]
    default = (pod["metadata"].get("annotations") or {}).get(ANNOTATION_DEFAULT_CONTAINER)
    preferred = [name for name in (RUNTIME, default) if name in names]
    return str(next((name for name in (*preferred, *names) if name != SIDECAR), ""))


def pods_of(client: Client, namespace: str, actor: str) -> list[Object]:
    """The actor's pods.

    Raises:
        NoLogs: if the API server refuses to list them.
    """
    try:
        return client.list(PODS, namespace, labelSelector=f"{LABEL_ACTOR}={actor}")
    except ApiError as error:
        raise NoLogs(explained(error)) from None


def read(
    client: Client, namespace: str, actor: str, *, container: str = "", tail: int | None = None, previous: bool = False
) -> Iterator[Line]:
    """The log lines of the actor's containers so far, in the order of their times.

    Args:
        client: with the caller's rights.
        namespace: the actor's.
        actor: the actor's name.
        container: as in :func:`containers_of`.
        tail: the number of last lines of each container; None: all.
        previous: read the log of each container before its last restart.

    Raises:
        NoLogs: if there are no pods or no such container, or if no log can be read.
    """
    pods = pods_of(client, namespace, actor)
    if not pods:
        raise NoLogs(f"the actor {actor!r} has no pods; run kubectl asya explain {actor} to see why")
    sources = [(pod["metadata"]["name"], name) for pod in pods for name in containers_of(pod, container)]
    if not sources:
        raise NoLogs(f"no pod of {actor!r} has a container {container!r}")
    logs: list[list[Line]] = []
    refusals: list[str] = []
    for pod, name in sources:
        try:
            logs.append(list(_lines(client, namespace, pod, name, tail=tail, previous=previous)))
        except ApiError as error:
            refusals.append(explained(error))
    if not logs:
        raise NoLogs(refusals[0])
    yield from heapq.merge(*logs, key=lambda line: line.time)


def follow(
    client: Client,
    namespace: str,
    actor: str,
    *,
    container: str = "",
    tail: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Line]:
    """Log lines of all pods as they arrive, until ``stop`` returns True. Pods that start later are included.

    The other arguments are those of :func:`read`.

    Raises:
        NoLogs: if the API server refuses to list pods or to read a log.
    """
    lines: queue.Queue[Line | NoLogs] = queue.Queue(maxsize=10_000)
    followed: set[tuple[str, str]] = set()
    latest: dict[tuple[str, str], str] = {}
    """The time of the last line of each container. After a restart, the log is read from there."""

    def pump(pod: str, name: str) -> None:
        since = latest.get((pod, name), "")
        try:
            for line in _lines(client, namespace, pod, name, tail=None if since else tail, follow=True, since=since):
                if line.time > since:
                    latest[pod, name] = line.time
                    lines.put(line)
        except ApiError as error:
            if error.code == 403:
                lines.put(NoLogs(explained(error)))
        followed.discard((pod, name))  # the container has ended, or its log broke off: the next list shows which

    while not stop():
        until = time.monotonic() + LOOK_SECONDS
        for pod in pods_of(client, namespace, actor):
            metadata = pod["metadata"]
            for name in containers_of(pod, container):
                source = (f"{metadata['name']}", name)
                if source not in followed and _has_started(pod, name):
                    followed.add(source)
                    threading.Thread(target=pump, args=source, daemon=True).start()
        try:
            while not stop() and (remaining := until - time.monotonic()) > 0:
                line = lines.get(timeout=remaining)
                if isinstance(line, NoLogs):
                    raise line
                yield line
        except queue.Empty:
            continue


def _has_started(pod: Object, container: str) -> bool:
    status = pod.get("status") or {}
    statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    state = next((s.get("state") or {} for s in statuses if s.get("name") == container), {})
    return "running" in state or "terminated" in state


def _lines(
    client: Client,
    namespace: str,
    pod: str,
    container: str,
    *,
    tail: int | None,
    previous: bool = False,
    follow: bool = False,
    since: str = "",
) -> Iterator[Line]:
    query = {"container": container, "timestamps": "true"}
    if tail is not None:
        query["tailLines"] = str(tail)
    if previous:
        query["previous"] = "true"
    if follow:
        query["follow"] = "true"
    if since:
        query["sinceTime"] = since
    path = PODS.path(namespace, pod, "log")
    response = client.request("GET", path, query=query, stream=True, timeout=SILENCE if follow else None)
    try:
        for raw in response:
            stamp, _, text = raw.decode(errors="replace").rstrip("\n").partition(" ")
            yield Line(pod, container, stamp, text)
    except urllib3.exceptions.HTTPError as error:
        raise ApiError(0, "Unreachable", f"the log of {pod} broke off: {type(error).__name__}") from None
    finally:
        response.close()
