"""moto's SQS in a namespace of the tests."""

import json
from typing import Any

import urllib3

from tests.harness.brokers import call_sqs
from tests.node.images import MOTO
from tests.node.kubectl import Forward, apply, kubectl

PORT = 5000


class Queues:
    """One server."""

    REGION, ACCOUNT = "eu-west-1", "123456789012"

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        labels = {"app": "moto"}
        container = {
            "name": "moto",
            "image": MOTO,
            "imagePullPolicy": "IfNotPresent",
            "ports": [{"containerPort": PORT}],
            "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 2},
        }
        # Otherwise moto reads the variable MOTO_PORT of the Service as its own setting.
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container], "enableServiceLinks": False}}
        apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        apply(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "moto"}}
            | {"spec": {"selector": {"matchLabels": labels}, "template": template}},
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "moto"}}
            | {"spec": {"selector": labels, "ports": [{"port": PORT}]}},
            namespace=namespace,
        )
        kubectl("-n", namespace, "rollout", "status", "deployment/moto", "--timeout=180s", timeout=200)
        self.base = f"http://moto.{namespace}:{PORT}/{self.ACCOUNT}"
        self._forward = Forward(namespace, "deployment/moto", PORT)
        self._pool = urllib3.PoolManager()

    def create(self, *queues: str) -> None:
        """Create queues."""
        for queue in queues:
            self._call("CreateQueue", QueueName=queue)

    def send(self, queue: str, message: Any) -> None:
        """Send a message."""
        self._call("SendMessage", QueueUrl=f"{self.base}/{queue}", MessageBody=json.dumps(message))

    def take(self, queue: str) -> list[Any]:
        """Take the messages that are in the queue now, decoded."""
        url, bodies = f"{self.base}/{queue}", list[Any]()
        while messages := self._call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            entries = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(messages)]
            self._call("DeleteMessageBatch", QueueUrl=url, Entries=entries)
            bodies += [json.loads(message["Body"]) for message in messages]
        return bodies

    def _call(self, action: str, **parameters: Any) -> Any:
        if not self._forward.alive:
            self._forward = Forward(self.namespace, "deployment/moto", PORT)
        endpoint = f"http://127.0.0.1:{self._forward.ports[PORT]}"
        return call_sqs(self._pool, endpoint, self.REGION, action, parameters)

    def stop(self) -> None:
        """Delete the server."""
        self._forward.stop()
        kubectl("delete", "namespace", self.namespace, "--wait=false", "--ignore-not-found")
