"""Serves the API over HTTP: paths, discovery, watches, tables. The caller provides the TLS context."""

import json
import re
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson
import yaml

from sandbox import protobuf
from sandbox.api import APPLY, Api, Call
from sandbox.builtin import ResourceType
from sandbox.discovery import entries, group_of, openapi, root
from sandbox.errors import Failure
from sandbox.pages import Pages
from sandbox.schema import unknown_fields
from sandbox.selectors import field_filter, label_filter
from sandbox.store import Change
from sandbox.table import table

Object = dict[str, Any]
BOOKMARK_SECONDS = 30.0
VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.0-sandbox", "platform": "linux/amd64"}

_PATH = re.compile(
    r"^/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/[^/]))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<subresource>[^/]+))?$"
)


NEEDS_CONTAINERS = ("log", "exec", "attach", "portforward", "proxy")
"""Subresources of a pod that need a running container."""


class Server(ThreadingHTTPServer):
    """Serves ``api`` until ``close``."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address: tuple[str, int], api: Api, context: ssl.SSLContext | None = None) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)
        self.api, self.pages = api, Pages()
        self._context = context
        self._open: set[socket.socket] = set()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection. The TLS handshake runs on the connection's own thread."""
        connection, address = super().get_request()
        if self._context:
            connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Close one connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing: a client that closes its connection is normal."""

    def close(self) -> None:
        """Stop, and close every connection, as if the process were killed."""
        self.api.store.close()
        self.shutdown()
        self.server_close()
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def start(self) -> None:
        """Serve on a thread of its own."""
        threading.Thread(target=self.serve_forever, name="sandbox", daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Server

    def setup(self) -> None:
        super().setup()
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.settimeout(10)
            self.connection.do_handshake()
            self.connection.settimeout(None)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _handle(self) -> None:
        url = urlsplit(self.path)
        query = {k: v[-1] for k, v in parse_qs(url.query, keep_blank_values=True).items()}
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length) if length else b""
        warnings: list[str] = []
        try:
            answer = self._route(url.path.rstrip("/") or "/", query, raw, warnings)
            if answer is None:
                return
            code, body = answer
        except Failure as failure:
            code, body = failure.code, failure.status()
        except (TypeError, AttributeError, KeyError, ValueError) as error:
            # The sandbox has no schemas of built-in types, so a wrong type of a value appears only here.
            code = 400
            body = Failure(code, f"the object cannot be handled, a field has the wrong type: {error!r}").status()
        self._send(code, body, warnings)

    def _send(self, code: int, body: Any, warnings: list[str]) -> None:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        self.send_response(code)
        self.send_header("Content-Type", "text/plain" if isinstance(body, bytes) else "application/json")
        self.send_header("Content-Length", str(len(data)))
        for warning in warnings:
            self.send_header("Warning", f"299 - {json.dumps(warning)}")
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def _route(self, path: str, query: dict[str, str], raw: bytes, warnings: list[str]) -> tuple[int, Any] | None:
        static = self._discovery(path)
        if static is not None:
            return 200, static
        match = _PATH.match(path)
        if not match:
            raise Failure(404, "the server could not find the requested resource")
        part = {k: unquote(v) if v else "" for k, v in match.groupdict().items()}
        api = self.server.api
        resource = api.type(part["group"], part["core"] or part["version"], part["plural"])
        if resource.kind == "Pod" and part["subresource"] in NEEDS_CONTAINERS:
            raise Failure(
                400, f"the sandbox runs no containers, so the pod {part['name']!r} has no {part['subresource']}"
            )
        if part["subresource"] and part["subresource"] not in resource.subresources:
            raise Failure(404, "the server could not find the requested resource")
        if resource.namespaced and part["name"] and not part["namespace"]:
            raise Failure(404, "the server could not find the requested resource")
        call = Call(
            manager=query.get("fieldManager") or (self.headers.get("User-Agent") or "unknown").partition("/")[0],
            force=query.get("force") == "true",
            dry_run=query.get("dryRun") == "All",
            subresource=part["subresource"],
            user=self._user(),
            warnings=warnings,
        )
        namespace, name = part["namespace"], part["name"]
        if self.command == "GET":
            return self._read(resource, namespace, name, call, query)
        body = protobuf.decode(raw) if "protobuf" in (self.headers.get("Content-Type") or "") else self._body(raw)
        if query.get("fieldValidation") == "Strict" and resource.schema is not None and isinstance(body, dict):
            unknown = unknown_fields(body, resource.schema)
            if unknown:
                listed = ", ".join(f'unknown field "{path}"' for path in unknown)
                raise Failure(
                    400,
                    f"{resource.kind} in version {resource.version} cannot be handled: strict decoding error: {listed}",
                )
        if self.command == "POST" and not name:
            return 201, api.create(resource, namespace, body, call)
        if self.command == "PUT" and call.subresource == "scale":
            return 200, api.set_scale(resource, namespace, name, body, call)
        if self.command == "PUT":
            return 200, api.update(resource, namespace, name, body, call)
        if self.command == "PATCH":
            content_type = (self.headers.get("Content-Type") or "").partition(";")[0]
            exists = content_type != APPLY or api.store.get(
                resource.qualified, (namespace if resource.namespaced else "", name)
            )
            return 200 if exists else 201, api.patch(resource, namespace, name, content_type, body, call)
        if self.command == "DELETE" and name:
            return 200, api.delete(resource, namespace, name, call, body)
        if self.command == "DELETE":
            accept = label_filter(query.get("labelSelector", ""))
            for obj in api.store.all(resource.qualified, namespace):
                if accept(obj):
                    metadata = obj["metadata"]
                    api.delete(resource, metadata.get("namespace", ""), metadata["name"], call, body)
            return 200, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        raise Failure(405, f"the server does not allow {self.command} here")

    def _user(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or "system:anonymous"

    def _body(self, raw: bytes) -> Any:
        if not raw:
            return None
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            try:
                return yaml.load(raw, yaml.CSafeLoader)
            except yaml.YAMLError as error:
                raise Failure(400, f"the body of the request cannot be parsed: {error}") from None

    def _read(
        self, resource: ResourceType, namespace: str, name: str, call: Call, query: dict[str, str]
    ) -> tuple[int, Any] | None:
        api = self.server.api
        tabular = "as=Table" in (self.headers.get("Accept") or "")
        if name:
            if call.subresource == "scale":
                return 200, api.scale(resource, namespace, name)
            obj = api.get(resource, namespace, name)
            return 200, table(resource, [obj], {}) if tabular else obj
        if query.get("watch") in ("true", "1"):
            if query.get("sendInitialEvents"):
                raise Failure(422, "sendInitialEvents: Forbidden: the sandbox does not support it; list, then watch")
            self._watch(resource, namespace, query, tabular)
            return None
        version = api.store.version
        accept, accept_field = self._filters(query)
        items = [o for o in api.store.all(resource.qualified, namespace) if accept(o) and accept_field(o)]
        items, metadata = self.server.pages.page(items, str(version), query)
        if tabular:
            return 200, table(resource, items, metadata)
        if resource.schema is None:
            items = [{k: v for k, v in o.items() if k not in ("apiVersion", "kind")} for o in items]
        return 200, {
            "kind": f"{resource.kind}List",
            "apiVersion": resource.api_version,
            "metadata": metadata,
            "items": items,
        }

    @staticmethod
    def _filters(query: dict[str, str]) -> tuple[Any, Any]:
        return label_filter(query.get("labelSelector", "")), field_filter(query.get("fieldSelector", ""))

    def _watch(self, resource: ResourceType, namespace: str, query: dict[str, str], tabular: bool) -> None:
        labels, fields = self._filters(query)

        def is_selected(obj: Object | None) -> bool:
            return (
                obj is not None
                and (not namespace or obj["metadata"].get("namespace") == namespace)
                and labels(obj)
                and fields(obj)
            )

        store = self.server.api.store
        since = int(query.get("resourceVersion") or 0)
        timer = threading.Event()
        seconds = float(query.get("timeoutSeconds") or 1800)
        end = threading.Timer(seconds, timer.set)
        end.daemon = True
        end.start()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        try:
            if not since:
                since = store.version
                for obj in store.all(resource.qualified):
                    if is_selected(obj):
                        self._event("ADDED", obj, resource, tabular)
            for change in store.watch(resource.qualified, since, min(BOOKMARK_SECONDS, seconds)):
                if change is None:
                    if query.get("allowWatchBookmarks") in ("true", "1"):
                        self._bookmark(resource, store.version)
                else:
                    kind = self._event_type(change, is_selected)
                    if kind:
                        self._event(kind, self._event_object(kind, change), resource, tabular)
                if timer.is_set():
                    break
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()
        except Failure as failure:
            self._chunk({"type": "ERROR", "object": failure.status()})
            self.wfile.write(b"0\r\n\r\n")
            self.wfile.flush()
        except OSError:
            self.close_connection = True  # the client closed the connection
        finally:
            end.cancel()

    @staticmethod
    def _event_type(change: Change, is_selected: Any) -> str:
        """The event's type for a watch. A change can move the object into its selection, or out of it."""
        before, after = is_selected(change.old), is_selected(change.object)
        if change.type == "DELETED":
            return "DELETED" if before else ""
        if before and after:
            return "MODIFIED"
        return "ADDED" if after else "DELETED" if before else ""

    @staticmethod
    def _event_object(kind: str, change: Change) -> Object:
        """The object of an event. An object that leaves the selection has its last state from inside it."""
        if kind != "DELETED" or change.old is None or change.type == "DELETED":
            return change.object
        return {**change.old, "metadata": {**change.old["metadata"], "resourceVersion": str(change.version)}}

    def _bookmark(self, resource: ResourceType, version: int) -> None:
        marker = {
            "kind": resource.kind,
            "apiVersion": resource.api_version,
            "metadata": {"resourceVersion": str(version), "creationTimestamp": None},
        }
        self._chunk({"type": "BOOKMARK", "object": marker})

    def _event(self, kind: str, obj: Object, resource: ResourceType, tabular: bool) -> None:
        self._chunk({"type": kind, "object": table(resource, [obj], {}) if tabular else obj})

    def _chunk(self, event: Object) -> None:
        data = orjson.dumps(event) + b"\n"
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _discovery(self, path: str) -> Any:
        if self.command != "GET":
            return None
        types = list(self.server.api.types.values())
        if path in ("/healthz", "/readyz", "/livez"):
            return b"ok"
        if path == "/version":
            return VERSION
        if path == "/openapi/v3":
            versions = {t.api_version for t in types}
            return {"paths": {root(v)[1:]: {"serverRelativeURL": f"/openapi/v3{root(v)}"} for v in versions}}
        if path.startswith("/openapi/v3/"):
            return openapi([t for t in types if root(t.api_version) == path.removeprefix("/openapi/v3")])
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
        if path == "/apis":
            groups: dict[str, list[str]] = {}
            for t in types:
                if t.group and t.version not in groups.setdefault(t.group, []):
                    groups[t.group].append(t.version)
            return {
                "kind": "APIGroupList",
                "apiVersion": "v1",
                "groups": [group_of(name, versions) for name, versions in groups.items()],
            }
        match = re.match(r"^/(?:api/(v1)|apis/([^/]+)/([^/]+))$", path)
        if match:
            group, version = match[2] or "", match[1] or match[3]
            served = [t for t in types if (t.group, t.version) == (group, version)]
            if served:
                return {
                    "kind": "APIResourceList",
                    "apiVersion": "v1",
                    "groupVersion": served[0].api_version,
                    "resources": [entry for t in served for entry in entries(t)],
                }
        return None
