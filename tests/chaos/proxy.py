"""A proxy between the operator and the API server that simulates failures of network and server.

It terminates the operator's TLS with its own certificate, so that it can answer instead of the API server. It forwards
credentials, and listens on loopback only.
"""

import base64
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import trustme
import urllib3
import yaml

GONE = (
    b'{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}}\n'
)
FAULTS = ("cut", "black-hole", "slow", "429", "500", "503", "truncated", "watch-410", "watch-ends")


@dataclass(frozen=True)
class RecordedRequest:
    """A request that arrived."""

    at: float
    method: str
    path: str

    @property
    def writes(self) -> bool:
        """Whether the request changes an object other than the leader election's."""
        return self.method not in ("GET", "CONNECTION") and "/leases" not in self.path


class Proxy:
    """Forwards to the API server of ``kubeconfig``. ``fault`` is one of :data:`FAULTS`, or empty."""

    def __init__(self, kubeconfig: Path, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self.server = cluster["server"]
        ca = directory / "upstream.crt"
        ca.write_bytes(base64.b64decode(cluster["certificate-authority-data"]))
        self.upstream = urllib3.PoolManager(ca_certs=str(ca), maxsize=64, retries=False)
        self.fault = ""
        self.instead: Callable[[str], tuple[int, bytes] | None] = lambda path: None
        """Answers for a path instead of the API server, unless it returns None."""
        self.epoch = 0
        """Counts black holes. A connection from before a black hole stays silent for ever."""
        self.requests: list[RecordedRequest] = []
        self.connections: set[socket.socket] = set()
        authority = trustme.CA()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self.context)
        self._http = _Server(("127.0.0.1", 0), self)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        port = self._http.server_address[1]
        cluster["server"] = f"https://127.0.0.1:{port}"
        cluster["certificate-authority-data"] = base64.b64encode(authority.cert_pem.bytes()).decode()
        self.kubeconfig = directory / "kubeconfig"
        self.kubeconfig.write_text(yaml.safe_dump(config))

    def start(self, fault: str) -> None:
        """Start a fault."""
        assert fault in FAULTS
        if fault == "black-hole":
            self.epoch += 1
        self.fault = fault
        if fault == "cut":
            self._cut()

    def end(self) -> None:
        """End the fault and forward again. Connections that a black hole swallowed stay silent."""
        self.fault = ""

    def close(self) -> None:
        """Stop the proxy."""
        self._http.shutdown()
        self._cut()

    def since(self, began: float) -> list[RecordedRequest]:
        """The requests since a moment."""
        return [request for request in self.requests if request.at >= began]

    def note(self, method: str, path: str) -> None:
        """Record a request, or an attempt to connect."""
        self.requests.append(RecordedRequest(time.monotonic(), method, path))

    def _cut(self) -> None:
        for connection in list(self.connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], proxy: Proxy) -> None:
        self.proxy = proxy
        super().__init__(address, _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        proxy = self.proxy
        if proxy.fault == "cut":
            proxy.note("CONNECTION", "")
            return
        if proxy.fault == "black-hole":
            proxy.note("CONNECTION", "")
            _swallow(request)
            return
        try:
            request.settimeout(30)
            with proxy.context.wrap_socket(request, server_side=True) as tls:
                tls.settimeout(None)
                proxy.connections.add(tls)
                try:
                    super().finish_request(tls, client_address)
                finally:
                    proxy.connections.discard(tls)
        except OSError:
            return

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


def _swallow(connection: socket.socket) -> None:
    """Keep a connection open and silent until the other end closes it."""
    connection.settimeout(600)
    try:
        while connection.recv(65536):
            pass
    except OSError:
        return


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    HOP: ClassVar[set[str]] = {"connection", "transfer-encoding", "content-length", "keep-alive"}

    def setup(self) -> None:
        super().setup()
        self.epoch = self.server.proxy.epoch

    def _serve(self) -> None:
        proxy = self.server.proxy
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        proxy.note(self.command, self.path)
        if self._lost():
            return
        fault = proxy.fault
        watch = "watch" in parse_qs(urlsplit(self.path).query)
        if fault in ("429", "500", "503"):
            self._answer(int(fault), b'{"kind":"Status","status":"Failure","code":%s}' % fault.encode())
            return
        if (instead := proxy.instead(self.path)) is not None:
            self._answer(*instead)
            return
        if fault == "watch-410" and watch:
            self._answer(200, GONE)
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in (*self.HOP, "host")}
        try:
            answer = proxy.upstream.request(
                self.command,
                f"{proxy.server}{self.path}",
                body=body or None,
                headers=headers,
                preload_content=False,
                timeout=urllib3.Timeout(connect=5, read=None),
            )
        except urllib3.exceptions.HTTPError:
            self.close_connection = True
            return
        try:
            self._watch(answer) if watch else self._forward(answer, fault)
        except (OSError, urllib3.exceptions.HTTPError):
            self.close_connection = True
        finally:
            answer.close()
            answer.release_conn()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _forward(self, answer: Any, fault: str) -> None:
        body = answer.read()
        if self._lost():
            return
        if fault == "truncated":
            self._answer(answer.status, body[: len(body) // 2], headers=answer.headers)
        else:
            self._answer(answer.status, body, headers=answer.headers)

    def _watch(self, answer: Any) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        start_time = time.monotonic()
        threading.Thread(target=self._end_watch, args=(answer, start_time), daemon=True).start()
        for chunk in answer.stream(amt=None):
            if self._lost():
                return
            if self.server.proxy.fault == "truncated":
                chunk = chunk[: len(chunk) // 2]
            self._write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            if self.server.proxy.fault == "truncated":
                self.close_connection = True
                return
        self._write(b"0\r\n\r\n")

    def _end_watch(self, answer: Any, began: float) -> None:
        """End a watch as the fault requires."""
        while not answer.closed:
            fault, age = self.server.proxy.fault, time.monotonic() - began
            if (fault == "watch-ends" and age > 1) or fault in ("500", "503"):
                try:
                    self.connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    return
                return
            time.sleep(0.1)

    def _lost(self) -> bool:
        """Whether a black hole swallowed this connection. It stays silent until the other end closes it."""
        if self.server.proxy.epoch == self.epoch:
            return False
        _swallow(self.connection)
        self.close_connection = True
        return True

    def _answer(self, status: int, body: bytes, headers: Any = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            if name.lower() not in (*self.HOP, "content-encoding"):
                self.send_header(name, value)
        if not headers:
            self.send_header("Content-Type", "application/json")
        if status == 429 and not headers:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self._write(body)

    def _write(self, data: bytes) -> None:
        if self.server.proxy.fault != "slow":
            self.wfile.write(data)
            return
        for start in range(0, len(data), 512):
            self.wfile.write(data[start : start + 512])
            self.wfile.flush()
            if self.server.proxy.fault == "slow":
                time.sleep(0.5)  # 1 kB/s

    def log_message(self, format: str, *args: Any) -> None:
        pass
