"""Logs of all pods of an actor, merged: in the order of their times, or as they come."""

import heapq
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import urllib3

from crds.names import ANNOTATION_DEFAULT_CONTAINER, LABEL_ACTOR, RUNTIME, SIDECAR
from kube.client import Client
from kube.failures import ApiError
from kube.resources import PODS
from messages.rights import explained

Object = dict[str, Any]

LOOK_SECONDS: Final = 2.0
"""Between two looks for new pods."""
SILENCE: Final = urllib3.Timeout(connect=5.0, read=None)
TAIL_OF_MANY: Final = 100
"""Lines of each container where nothing is said; all of a single one."""


class NoLogs(Exception):
    """There is nothing to read; one sentence that says why."""


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
        NoLogs: if they may not be listed.
    """
    try:
        return client.list(PODS, namespace, labelSelector=f"{LABEL_ACTOR}={actor}")
    except ApiError as error:
        raise NoLogs(explained(error)) from None


def read(
    client: Client, namespace: str, actor: str, *, container: str = "", tail: int | None = None, previous: bool = False
) -> Iterator[Line]:
    """What the actor's containers have printed, merged by time.

    Raises:
        NoLogs: if there are no pods, no such container, or no log of any may be read.
    """
    pods = pods_of(client, namespace, actor)
    if not pods:
        raise NoLogs(f"the actor {actor!r} has no pods; see kubectl asya explain {actor}")
    places = [(pod["metadata"]["name"], name) for pod in pods for name in containers_of(pod, container)]
    if not places:
        raise NoLogs(f"no pod of {actor!r} has a container {container!r}")
    logs: list[list[Line]] = []
    refusals: list[str] = []
    for pod, name in places:
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
    """Lines of all pods as they come, those of pods that start later included, until ``stop`` says so.

    Raises:
        NoLogs: if pods may not be listed, or a log may not be read.
    """
    lines: queue.Queue[Line | NoLogs] = queue.Queue(maxsize=10_000)
    followed: set[tuple[str, str]] = set()
    latest: dict[tuple[str, str], str] = {}
    """The time of the last line of each container, from which a restarted one is read on."""

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
        followed.discard((pod, name))  # it has ended, or its log broke off: the next look tells

    while not stop():
        until = time.monotonic() + LOOK_SECONDS
        for pod in pods_of(client, namespace, actor):
            metadata = pod["metadata"]
            for name in containers_of(pod, container):
                place = (f"{metadata['name']}", name)
                if place not in followed and _has_started(pod, name):
                    followed.add(place)
                    threading.Thread(target=pump, args=place, daemon=True).start()
        try:
            while not stop() and (left := until - time.monotonic()) > 0:
                line = lines.get(timeout=left)
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
