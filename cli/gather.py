"""The files of a report. Each object is read by itself, so a missing right leaves out only the objects that need it.

The report never contains Secret objects. The gatherer reads their values, if the caller may read them, only to remove
these values from all other files. It also hides everything that looks like a credential.
"""

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import quote

from cli.files import dump
from crds.names import ANNOTATION_LAST_APPLIED, LABEL_ACTOR, METRICS_PORT
from dashboard.redact import SHORTEST, plain_secrets, redact, redact_all
from kube import resources
from kube.client import Client
from kube.failures import ApiError
from kube.objects import Object
from kube.resources import Resource
from messages.logs import containers_of
from messages.target import is_operator

KINDS: Final = (
    resources.DEPLOYMENTS,
    resources.STATEFUL_SETS,
    resources.JOBS,
    resources.SCALED_OBJECTS,
    resources.SCALED_JOBS,
    resources.TRIGGER_AUTHENTICATIONS,
    resources.PODS,
)


class Gatherer:
    """Reads everything that belongs to the actors of one namespace."""

    def __init__(self, client: Client, namespace: str, operator_namespace: str, tail: int) -> None:
        self._client, self._namespace, self._home, self._tail = client, namespace, operator_namespace, tail
        self._secrets: list[str] = []
        self.actors = 0
        self.failures: list[str] = []

    def files(self, actor: str) -> Iterator[tuple[str, str]]:
        """Name and text of each file, without secrets. Refused reads become lines of ``failures.txt``.

        Args:
            actor: one actor. Empty: all actors of the namespace.
        """
        objects = {}
        actors = self._try_read("actors", lambda: self._actors(actor)) or []
        self.actors = len(actors)
        if not actors:
            return
        objects["AsyncActor"] = actors
        names = {obj["metadata"]["name"] for obj in actors}
        for resource in KINDS:
            listed = self._try_read(repr(resource), lambda resource=resource: self._labelled(resource)) or []  # type: ignore[misc]
            objects[resource.kind] = [obj for obj in listed if _label(obj) in names or obj["metadata"]["name"] in names]
        pods = objects["Pod"]
        self._secrets = self._known_secrets([*pods, *actors])
        for file, text in self._unredacted(actors, objects, pods):
            yield file, redact(text, self._secrets)
        if self.failures:
            yield "failures.txt", redact("\n".join(self.failures) + "\n", self._secrets)

    def _unredacted(
        self, actors: list[Object], objects: dict[str, list[Object]], pods: list[Object]
    ) -> Iterator[tuple[str, str]]:
        yield "versions.json", _json(self._versions(pods))
        for kind, members in objects.items():
            for obj in members:
                text = dump([redact_all(_plain({"kind": kind, **obj}), self._secrets)], "yaml")
                yield f"objects/{kind}-{obj['metadata']['name']}.yaml", text
        events = self._try_read("events", lambda: self._client.list(resources.EVENTS, self._namespace))
        if events is not None:
            yield "events.json", _json([_plain(event) for event in events])
        for obj in actors:
            name = obj["metadata"]["name"]
            story = self._try_read(f"explain {name}", lambda name=name: self._explained(name))  # type: ignore[misc]
            if story is not None:
                yield f"explain/{name}.txt", story
        yield from self._of_pods(self._namespace, pods)
        yield from self._of_operator()

    def _actors(self, actor: str) -> list[Object]:
        if not actor:
            return self._client.list(resources.ASYNC_ACTORS, self._namespace)
        actor_object = self._client.get(resources.ASYNC_ACTORS, self._namespace, actor)
        return [actor_object] if actor_object is not None else []

    def _labelled(self, resource: Resource) -> list[Object]:
        if resource.api_version.startswith("keda.sh") and not self._client.serves(
            resource.api_version, resource.plural
        ):
            return []
        return self._client.list(resource, self._namespace)

    def _explained(self, name: str) -> str:
        from cli.explain import lines, read

        story = read(self._client, self._namespace, name)
        return "\n".join(lines(story)) + "\n" if story is not None else ""

    def _versions(self, pods: list[Object]) -> Object:
        operator = self._try_read("the operator", lambda: self._client.list(resources.DEPLOYMENTS, self._home)) or []
        kubernetes = self._try_read("the version", self._client.version)
        return {
            "plugin": version("asya-operator"),
            "kubernetes": ".".join(map(str, kubernetes)) if kubernetes else None,
            "operator": {obj["metadata"]["name"]: _images(obj["spec"]["template"]["spec"]) for obj in operator},
            "pods": {pod["metadata"]["name"]: _images(pod["spec"]) for pod in pods},
        }

    # -- logs and metrics ------------------------------------------------------------------------

    def _of_pods(self, namespace: str, pods: list[Object]) -> Iterator[tuple[str, str]]:
        for pod in pods:
            name = pod["metadata"]["name"]
            for container in containers_of(pod):
                yield from self._logs(namespace, pod, container)
            for port in _metrics_ports(pod):
                path = f"{resources.PODS.path(namespace, name)}:{port}/proxy/metrics"
                text = self._try_read(f"metrics of {name}", lambda path=path: self._text(path, {}))  # type: ignore[misc]
                if text is not None:
                    yield f"metrics/{name}-{port}.txt", text

    def _logs(self, namespace: str, pod: Object, container: str) -> Iterator[tuple[str, str]]:
        name = pod["metadata"]["name"]
        path = resources.PODS.path(namespace, name, "log")
        statuses = (pod.get("status") or {}).get("containerStatuses") or ()
        has_restarted = any(s.get("name") == container and s.get("restartCount") for s in statuses)
        for suffix, more in (("", {}), *((("-previous", {"previous": "true"}),) if has_restarted else ())):
            query = {"container": container, "tailLines": str(self._tail), "timestamps": "true", **more}
            text = self._try_read(
                f"log of {name}/{container}{suffix}",
                lambda query=query: self._text(path, query),  # type: ignore[misc]
            )
            if text is not None:
                yield f"logs/{name}-{container}{suffix}.log", text

    def _of_operator(self) -> Iterator[tuple[str, str]]:
        selector = "app.kubernetes.io/component in (controller,webhook)"
        listed = self._try_read(
            "the operator's pods", lambda: self._client.list(resources.PODS, self._home, labelSelector=selector)
        )
        pods = [pod for pod in listed or () if any(map(is_operator, pod["spec"]["containers"]))]
        for file, text in self._of_pods(self._home, pods):
            yield f"operator/{file}", text

    def _text(self, path: str, query: dict[str, str]) -> str:
        response = self._client.request("GET", path, query=query, stream=True)
        try:
            return str(response.read(decode_content=True).decode(errors="replace"))
        finally:
            response.release_conn()

    def _try_read(self, subject: str, read: Callable[[], Any]) -> Any:
        """Return what ``read`` returns. If the API server refuses, record a failure and return None."""
        try:
            return read()
        except ApiError as error:
            self.failures.append(f"{subject}: {error.message}")
            return None

    # -- secrets ---------------------------------------------------------------------------------

    def _known_secrets(self, objects: list[Object]) -> list[str]:
        """Values of the Secrets that the objects name, in every encoding that a file may contain; longest first."""
        values = set(plain_secrets(spec for obj in objects for spec in _pod_specs(obj)))
        for name in sorted(set(_secret_names(objects))):
            try:
                secret = self._client.get(resources.SECRETS, self._namespace, name) or {}
            except ApiError:
                continue  # a caller without this right gets no value from it either
            for data in (secret.get("data") or {}).values():
                values.update(_forms(data))
        return sorted((value for value in values if len(value) >= SHORTEST), key=len, reverse=True)


