"""``python -m sandbox``: serves the API on loopback over TLS, and writes a kubeconfig for it."""

import argparse
import base64
import signal
import ssl
import sys
import threading
from pathlib import Path

import trustme
import yaml

from sandbox.api import Api
from sandbox.controllers import Controllers
from sandbox.http import Server

NOTICE = """\
This is a sandbox: an in-memory imitation of the Kubernetes API for demonstrations and tests.
It stores nothing on disk, checks no credentials and runs no containers. Never use it in production.
"""


def kubeconfig(server: str, ca: bytes, token: str) -> str:
    """A kubeconfig for ``server``."""
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(ca).decode()}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "sandbox", "cluster": cluster}],
            "users": [{"name": "sandbox", "user": {"token": token}}],
            "contexts": [{"name": "sandbox", "context": {"cluster": "sandbox", "user": "sandbox"}}],
            "current-context": "sandbox",
        }
    )


def main() -> None:
    """Serve until a signal stops the process."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=NOTICE)
    parser.add_argument("--address", default="127.0.0.1", help="address to listen on, ::1 for IPv6")
    parser.add_argument("--port", type=int, default=0, help="port to listen on, by default a free one")
    parser.add_argument("--kubeconfig", type=Path, required=True, help="kubeconfig file to write")
    options = parser.parse_args()
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(options.address, "localhost").configure_cert(context)
    api = Api()
    controllers = Controllers(api)
    controllers.start()
    server = Server((options.address, options.port), api, context)
    server.start()
    host = f"[{options.address}]" if ":" in options.address else options.address
    address = f"https://{host}:{server.server_address[1]}"
    temporary = options.kubeconfig.with_suffix(".tmp")
    temporary.write_text(kubeconfig(address, authority.cert_pem.bytes(), "sandbox"))
    temporary.rename(options.kubeconfig)
    sys.stderr.write(f"{NOTICE}Serving at {address}; export KUBECONFIG={options.kubeconfig}\n")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
    controllers.stop()
    server.close()


if __name__ == "__main__":
    main()
