"""A server of GitHub's releases, which has whatever faults a test wants."""

import hashlib
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme

GOOD, BETTER = b"print('good')\n", b"print('better')\n"
"""Two scripts."""


class GitHub:
    """A release server over TLS that does what a test tells it to."""

    def __init__(self, certificate_file: Path) -> None:
        self.certificate_file = certificate_file
        self.status, self.body, self.short, self.delay = 200, GOOD, 0, 0.0
        self.paths: list[str] = []
        self.conditional = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.paths.append(self.path)
                time.sleep(outer.delay)
                etag = f'"{hashlib.sha256(outer.body).hexdigest()[:8]}"'
                status = outer.status
                if status == 200 and self.headers.get("If-None-Match") == etag:
                    outer.conditional += 1
                    status = 304
                self.send_response(status)
                self.send_header("ETag", etag)
                body = outer.body if status == 200 else b""
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) - outer.short])

            def log_message(self, format: str, *args: Any) -> None:
                pass

        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(certificate_file))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"https://localhost:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
