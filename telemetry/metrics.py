"""Every metric of both processes, in one place, so that their names read as one vocabulary."""

from prometheus_client import Counter, Gauge, Histogram

API_REQUESTS = Counter("asya_api_requests_total", "Requests to the Kubernetes API.", ["verb", "code"])

ADMISSIONS = Counter("asya_admissions_total", "Admission reviews by outcome.", ["resource", "operation", "outcome"])
ADMISSION_SECONDS = Histogram(
    "asya_admission_duration_seconds",
    "Time to answer one admission review.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5),
)

RECONCILES = Counter("asya_reconciles_total", "Reconciles by outcome.", ["outcome"])
RECONCILE_SECONDS = Histogram("asya_reconcile_duration_seconds", "Time of one reconcile.")
QUEUE_DEPTH = Gauge("asya_workqueue_depth", "Keys that wait for a worker.")
IN_FLIGHT = Gauge("asya_workqueue_in_flight", "Keys that a worker has in hand.")
ROLLING = Gauge("asya_reinjections_in_flight", "Workloads that roll over because they were re-injected.")
ACTORS = Gauge("asya_actors", "AsyncActors by the status of their condition Ready.", ["ready"])
RUNTIME_LOADS = Counter("asya_runtime_loads_total", "Loads of the runtime script by outcome.", ["outcome"])
LEADER = Gauge("asya_leader", "1 while this process leads.", multiprocess_mode="max")
CERTIFICATE_EXPIRY = Gauge(
    "asya_certificate_expiry_timestamp_seconds",
    "When the serving certificate expires, in Unix time.",
    multiprocess_mode="min",
)
CERTIFICATE_CHANGES = Counter("asya_certificate_changes_total", "Issues, rotations and repairs.", ["change"])
BUILD = Gauge("asya_build_info", "1, labelled with the version.", ["version"], multiprocess_mode="max")
WATCH_SILENCE = Gauge(
    "asya_watch_silence_seconds",
    "Time since the API server last said anything on a watch.",
    ["resource"],
    multiprocess_mode="livemax",
)
WATCH_RESTARTS = Counter("asya_watch_restarts_total", "Watches that hung and were started anew.", ["resource"])


def build_version() -> str:
    """The installed operator's version."""
    from importlib.metadata import version

    return version("asya-operator")
