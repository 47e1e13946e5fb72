"""A mutating webhook of another owner. It changes or refuses every object that it receives."""

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import trustme

from kube.client import Client
from kube.objects import Object
from tests.harness.operator import WEBHOOKS

Mutate = Callable[[Object], list[Object] | str]
"""A function from an object to a JSON patch, or to the reason for a refusal."""


class Server:
    """Serves ``mutate`` over TLS on loopback, and counts the calls."""

    def __init__(self, mutate: Mutate, delay: float = 0.0) -> None:
        self.calls = 0
        self._gate = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                outer.calls += 1
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                request = review["request"]
                outer._gate.wait(delay)
                patch = mutate(request["object"])
                response: Object = {"uid": request["uid"], "allowed": not isinstance(patch, str)}
                if isinstance(patch, str):
                    response["status"] = {"code": 403, "message": patch}
                elif patch:
                    data = base64.b64encode(json.dumps(patch).encode()).decode()
                    response |= {"patchType": "JSONPatch", "patch": data}
                body = json.dumps({**review, "request": None, "response": response}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.client_config = {
            "url": f"https://127.0.0.1:{self._server.server_address[1]}/",
            "caBundle": base64.b64encode(authority.cert_pem.bytes()).decode(),
        }

    def close(self) -> None:
        """Stop the server."""
        self._gate.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def injector(
    client: Client, name: str, namespace: str, mutate: Mutate, delay: float = 0.0, **hook: Any
) -> Iterator[Server]:
    """Such a webhook for pods, ConfigMaps and Deployments of one namespace. ``hook`` overrides its fields.

    The API server calls webhooks in the order of their configurations' names.
    """
    server = Server(mutate, delay)
    resource = WEBHOOKS["MutatingWebhookConfiguration"]
    webhook = {
        "name": "injector.example.com",
        "clientConfig": server.client_config,
        "rules": [
            {
                "apiGroups": ["apps"],
                "apiVersions": ["v1"],
                "operations": ["CREATE", "UPDATE"],
                "resources": ["deployments"],
            },
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods", "configmaps"]},
        ],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "reinvocationPolicy": "IfNeeded",
        **hook,
    }
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [webhook],
    }
    client.apply(resource, configuration, manager="test")
    try:
        yield server
    finally:
        client.delete(resource, "", name)
        server.close()
