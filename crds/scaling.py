"""Autoscaling of an actor: KEDA's own knobs behind one section, each checked before KEDA would refuse it.

Rules are taken from KEDA's documentation and admission. Those that only look at one section are here; those that
need the transport or the workload too are in :mod:`crds.models`.
"""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, model_validator

from crds.base import DNS_SUBDOMAIN, Model, cel, fail, schema

RESOURCE_TRIGGERS: Final = ("cpu", "memory")
"""Triggers on what pods use, which no queue tells of."""

NOT_FOR_JOBS: Final = "KEDA does not have this for Jobs; remove it"

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
"""Metadata that KEDA's scalers take from the trigger alone and do not work without."""


class AuthenticationRef(Model):
    """A TriggerAuthentication of the actor's namespace, or a ClusterTriggerAuthentication."""

    name: Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN, description="Name of the object.")]
    kind: Annotated[
        Literal["TriggerAuthentication", "ClusterTriggerAuthentication"], Field(description="Kind of the object.")
    ] = "TriggerAuthentication"


class Trigger(Model):
    """One more KEDA trigger, of any type; the actor has as many replicas as the hungriest trigger asks for."""

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
            description="KEDA's name of the scaler: `cron`, `prometheus`, …",
        ),
    ]
    name: Annotated[str | None, Field(min_length=1, max_length=63, description="Name, unique in the list.")] = None
    metadata: Annotated[
        dict[str, str],
        Field(
            json_schema_extra=schema(
                type="object",
                description="The scaler's parameters, all as strings. `…FromEnv` names a variable of the runtime "
                "container.",
                additionalProperties={"type": "string"},
            ),
        ),
    ]
    authentication_ref: Annotated[
        AuthenticationRef | None, Field(description="Where the scaler's credentials come from.")
    ] = None
    metric_type: Annotated[
        Literal["AverageValue", "Value", "Utilization"] | None,
        Field(description="How the value counts; absent: a replica's share (AverageValue). Not for a Job."),
    ] = None
    use_cached_metrics: Annotated[
        bool | None, Field(description="Whether the value is read at each polling interval only. Not for a Job.")
    ] = None

    @model_validator(mode="after")
    def _as_keda_takes_it(self) -> "Trigger":
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


class Fallback(Model):
    """Replicas while KEDA cannot read the queue."""

    failure_threshold: Annotated[int, Field(ge=0, description="Failed looks in a row after which it holds.")]
    replicas: Annotated[int, Field(ge=0, description="Replicas to have then.")]
    behavior: Annotated[
        Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"] | None,
        Field(description="Whether the present number of replicas is kept instead (KEDA 2.17 and newer)."),
    ] = None


class ScalingPolicy(Model):
    """One step that the autoscaler may take in a period."""

    type: Annotated[Literal["Pods", "Percent"], Field(description="What `value` counts.")]
    value: Annotated[int, Field(ge=1, description="Most that may be added or removed in a period.")]
    period_seconds: Annotated[int, Field(ge=1, le=1800, description="Length of the period.")]


class ScalingRules(Model):
    """How fast the autoscaler may go one way; what is absent is as Kubernetes has it by default."""

    stabilization_window_seconds: Annotated[
        int | None, Field(ge=0, le=3600, description="Seconds over which the most careful number counts.")
    ] = None
    select_policy: Annotated[
        Literal["Max", "Min", "Disabled"] | None, Field(description="Which of the policies holds.")
    ] = None
    policies: Annotated[
        list[ScalingPolicy] | None, Field(min_length=1, max_length=10, description="Steps that it may take.")
    ] = None


class Behavior(Model):
    """How fast the actor is scaled, instead of the operator's default for that way."""

    scale_up: Annotated[
        ScalingRules | None, Field(description="Instead of 100 % or 4 pods per 15 s, whichever is more, at once.")
    ] = None
    scale_down: Annotated[
        ScalingRules | None, Field(description="Instead of 50 % per 15 s, after 60 s of less to do.")
    ] = None


