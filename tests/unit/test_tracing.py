"""Tracing: off without its variable, exported with it, and a clear error for a missing package."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from telemetry import tracing
from tests.harness.clusters import ROOT


@pytest.fixture
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """An OTLP collector: its address, and the data that it received."""
    received: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = ExportTraceServiceRequest()
            request.ParseFromString(body)
            received.append(request)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", received
    server.shutdown()


SCRIPT = """
import os, sys
from telemetry import tracing
tracing.configure("asya-operator", {"OTEL_EXPORTER_OTLP_ENDPOINT": sys.argv[1]})
with tracing.span("reconcile") as span:
    span.set(actor="a", outcome="success", namespace="")
tracing.shut_down()
os._exit(0)  # as a worker of the webhook ends, without exit handlers
"""


def test_a_span_arrives_with_actor_and_outcome(collector: tuple[str, list[ExportTraceServiceRequest]]) -> None:
    endpoint, received = collector
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_COMPRESSION": "none", "PATH": "/bin"}
    command = [sys.executable, "-c", SCRIPT, endpoint]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=60)
    resource = received[0].resource_spans[0]
    (span,) = resource.scope_spans[0].spans
    assert span.name == "reconcile"
    assert {a.key: a.value.string_value for a in span.attributes} == {"asya.actor": "a", "asya.outcome": "success"}
    assert ("service.name", "asya-operator") in {(a.key, a.value.string_value) for a in resource.resource.attributes}


def test_it_is_off_by_default_and_does_not_import_opentelemetry() -> None:
    code = "import sys, controller.process, webhook.app; sys.exit('opentelemetry' in str(list(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert not tracing.is_enabled({})
    assert not tracing.is_enabled({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"})
    with tracing.span("admission") as span:
        span.set(outcome="injected")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.resources", None)
    with pytest.raises(tracing.TracingUnavailable, match=r"OTEL_EXPORTER_OTLP_ENDPOINT: .*asya-operator\[tracing\]"):
        tracing.configure("x", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x"})
