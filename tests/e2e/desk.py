"""Actors without pods of their own, whose messages the tests read at a broker; and the plugin as a process."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kube.objects import Object
from kube.resources import JOBS, PODS, SECRETS
from messages.job import LABEL
from messages.local import LocalSession
from messages.requests import Request
from messages.target import Target, find_target
from tests.e2e.rig import REPOSITORY, TAGS, Dialect, secret, transport_of
from tests.harness.brokers import PLAIN_PASSWORD, VHOST, Broker, RabbitMQ, Sqs
from tests.harness.clusters import ROOT, Cluster, wait_for
from tests.harness.space import Space, actor
from tests.podrun.node import ProcessNode
from tests.podrun.pod import Image

IMAGE = "asya-operator:test"
MARKED = "MARKED-PAYLOAD-4711"
Ran = subprocess.CompletedProcess[str]
AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@dataclass
class Desk:
    """One actor ``a`` and its queues."""

    cluster: Cluster
    space: Space
    broker: Broker
    dialect: Dialect

    @property
    def target(self) -> Target:
        """The target that the plugin would find."""
        return find_target(self.space.client, self.space.name, "a")

    def queue(self, name: str) -> str:
        """The queue of an actor."""
        return self.dialect.queue(self.space.name, name)

    def ask(self, **request: Any) -> list[Object]:
        """The events of a request, in this process."""
        made: Request = self.target.request(**request)
        return list(LocalSession(self.space.client, self.target).run(made))

    def command(self, *arguments: str) -> list[str]:
        """The plugin's command line."""
        return [sys.executable, "-m", "cli", *arguments, "--namespace", self.space.name]

    def environment(self, kubeconfig: Path | None = None) -> dict[str, str]:
        """The plugin's environment variables."""
        return {
            **os.environ,
            **AWS,
            "KUBECONFIG": str(kubeconfig or self.cluster.kubeconfig),
            "ASYA_IMAGE": IMAGE,
            "PYTHONPATH": str(ROOT),
        }

    def run(self, *arguments: str, stdin: str = "", kubeconfig: Path | None = None) -> Ran:
        """Run the plugin."""
        return subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            input=stdin,
            env=self.environment(kubeconfig),
            timeout=120,
        )

    def fail(self, count: int, error: str = "ValueError") -> list[Object]:
        """Send messages on which ``a`` has failed, as its sidecar would. Return them as they were before."""
        sent, dead = [], []
        for n in range(count):
            message = {"id": f"m{n}", "route": self.dialect.route([], "a", ["b"]), "payload": {"n": n}}
            details = {"message": f"no good: {n}", "type": error, "traceback": "Traceback: …"}
            payload = {"error": "processing_error", "details": details, "original_payload": message["payload"]}
            status = {"status": {"phase": "failed", "actor": "a"}} if self.dialect.is_http else {}
            sent.append(message)
            dead.append(json.dumps({**message, **status, "payload": payload}).encode())
        self.broker.publish(self.queue(self.dialect.failed), dead)
        return sent

    def left_over(self) -> list[str]:
        """Objects that the plugin has created and not deleted."""
        client, where = self.space.client, self.space.name
        return [
            f"{resource.kind}/{obj['metadata']['name']}"
            for resource in (JOBS, PODS, SECRETS)
            for obj in client.list(resource, where, labelSelector=LABEL)
        ]

    def wait_clean(self) -> None:
        """Wait until no such object remains."""
        wait_for("nothing to be left", lambda: not self.left_over(), timeout=60)


@contextmanager
def desk(cluster: Cluster, broker: Broker, generation: str) -> Iterator[Desk]:
    """An actor of a generation at a broker."""
    if isinstance(broker, RabbitMQ):
        broker.vhost = "/" if generation == "frames" else VHOST
    kind = "sqs" if isinstance(broker, Sqs) else "rabbitmq"
    with Space.numbered(cluster.client(), f"desk-{kind}-{generation}") as space:
        made = Desk(cluster, space, broker, Dialect(generation))
        broker.declare(*(made.queue(name) for name in ("a", made.dialect.sink, made.dialect.sump)))
        if isinstance(broker, RabbitMQ):
            space.apply(secret("rabbitmq", password=PLAIN_PASSWORD, url=broker.url))
        image = f"{REPOSITORY}:{TAGS[generation]}"
        env = [{"name": name, "value": value} for name, value in AWS.items()] if kind == "sqs" else []
        space.apply(actor("a", transport=transport_of(broker), sidecar={"image": image, "env": env}))
        yield made


@contextmanager
def node(cluster: Cluster, directory: Path, **environment: str) -> Iterator[ProcessNode]:
    """A node that runs the plugin's pods: this Python with this code."""
    environment = {"PATH": os.defpath, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment}
    images = {IMAGE: Image((sys.executable, "-m", "cli"), environment)}
    with ProcessNode(cluster.client(), "messages", LABEL, directory, images).running() as started:
        yield started


def kubeconfig_of(desk: Desk, directory: Path, role: str) -> Path:
    """A kubeconfig of a user with a role of Kubernetes in the namespace, and the right to read its actors."""
    client, where = desk.space.client, desk.space.name
    rbac = "rbac.authorization.k8s.io"
    root = f"/apis/{rbac}/v1/namespaces/{where}"
    client.request("POST", f"/api/v1/namespaces/{where}/serviceaccounts", body={"metadata": {"name": role}})
    rules = [{"apiGroups": ["asya.io"], "resources": ["asyncactors"], "verbs": ["get", "list"]}]
    client.request("POST", f"{root}/roles", body={"metadata": {"name": f"{role}-actors"}, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": role, "namespace": where}
    for kind, name in (("ClusterRole", role), ("Role", f"{role}-actors")):
        binding = {
            "metadata": {"name": f"{role}-{kind.lower()}"},
            "roleRef": {"apiGroup": rbac, "kind": kind, "name": name},
            "subjects": [subject],
        }
        client.request("POST", f"{root}/rolebindings", body=binding)
    token = client.request(
        "POST", f"/api/v1/namespaces/{where}/serviceaccounts/{role}/token", body={"spec": {"audiences": []}}
    )["status"]["token"]
    config = yaml.safe_load(desk.cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    path = directory / f"kubeconfig-{role}"
    path.write_text(yaml.safe_dump(config))
    return path
