"""``spec.scaling.triggers``: additional KEDA triggers of an actor, and the references to their credentials."""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, model_validator

from crds.base import DNS_SUBDOMAIN, Model, cel, fail, schema

RESOURCE_TRIGGERS: Final = ("cpu", "memory")
"""Types of triggers that measure the pods' resource usage instead of a queue."""

REQUIRED_METADATA: Final[dict[str, tuple[str, ...]]] = {
    "cpu": ("value",),
    "memory": ("value",),
    "cron": ("timezone", "start", "end", "desiredReplicas"),
    "prometheus": ("serverAddress", "query", "threshold"),
    "kubernetes-workload": ("podSelector", "value"),
    "metrics-api": ("url", "valueLocation", "targetValue"),
    "external": ("scalerAddress",),
    "external-push": ("scalerAddress",),
}
"""Metadata that each type of scaler requires. KEDA reads these keys only from the trigger's own metadata."""


class AuthenticationRef(Model):
    """A TriggerAuthentication in the actor's namespace, or a ClusterTriggerAuthentication."""

    name: Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN, description="Name of the object.")]
    kind: Annotated[
        Literal["TriggerAuthentication", "ClusterTriggerAuthentication"], Field(description="Kind of the object.")
    ] = "TriggerAuthentication"


class Trigger(Model):
    """An additional KEDA trigger of any type. The trigger that asks for the most replicas decides their number."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.metricType) || self.metricType != 'Utilization' || self.type in ['cpu', 'memory']",
                "metricType: Utilization is for the triggers cpu and memory",
            ),
            (
                "!(self.type in ['cpu', 'memory']) || (has(self.metricType) && self.metricType != 'Value')",
                "metricType: the triggers cpu and memory need Utilization or AverageValue",
            ),
            (
                "!has(self.useCachedMetrics) || !self.useCachedMetrics || !(self.type in ['cpu', 'memory', 'cron'])",
                "useCachedMetrics: not for the triggers cpu, memory and cron",
            ),
        )
    )

    type: Annotated[
        str,
        Field(
            min_length=1,
            max_length=63,
            pattern=r"^[a-z0-9-]+$",
            description="Type of the scaler in KEDA: `cron`, `prometheus`, …",
        ),
    ]
    name: Annotated[
        str | None, Field(min_length=1, max_length=63, description="Name of the trigger, unique in the list.")
    ] = None
    metadata: Annotated[
        dict[str, str],
        Field(
            json_schema_extra=schema(
                type="object",
                description="Parameters of the scaler, all as strings. `…FromEnv` names an environment variable of the "
                "runtime container.",
                additionalProperties={"type": "string"},
            ),
        ),
    ]
    authentication_ref: Annotated[
        AuthenticationRef | None, Field(description="Object with the scaler's credentials.")
    ] = None
    metric_type: Annotated[
        Literal["AverageValue", "Value", "Utilization"] | None,
        Field(description="How KEDA compares the value with its target. Absent: `AverageValue`. Not for a Job."),
    ] = None
    use_cached_metrics: Annotated[
        bool | None, Field(description="Whether KEDA reads the value only once per polling interval. Not for a Job.")
    ] = None

    @model_validator(mode="after")
    def _check_keda_rules(self) -> "Trigger":
        is_resource = self.type in RESOURCE_TRIGGERS
        if self.metric_type == "Utilization" and not is_resource:
            raise fail("metricType", "Utilization is for the triggers cpu and memory")
        if is_resource and self.metric_type in (None, "Value"):
            raise fail("metricType", "the triggers cpu and memory need Utilization or AverageValue")
        if self.use_cached_metrics and (is_resource or self.type == "cron"):
            raise fail("useCachedMetrics", "not for the triggers cpu, memory and cron")
        for name in REQUIRED_METADATA.get(self.type, ()):
            if not self.metadata.get(name):
                raise fail(f"metadata.{name}", f"required by the trigger {self.type}")
        return self
