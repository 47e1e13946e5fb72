"""The baseline of the webhook: the same Flask, gunicorn and TLS, with a handler that allows and does nothing."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import orjson
from flask import Flask, Response, request

from tests.bench.load import Connection
from tests.harness.clusters import Process, free_port, wait_for

app = Flask("floor", static_folder=None)


@app.post("/mutate")
def mutate() -> Response:
    """Allow every request."""
    review = orjson.loads(request.get_data(cache=False))
    response = {"uid": review["request"]["uid"], "allowed": True}
    answer = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
    return Response(orjson.dumps(answer), mimetype="application/json")


@app.get("/readyz")
def readyz() -> Response:
    """Report that the server is ready."""
    return Response("ok\n", mimetype="text/plain")


@contextmanager
def serving(directory: Path) -> Iterator[tuple[int, int]]:
    """Run the baseline with the webhook's number of workers and the certificate in ``directory``: port, process id."""
    port = free_port()
    options = ["--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "64", "--worker-class", "gthread"]
    files = ["--certfile", str(directory / "tls.crt"), "--keyfile", str(directory / "tls.key"), "--keep-alive", "75"]
    command = [sys.executable, "-m", "gunicorn", *options, *files, "tests.bench.floor:app"]
    process = Process(command, directory / "floor.log").start()
    try:
        wait_for("the floor", partial(_ready, port), pause=0.02)
        yield port, process.pid
    finally:
        process.stop()


def _ready(port: int) -> bool:
    try:
        connection = Connection(port)
        connection.ask(b"GET /readyz HTTP/1.1\r\nHost: floor\r\n\r\n")
    except OSError:
        return False
    connection.close()
    return True