def _pod_specs(obj: Object) -> Iterator[Object]:
    """The parts of a pod or an AsyncActor that have containers with environment variables."""
    spec = obj.get("spec") or {}
    yield spec
    yield ((spec.get("workload") or {}).get("template") or {}).get("spec") or {}
    yield {"containers": [spec.get("sidecar") or {}]}


def _forms(data: str) -> Iterator[str]:
    """A value of a Secret as base64, as text, as part of a URL, as JSON, and each of its lines."""
    yield data
    text = base64.b64decode(data).decode(errors="replace")
    yield text
    yield quote(text, safe="")
    yield json.dumps(text)[1:-1]
    yield from text.splitlines()


def _secret_names(value: Any) -> Iterator[str]:
    """Names of all Secrets that any field of an object refers to."""
    if isinstance(value, list):
        for element in value:
            yield from _secret_names(element)
    elif isinstance(value, dict):
        for key, field in value.items():
            if isinstance(field, dict) and (
                key in ("secretKeyRef", "secret", "secretRef") or key.endswith("SecretRef")
            ):
                name = field.get("name") or field.get("secretName")
                yield from [name] if isinstance(name, str) else []
            yield from _secret_names(field)


def _plain(obj: Object) -> Object:
    """An object without managedFields and kubectl's copy of it, which repeat its fields."""
    metadata = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    annotations = metadata.get("annotations") or {}
    if ANNOTATION_LAST_APPLIED in annotations:
        metadata["annotations"] = {k: v for k, v in annotations.items() if k != ANNOTATION_LAST_APPLIED}
    return {**obj, "metadata": metadata}


def _label(obj: Object) -> str:
    return str((obj["metadata"].get("labels") or {}).get(LABEL_ACTOR, ""))


def _images(spec: Object) -> dict[str, str]:
    containers: Iterable[Object] = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return {c["name"]: c.get("image", "") for c in containers}


def _metrics_ports(pod: Object) -> list[int]:
    """The ports of a pod on which its sidecar or the operator serves metrics."""
    containers = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
    ports = [port for c in containers for port in c.get("ports") or ()]
    return [port["containerPort"] for port in ports if port.get("name") in (METRICS_PORT, "metrics")]


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
