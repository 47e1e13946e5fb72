"""Traces by OpenTelemetry: one span for each admission and each reconcile. Off unless an endpoint is named.

``OTEL_EXPORTER_OTLP_ENDPOINT`` (or ``…_TRACES_ENDPOINT``) switches it on, and needs the extra ``tracing`` of this
package. The other ``OTEL_*`` variables mean what OpenTelemetry says:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
While it is off, OpenTelemetry is not imported, and a span costs one call.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol

VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class TracingUnavailable(ValueError):
    """Tracing is asked for and cannot be had; the message says what to do."""


class Span(Protocol):
    """What a traced block may add to its span."""

    def set(self, **attributes: str | int | bool) -> None:
        """Add attributes; those that are empty strings are left out."""

    def __enter__(self) -> "Span": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _NoSpan:
    def set(self, **attributes: str | int | bool) -> None:
        """Do nothing."""

    def __enter__(self) -> "_NoSpan":
        return self

    def __exit__(self, *_: object) -> None:
        return None


class _RealSpan:
    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._span: Any = None

    def set(self, **attributes: str | int | bool) -> None:
        """Add attributes to the span, each below ``asya.``."""
        for name, value in attributes.items():
            if value != "":
                self._span.set_attribute(f"asya.{name}", value)

    def __enter__(self) -> "_RealSpan":
        self._span = self._manager.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._manager.__exit__(kind, error, trace)


_NO_SPAN = _NoSpan()
_tracer: Any = None


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment names an endpoint and does not switch the SDK off."""
    off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not off and any(environment.get(name) for name in VARIABLES)


def configure(service: str, environment: Mapping[str, str]) -> None:
    """Start to export traces as ``service``, if that is wanted. Call it after a fork: it starts a thread.

    Raises:
        TracingUnavailable: if it is wanted and OpenTelemetry is not installed.
    """
    global _tracer
    if not is_wanted(environment):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as missing:
        name = next(name for name in VARIABLES if environment.get(name))
        raise TracingUnavailable(
            f"{name}: is set, and {missing.name} is not installed; "
            "install asya-operator[tracing], or unset the variable"
        ) from None
    named = environment.get("OTEL_SERVICE_NAME") or service
    provider = TracerProvider(resource=Resource.create({"service.name": named}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = provider.get_tracer("asya-operator")


def span(name: str) -> Span:
    """A context manager around the traced block. An exception that leaves the block is recorded in the span."""
    return _NO_SPAN if _tracer is None else _RealSpan(_tracer.start_as_current_span(name))
