"""A namespace of a test cluster, with short functions that write to it and wait for results."""

import copy
import itertools
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import orjson
import yaml

from kube import resources
from kube.client import Client
from kube.failures import ApiError
from kube.objects import Object
from kube.resources import Resource
from tests.harness.clusters import PATIENCE, ROOT, wait_for

NAMESPACES = Resource("v1", "Namespace", "namespaces")
EXAMPLES = ROOT / "examples"

BY_KIND = {
    resource.kind: resource
    for resource in (
        resources.ASYNC_ACTORS,
        resources.CONFIG_MAPS,
        resources.EVENTS,
        resources.PODS,
        resources.DEPLOYMENTS,
        resources.STATEFUL_SETS,
        resources.JOBS,
        resources.SCALED_OBJECTS,
        resources.SCALED_JOBS,
        resources.TRIGGER_AUTHENTICATIONS,
        Resource("apps/v1", "ReplicaSet", "replicasets"),
        Resource("apps/v1", "DaemonSet", "daemonsets"),
        Resource("batch/v1", "CronJob", "cronjobs"),
        Resource("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
        Resource("v1", "Secret", "secrets"),
    )
}


def example(name: str) -> Object:
    """The object in ``examples/NAME.yaml``."""
    loaded: Object = yaml.safe_load(Path(EXAMPLES / f"{name}.yaml").read_text())
    return loaded


def actor(name: str, **spec: Any) -> Object:
    """A small RabbitMQ actor. ``spec`` replaces or adds fields of its spec."""
    container = {"name": "runtime", "image": "python:3.12", "env": [{"name": "ASYA_HANDLER", "value": "app.handle"}]}
    return {
        "apiVersion": "asya.io/v1alpha1",
        "kind": "AsyncActor",
        "metadata": {"name": name},
        "spec": {
            "transport": {"type": "rabbitmq", "rabbitmq": {"host": "rabbitmq"}},
            "workload": {"template": {"spec": {"containers": [container]}}},
            **spec,
        },
    }


_NUMBERS = itertools.count(1)


class Space:
    """One namespace."""

    def __init__(self, client: Client, name: str) -> None:
        self.client, self.name = client, name

    @classmethod
    @contextmanager
    def create(cls, client: Client, name: str) -> Iterator["Space"]:
        """Create the namespace. It is deleted at the end, without waiting."""
        client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        yield cls(client, name)
        client.delete(NAMESPACES, "", name)

    @classmethod
    def numbered(cls, client: Client, prefix: str) -> AbstractContextManager["Space"]:
        """A namespace with a new name, because the deletion of an older one may not be complete."""
        return cls.create(client, f"{prefix}-{next(_NUMBERS)}")

    def apply(self, obj: Object, manager: str = "kubectl") -> Object:
        """Apply an object by server-side apply."""
        return self.client.apply(BY_KIND[obj["kind"]], self.here(obj), manager=manager)

    def create_object(self, obj: Object) -> Object:
        """Create an object."""
        return self.client.create(BY_KIND[obj["kind"]], self.here(obj))

    def here(self, obj: Object) -> Object:
        """A copy of ``obj`` in this namespace."""
        obj = copy.deepcopy(obj)
        obj.setdefault("metadata", {})["namespace"] = self.name
        return obj

    def get(self, kind: str, name: str) -> Object | None:
        """The object, or None."""
        return self.client.get(BY_KIND[kind], self.name, name)

    def all(self, kind: str) -> list[Object]:
        """All objects of a kind."""
        objects = self.client.list(BY_KIND[kind], self.name)
        return [{"apiVersion": BY_KIND[kind].api_version, "kind": kind, **obj} for obj in objects]

    def patch(self, kind: str, name: str, patch: Object, subresource: str = "") -> Object:
        """Send a JSON merge patch as another manager than the operator."""
        return dict(
            self.client.request(
                "PATCH",
                BY_KIND[kind].path(self.name, name, subresource),
                query={"fieldManager": "somebody"},
                body=patch,
                content_type="application/merge-patch+json",
            )
        )

    def scale(self, kind: str, name: str, replicas: int) -> None:
        """Write the scale subresource, as an HPA does."""
        self.patch(kind, name, {"spec": {"replicas": replicas}}, "scale")

    def delete(self, kind: str, name: str) -> None:
        """Delete an object."""
        self.client.delete(BY_KIND[kind], self.name, name)

    def wait(self, kind: str, name: str, timeout: float = PATIENCE) -> Object:
        """Wait for the object, and return it."""
        obj = wait_for(f"{kind} {name}", lambda: self.get(kind, name), timeout)
        assert obj is not None
        return obj

    def wait_gone(self, kind: str, name: str, timeout: float = PATIENCE) -> None:
        """Wait until the object does not exist."""
        wait_for(f"{kind} {name} to go", lambda: self.get(kind, name) is None, timeout)

    def wait_for_others(self) -> None:
        """Wait until no other namespace is being deleted, because that keeps the operator busy."""
        wait_for(
            "namespaces to go",
            lambda: not any(n["metadata"].get("deletionTimestamp") for n in self.client.list(NAMESPACES)),
        )

    def condition(self, name: str, condition: str) -> Object:
        """A condition of an actor. Empty if there is none of that type."""
        value = self.get("AsyncActor", name) or {}
        conditions = (value.get("status") or {}).get("conditions") or ()
        return next((c for c in conditions if c["type"] == condition), {})

    def wait_condition(
        self, name: str, condition: str, status: str, reason: str | None = None, timeout: float = PATIENCE
    ) -> Object:
        """Wait until an actor's condition has this status and, if given, this reason, for its latest generation."""

        def probe() -> Object | None:
            outcome = self.condition(name, condition)
            generation = (self.get("AsyncActor", name) or {})["metadata"]["generation"]
            right = (outcome["status"], outcome["observedGeneration"]) == (status, generation)
            if right and reason in (None, outcome["reason"]):
                return outcome
            raise AssertionError(outcome)

        result = wait_for(f"{name} {condition}={status} ({reason})", probe, timeout)
        assert result is not None
        return result

    def refused(self, obj: Object) -> str:
        """The message with which the API server refuses to create ``obj`` or, if it exists, to apply it."""
        resource, name = BY_KIND[obj["kind"]], obj["metadata"]["name"]
        exists = self.client.get(resource, self.name, name) is not None
        try:
            self.client.request(
                "PATCH" if exists else "POST",
                resource.path(self.name, name if exists else ""),
                query={"fieldManager": "kubectl", "dryRun": "All", **({"force": "true"} if exists else {})},
                body=self.here(obj),
                content_type="application/apply-patch+yaml" if exists else "application/json",
            )
        except ApiError as error:
            if not 400 <= error.code < 500:
                raise
            return error.message
        raise AssertionError(f"not refused: {obj}")

    def raw(self, method: str, path: str, body: Any = None, query: str = "", accept: str = "application/json") -> Any:
        """Send a request. Return the whole urllib3 response."""
        client: Any = self.client
        headers = {"Content-Type": "application/json", "Accept": accept}
        headers |= client._headers()
        data = None if body is None else orjson.dumps(body)
        return client._pool.request(method, f"{client._host}{path}{query}", body=data, headers=headers)

    def warnings(self, obj: Object) -> list[str]:
        """The warnings that a creation of ``obj`` would give."""
        path = BY_KIND[obj["kind"]].path(self.name)
        answer = self.raw("POST", path, self.here(obj), "?dryRun=All")
        assert answer.status == 201, answer.data
        return [json.loads(w.partition(" - ")[2]) for w in answer.headers.getlist("Warning")]

    def table(self, kind: str, *, wide: bool = True) -> tuple[list[str], list[list[Any]]]:
        """The table of ``kubectl get``, with or without ``--output wide``: names of the columns, and rows."""
        accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
        table = orjson.loads(self.raw("GET", BY_KIND[kind].path(self.name), accept=accept).data)
        shown = [n for n, c in enumerate(table["columnDefinitions"]) if wide or not c["priority"]]
        names = [table["columnDefinitions"][n]["name"] for n in shown]
        return names, [[row["cells"][n] for n in shown] for row in table["rows"]]


def containers(workload: Object) -> list[str]:
    """Names of the containers of a workload's template."""
    return [c["name"] for c in workload["spec"]["template"]["spec"]["containers"]]


def fingerprint(obj: Object) -> tuple[str, int, str]:
    """The values that change with every write: uid, generation, resource version."""
    metadata = obj["metadata"]
    return metadata["uid"], metadata.get("generation", 0), metadata["resourceVersion"]