class ScaledJobs(Model):
    """How KEDA starts Jobs and what it keeps of them; only with a workload of type Job."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.strategy) || self.strategy != 'custom' || has(self.customScalingRunningJobPercentage)",
                "customScalingRunningJobPercentage: required with strategy custom",
            )
        )
    )

    strategy: Annotated[
        Literal["default", "accurate", "eager", "custom"] | None,
        Field(
            description="How many Jobs a count asks for. Absent: `accurate` where waiting messages alone are "
            "counted (RabbitMQ by AMQP), `default` where those in work are, too (SQS, RabbitMQ's management API)."
        ),
    ] = None
    custom_scaling_queue_length_deduction: Annotated[
        int | None, Field(ge=0, description="With strategy custom: taken off the count.")
    ] = None
    custom_scaling_running_job_percentage: Annotated[
        str | None,
        Field(
            pattern=r"^(0(\.[0-9]+)?|1(\.0+)?)$", description='With strategy custom: share of running Jobs, "0" to "1".'
        ),
    ] = None
    pending_pod_conditions: Annotated[
        list[str] | None,
        Field(
            min_length=1,
            max_length=10,
            description="Conditions of its pod without which a Job counts as not started. Absent: `Ready`, since a "
            "message is waiting until its pod is ready to take it.",
            json_schema_extra=schema(
                type="array",
                minItems=1,
                maxItems=10,
                items={"type": "string", "minLength": 1},
                description="Conditions of its pod without which a Job counts as not started. Absent: `Ready`, since "
                "a message is waiting until its pod is ready to take it.",
            ),
        ),
    ] = None
    successful_jobs_history_limit: Annotated[int, Field(ge=0, description="Completed Jobs to keep.")] = 50
    failed_jobs_history_limit: Annotated[int, Field(ge=0, description="Failed Jobs to keep.")] = 50
    rollout: Annotated[
        Literal["gradual", "immediate"],
        Field(description="Whether a change lets running Jobs end (gradual) or deletes them (immediate)."),
    ] = "gradual"
    multiple_scalers_calculation: Annotated[
        Literal["max", "min", "avg", "sum"] | None, Field(description="How several triggers are summed up.")
    ] = None

    @model_validator(mode="after")
    def _complete(self) -> "ScaledJobs":
        if self.strategy == "custom" and self.custom_scaling_running_job_percentage is None:
            raise fail("customScalingRunningJobPercentage", "required with strategy custom")
        return self


class AwsIdentity(Model):
    """As whom KEDA asks SQS."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.roleArn) || !has(self.identityOwner) || self.identityOwner != 'workload'",
                "roleArn: only KEDA itself (identityOwner keda) may take another role",
            ),
        )
    )

    identity_owner: Annotated[
        Literal["keda", "workload"] | None,
        Field(
            description="Whose identity: KEDA's own, the default, or the role of the template's service account, which "
            "KEDA must be allowed to assume."
        ),
    ] = None
    role_arn: Annotated[
        str | None, Field(pattern=r"^arn:[^\s]+$", max_length=2048, description="Role that KEDA assumes.")
    ] = None

    @model_validator(mode="after")
    def _as_keda_takes_it(self) -> "AwsIdentity":
        if self.role_arn is not None and self.identity_owner == "workload":
            raise fail("roleArn", "only KEDA itself (identityOwner keda) may take another role")
        return self


