"""A node of a real control plane that runs pods with a label as processes, and serves their logs as a kubelet does."""

import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trustme

from kube.client import Client
from kube.failures import ApiError
from kube.informer import Informer
from kube.objects import Object
from kube.resources import PODS, Resource
from tests.harness.clusters import free_port
from tests.podrun.pod import CreateContainerConfigError, Image, Pod

NODES = Resource("v1", "Node", "nodes")
TAINT = {"key": "tests", "effect": "NoSchedule", "value": "processes"}
"""A taint that excludes other pods. The node's own pods are bound to it directly."""
PAUSE = 0.05


class ProcessNode:
    """One node. It takes pods with ``label``, whatever its value."""

    def __init__(self, client: Client, name: str, label: str, directory: Path, images: Mapping[str, Image]) -> None:
        self._client, self.name, self._label = client, name, label
        self._directory, self._images = directory, images
        self.pods: dict[str, Pod] = {}
        """Its running and ended pods, by name."""
        self._taken: set[str] = set()
        self._informer = Informer(client, PODS, self._changed)
        self._server = _server(self)

    @contextmanager
    def running(self) -> Iterator["ProcessNode"]:
        """Register the node, and run pods while the block runs."""
        port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        node: Object = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name}}
        self._client.create(NODES, {**node, "spec": {"taints": [TAINT]}})
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        self._client.merge_patch(NODES, "", self.name, {"status": status}, subresource="status")
        self._informer.start()
        try:
            yield self
        finally:
            self._informer.stop()
            for pod in self.pods.values():
                pod.stop()
            self._server.shutdown()
            self._client.delete(NODES, "", self.name)

    def _changed(self, pod: Object, deleted: bool) -> None:
        metadata = pod["metadata"]
        if deleted or self._label not in (metadata.get("labels") or {}):
            return
        if metadata.get("deletionTimestamp"):
            threading.Thread(target=self._end, args=(pod,), daemon=True).start()
        elif metadata["name"] not in self._taken:
            self._taken.add(metadata["name"])
            threading.Thread(target=self._run, args=(pod,), daemon=True).start()

    def _run(self, pod: Object) -> None:
        """Bind the pod, start it as soon as its Secrets exist, and report the state of its container."""
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name},
            "target": {"apiVersion": "v1", "kind": "Node", "name": self.name},
        }
        try:
            self._client.request("POST", PODS.path(namespace, name, "binding"), body=binding)
            running = self._started(pod)
            self.pods[name] = running
            self._report(pod, "Running", {"running": {}})
            (container,) = running.containers.values()
            container.ended.wait()
            code = container.exits[-1]
            reason = "Completed" if code == 0 else "Error"
            phase = "Succeeded" if code == 0 else "Failed"
            self._report(pod, phase, {"terminated": {"exitCode": max(code, 0) or int(code != 0), "reason": reason}})
        except ApiError:
            return  # the pod or its namespace is deleted

    def _started(self, pod: Object) -> Pod:
        attempt = 0
        while True:
            attempt += 1
            directory = self._directory / f"{pod['metadata']['name']}-{attempt}"
            running = Pod(pod, self._client, directory, self._images)
            try:
                running.start()
            except CreateContainerConfigError as error:
                if attempt > 10:
                    waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": str(error)}}
                    self._report(pod, "Pending", waiting)
                time.sleep(PAUSE)
            else:
                return running

    def _report(self, pod: Object, phase: str, state: Object) -> None:
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        (container,) = pod["spec"]["containers"]
        status = {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": "running" in state,
            "restartCount": 0,
            "state": state,
        }
        patch = {"status": {"phase": phase, "containerStatuses": [status]}}
        self._client.merge_patch(PODS, namespace, name, patch, subresource="status")

    def _end(self, pod: Object) -> None:
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        if name in self.pods:
            self.pods[name].stop()
        try:
            path = PODS.path(namespace, name)
            self._client.request("DELETE", path, body={"gracePeriodSeconds": 0})
        except ApiError:
            return  # another client has deleted it


def _server(node: ProcessNode) -> ThreadingHTTPServer:
    """The part of the kubelet's API that serves logs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            parts, query = url.path.strip("/").split("/"), parse_qs(url.query)
            running = node.pods.get(parts[2]) if len(parts) == 4 and parts[0] == "containerLogs" else None
            if running is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for data in _log(running, parts[3], follow="follow" in query):
                self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


def _log(pod: Pod, container: str, *, follow: bool) -> Iterator[bytes]:
    running = pod.containers[container]
    with running.log.open("rb") as log:
        while True:
            has_ended = running.ended.is_set()
            while data := log.read(1 << 16):
                yield data
            if has_ended or not follow:
                return
            time.sleep(PAUSE)


def describe(pods: Mapping[str, Pod]) -> str:
    """The state of its pods, for the message of a failed test."""
    return json.dumps({name: pod.logs()[-2000:] for name, pod in pods.items()}, indent=2)
