"""A server of GitHub's releases with any faults that a test needs."""

import hashlib
import json
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
    """A release server over TLS that follows a test's settings."""

    def __init__(self, certificate_file: Path) -> None:
        self.certificate_file = certificate_file
        self.status, self.body, self.short, self.delay = 200, GOOD, 0, 0.0
        self.token = ""
        """The token that the server requires, if any. Then only the API has the asset, as for a private repository."""
        self.redirect = ""
        """The address of the asset, if it is elsewhere."""
        self.paths: list[str] = []
        self.tokens: list[str | None] = []
        self.conditional = 0
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(certificate_file))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"https://localhost:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(outer: GitHub) -> type[BaseHTTPRequestHandler]:
    """The handler of a server that follows the settings of ``outer``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            outer.paths.append(self.path)
            outer.tokens.append(self.headers.get("Authorization"))
            time.sleep(outer.delay)
            if outer.token and not self.path.startswith("/elsewhere") and self._of_api():
                return
            if outer.redirect and "/elsewhere" not in self.path:
                self.send_response(302)
                self.send_header("Location", outer.redirect)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
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

        def _of_api(self) -> bool:
            """Answer an API request: a refusal, or a release."""
            if self.headers.get("Authorization") != f"Bearer {outer.token}" or "/api/v3/" not in self.path:
                self.send_response(404)
                body = b"{}"
            elif self.path.endswith("/releases/tags/v1"):
                self.send_response(200)
                asset = {"name": "asya_runtime.py", "url": f"{outer.url}/api/v3/repos/owner/name/releases/assets/7"}
                body = json.dumps({"assets": [{"name": "other", "url": "x"}, asset]}).encode()
            else:
                return False
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
