"""Metrics that only the webhook exports. Each scrape merges the values of its workers."""

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
    "Time to process one admission review.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5),
)
CERTIFICATE_EXPIRY = gauge(
    "webhook",
    "asya_webhook_certificate_expiry_timestamp_seconds",
    "Expiry of the serving certificate, in Unix time; the earliest of all workers.",
    mode="livemin",
)
CERTIFICATE_LIFETIME = gauge(
    "webhook",
    "asya_webhook_certificate_lifetime_seconds",
    "Total validity of the serving certificate, from its start to its expiry.",
    mode="livemax",
)
DENIALS = counter(
    "webhook",
    "asya_webhook_denials_total",
    "Denied admission reviews by the object's namespace; after 1,000 namespaces, further ones count as `other`.",
    ["namespace"],
)
