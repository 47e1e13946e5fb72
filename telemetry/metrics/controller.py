"""Metrics that only the controller exports.

Each :class:`~telemetry.metrics.describe.ScrapedGauge` describes the cluster as the leader sees it. Only the leader
exports them, so a sum over all controllers counts each actor once.
"""

from telemetry.metrics.describe import ScrapedGauge, counter, gauge, histogram

LEADER = gauge("controller", "asya_controller_leader", "1 while this process is the leader, else 0.")
RECONCILES = counter(
    "controller",
    "asya_controller_reconciles_total",
    "Reconciles by outcome: success, waiting, error.",
    ["outcome"],
    known=("success", "waiting", "error"),
)
RECONCILE_SECONDS = histogram(
    "controller",
    "asya_controller_reconcile_duration_seconds",
    "Time of one reconcile.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
RUNTIME_LOADS = counter(
    "controller",
    "asya_controller_runtime_loads_total",
    "Loads of the runtime script by outcome: success, failure.",
    ["outcome"],
    known=("success", "failure"),
)
CERTIFICATE_CHANGES = counter(
    "controller",
    "asya_controller_certificate_changes_total",
    "Changes of the webhook's certificate by kind: issued, renewed, published, restored-secret and others.",
    ["change"],
    known=("issued", "renewed", "published"),
)
QUEUE_DEPTH = ScrapedGauge("controller", "asya_controller_workqueue_depth", "Keys that wait for a worker.")
IN_FLIGHT = ScrapedGauge("controller", "asya_controller_workqueue_in_flight", "Keys that workers process.")
ROLLING = ScrapedGauge(
    "controller",
    "asya_controller_reinjections_in_flight",
    "Workloads whose rollout after a re-injection is not complete.",
)
OUTDATED = ScrapedGauge(
    "controller",
    "asya_controller_workloads_outdated",
    "Labelled workloads of a namespace that still have an earlier plan.",
    ["namespace"],
)
ACTORS = ScrapedGauge(
    "controller",
    "asya_actors",
    "AsyncActors of a namespace by phase and by the status of their condition Ready.",
    ["namespace", "phase", "ready"],
)
UNSCALED = ScrapedGauge(
    "controller",
    "asya_actors_without_keda",
    "AsyncActors of a namespace with scaling enabled while KEDA is not installed.",
    ["namespace"],
)
