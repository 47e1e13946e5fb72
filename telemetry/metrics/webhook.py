"""Metrics that the webhook alone exports. Its workers' values are merged at each scrape."""

from telemetry.metrics.describe import counter, gauge, histogram

ADMISSIONS = counter(
    "webhook",
    "asya_webhook_admissions_total",
    "Admission reviews by resource, operation and outcome: injected, unchanged, uninjected, denied, error.",
    ["resource", "operation", "outcome"],
)
ADMISSION_SECONDS = histogram(
    "webhook",
    "asya_webhook_admission_duration_seconds",
    "Time to answer one admission review.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5),
)
CERTIFICATE_EXPIRY = gauge(
    "webhook",
    "asya_webhook_certificate_expiry_timestamp_seconds",
    "When the serving certificate expires, in Unix time; of several workers the earliest.",
    mode="livemin",
)
CERTIFICATE_LIFETIME = gauge(
    "webhook",
    "asya_webhook_certificate_lifetime_seconds",
    "How long the serving certificate is valid in all, from its start to its end.",
    mode="livemax",
)
DENIALS = counter(
    "webhook",
    "asya_webhook_denials_total",
    "Denied admission reviews by the namespace of the object; at most 1,000 namespaces, the rest is `other`.",
    ["namespace"],
)