class Scaling(Model):
    """Autoscaling on the queue's length by KEDA."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            # The API server tries the rule on the default {} too, before the fields' own defaults are in it.
            (
                "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
                "minReplicas: must not be greater than maxReplicas",
            ),
            (
                "!has(self.idleReplicas) || (has(self.minReplicas) && self.idleReplicas < self.minReplicas)",
                "idleReplicas: must be less than minReplicas",
            ),
            (
                "!has(self.aws) || !has(self.authenticationRef)",
                "aws: part of what authenticationRef names, so only one of the two may be set",
            ),
            (
                "!has(self.triggers) || self.triggers.all(t, !has(t.name)"
                " || self.triggers.exists_one(u, has(u.name) && u.name == t.name))",
                "triggers: names must be unique",
            ),
        )
    )

    enabled: Annotated[bool, Field(description="Whether KEDA scales this actor.")] = False
    paused: Annotated[
        bool, Field(description="Whether KEDA leaves the replicas as they are, or at `pausedReplicas`.")
    ] = False
    paused_replicas: Annotated[
        int | None,
        Field(ge=0, description="Replicas while paused; absent: as many as there are. Not for a Job."),
    ] = None
    min_replicas: Annotated[int, Field(ge=0, description="Fewest replicas; 0 sleeps on an empty queue.")] = 0
    max_replicas: Annotated[int, Field(ge=1, description="Most replicas.")] = 50
    idle_replicas: Annotated[
        int | None,
        Field(
            ge=0,
            le=0,
            description="Replicas while the queue is empty, with a minReplicas above it for when it is not. KEDA "
            "supports 0 alone.",
        ),
    ] = None
    polling_interval: Annotated[int, Field(ge=1, description="Seconds between two looks at the queue.")] = 10
    cooldown_period: Annotated[
        int | None,
        Field(
            ge=0,
            description="Seconds without a message before scaling to zero. Absent: 60, or `timeout.processing` and 30 "
            "more where only waiting messages are counted (RabbitMQ by AMQP) and that is more, so that the last busy "
            "pod is kept. Not for a Job.",
        ),
    ] = None
    initial_cooldown_period: Annotated[
        int | None,
        Field(ge=0, description="Seconds after its creation before an actor is first scaled to zero. Not for a Job."),
    ] = None
    queue_length: Annotated[
        int | None,
        Field(
            ge=1,
            description="Messages that one replica is meant to hold. Absent: 5; for a Job, those that it handles "
            "(`workload.job.messages`, or 1).",
        ),
    ] = None
    activation_queue_length: Annotated[
        int, Field(ge=0, description="Messages up to which an actor at zero replicas is left asleep.")
    ] = 0
    fallback: Annotated[
        Fallback | None, Field(description="Replicas while KEDA cannot read the queue. Not for a Job.")
    ] = None
    behavior: Annotated[
        Behavior | None, Field(description="How fast it is scaled, instead of the default. Not for a Job.")
    ] = None
    triggers: Annotated[
        list[Trigger] | None, Field(max_length=20, description="Further triggers beside the one on the queue.")
    ] = None
    authentication_ref: Annotated[
        AuthenticationRef | None,
        Field(
            description="Credentials of the trigger on the queue, instead of those that spec.transport names, which "
            "the sidecar goes on using."
        ),
    ] = None
    aws: Annotated[AwsIdentity | None, Field(description="As whom KEDA asks SQS.")] = None
    job: Annotated[
        ScaledJobs | None, Field(description="How Jobs are started and kept; only with a workload of type Job.")
    ] = None

    @model_validator(mode="after")
    def _ordered(self) -> "Scaling":
        if self.min_replicas > self.max_replicas:
            raise fail("minReplicas", f"must not be greater than maxReplicas ({self.max_replicas})")
        if self.idle_replicas is not None and self.idle_replicas >= self.min_replicas:
            raise fail("idleReplicas", f"must be less than minReplicas ({self.min_replicas})")
        if self.aws is not None and self.authentication_ref is not None:
            raise fail("aws", "part of what authenticationRef names, so only one of the two may be set")
        names = [t.name for t in self.triggers or () if t.name is not None]
        if len(set(names)) < len(names):
            raise fail("triggers", "names must be unique")
        return self

    def not_for_jobs(self) -> Iterator[str]:
        """What is set here and means nothing to a ScaledJob, as paths below ``scaling``."""
        for name, value in (
            ("pausedReplicas", self.paused_replicas),
            ("idleReplicas", self.idle_replicas),
            ("initialCooldownPeriod", self.initial_cooldown_period),
            ("fallback", self.fallback),
            ("behavior", self.behavior),
        ):
            if value is not None:
                yield name
        for i, trigger in enumerate(self.triggers or ()):
            if trigger.type in RESOURCE_TRIGGERS:
                yield f"triggers[{i}].type"
            if trigger.metric_type is not None:
                yield f"triggers[{i}].metricType"
            if trigger.use_cached_metrics:
                yield f"triggers[{i}].useCachedMetrics"


def refuse_for_jobs(scaling: Scaling) -> None:
    """Refuse what KEDA has for a ScaledObject only.

    Raises:
        PydanticCustomError: that names the first such field below ``spec``.
    """
    for path in scaling.not_for_jobs():
        raise fail(f"scaling.{path}", NOT_FOR_JOBS)
