"""Exports traces by OpenTelemetry, with one span for each admission and each reconcile. It is off by default.

``OTEL_EXPORTER_OTLP_ENDPOINT`` (or ``…_TRACES_ENDPOINT``) turns it on. It needs the extra ``tracing`` of this package.
OpenTelemetry defines the other ``OTEL_*`` variables:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
While tracing is off, the process does not import OpenTelemetry, and a span costs one function call.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol

VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class TracingUnavailable(ValueError):
    """Tracing is configured but not available. The message says what to do."""


class Span(Protocol):
    """A span, as the traced block uses it."""

    def set(self, **attributes: str | int | bool) -> None:
        """Add attributes. Empty strings are left out."""

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
        """Add attributes to the span, with the prefix ``asya.``."""
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
_provider: Any = None


def is_enabled(environment: Mapping[str, str]) -> bool:
    """Whether the environment names an endpoint and does not disable the SDK."""
    is_off = environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not is_off and any(environment.get(name) for name in VARIABLES)


def configure(service: str, environment: Mapping[str, str]) -> None:
    """Start to export traces as ``service`` if :func:`is_enabled`. Call it after a fork, because it starts a thread.

    Raises:
        TracingUnavailable: the environment enables tracing, but OpenTelemetry is not installed.
    """
    global _provider, _tracer
    if not is_enabled(environment):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as missing:
        name = next(name for name in VARIABLES if environment.get(name))
        raise TracingUnavailable(
            f"{name}: is set, but {missing.name} is not installed; "
            "install asya-operator[tracing], or unset the variable"
        ) from None
    service_name = environment.get("OTEL_SERVICE_NAME") or service
    provider = TracerProvider(resource=Resource.create({"service.name": service_name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer, _provider = provider.get_tracer("asya-operator"), provider


def shut_down() -> None:
    """Send the last spans of this process. Needed if it ends without its exit handlers."""
    if _provider is not None:
        _provider.shutdown()


def span(name: str) -> Span:
    """Return a context manager for the traced block. The span records an exception that leaves the block."""
    return _NO_SPAN if _tracer is None else _RealSpan(_tracer.start_as_current_span(name))
