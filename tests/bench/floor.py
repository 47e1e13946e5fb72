"""The floor of the webhook's stack: the same Flask, gunicorn and TLS, and a handler that allows and does nothing."""

import sys
from pathlib import Path

import orjson
from flask import Flask, Response, request

from tests.harness.clusters import Process

app = Flask("floor", static_folder=None)


@app.post("/mutate")
def mutate() -> Response:
    """Allowed."""
    review = orjson.loads(request.get_data(cache=False))
    response = {"uid": review["request"]["uid"], "allowed": True}
    answer = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
    return Response(orjson.dumps(answer), mimetype="application/json")


@app.get("/readyz")
def readyz() -> Response:
    """Ready."""
    return Response("ok\n", mimetype="text/plain")


def process(port: int, certificate: Path, key: Path, log: Path) -> Process:
    """The floor as a process with as many workers as the webhook."""
    options = ["--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "64", "--worker-class", "gthread"]
    files = ["--certfile", str(certificate), "--keyfile", str(key), "--keep-alive", "75"]
    return Process([sys.executable, "-m", "gunicorn", *options, *files, "tests.bench.floor:app"], log)
