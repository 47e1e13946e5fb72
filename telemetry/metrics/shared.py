"""Metrics that both processes export."""

from telemetry.metrics.describe import counter, gauge

BUILD = gauge("both", "asya_build_info", "1, with the operator's version as a label.", ["version"], mode="livemax")
API_REQUESTS = counter(
    "both",
    "asya_kubernetes_requests_total",
    "Requests to the Kubernetes API by verb and HTTP status code; code 0 means no response.",
    ["verb", "code"],
)
WATCH_SILENCE = gauge(
    "both",
    "asya_watch_silence_seconds",
    "Time since the last data from the API server on the watch of a resource.",
    ["resource"],
    mode="livemax",
)
WATCH_RESTARTS = counter("both", "asya_watch_restarts_total", "Restarts of watches that hung.", ["resource"])
