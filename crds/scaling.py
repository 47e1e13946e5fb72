"""``spec.scaling``: autoscaling of an actor by KEDA. Admission refuses values that KEDA would refuse later.

The rules come from KEDA's documentation and from its admission webhook. This module and :mod:`crds.triggers`
have the rules within this section.
:mod:`crds.models` has the rules that also depend on the transport or the workload.
"""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, model_validator

from crds.base import Model, cel, fail, schema
from crds.names import MAX_REPLICAS, MIN_REPLICAS
from crds.triggers import RESOURCE_TRIGGERS, AuthenticationRef, Trigger

NOT_FOR_JOBS: Final = "KEDA does not support this for Jobs; remove it"
ONE_IDENTITY: Final = "authenticationRef already selects the identity; remove aws or authenticationRef"


class Fallback(Model):
    """Number of replicas while KEDA cannot read the queue."""

    failure_threshold: Annotated[
        int, Field(ge=0, description="Consecutive failures to read the queue after which the fallback applies.")
    ]
    replicas: Annotated[int, Field(ge=0, description="Replicas while the fallback applies.")]
    behavior: Annotated[
        Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"] | None,
        Field(description="Whether KEDA keeps the current number of replicas instead (KEDA 2.17 and newer)."),
    ] = None


class ScalingPolicy(Model):
    """The largest change that the autoscaler may make in a period."""

    type: Annotated[Literal["Pods", "Percent"], Field(description="Unit of `value`.")]
    value: Annotated[int, Field(ge=1, description="Largest number to add or remove in a period.")]
    period_seconds: Annotated[int, Field(ge=1, le=1800, description="Length of the period, in seconds.")]


class ScalingRules(Model):
    """How fast the autoscaler may scale in one direction. Kubernetes' defaults apply to absent fields."""

    stabilization_window_seconds: Annotated[
        int | None,
        Field(
            ge=0,
            le=3600,
            description="Window, in seconds, in which the autoscaler takes the most cautious recommendation.",
        ),
    ] = None
    select_policy: Annotated[
        Literal["Max", "Min", "Disabled"] | None, Field(description="Which policy applies if there are several.")
    ] = None
    policies: Annotated[
        list[ScalingPolicy] | None, Field(min_length=1, max_length=10, description="Limits per period.")
    ] = None


class Behavior(Model):
    """How fast the autoscaler scales the actor up and down. The operator's default applies to an absent direction."""

    scale_up: Annotated[
        ScalingRules | None,
        Field(description="Rules to scale up. Absent: at once, 100 % or 4 pods per 15 s, whichever is more."),
    ] = None
    scale_down: Annotated[
        ScalingRules | None, Field(description="Rules to scale down. Absent: after 60 s of lower load, 50 % per 15 s.")
    ] = None


class ScaledJobs(Model):
    """How KEDA starts Jobs and how many it keeps. Only for a workload of type Job."""

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
            description="How KEDA computes the number of Jobs from the number of messages. Absent: `accurate` if KEDA "
            "counts only waiting messages (RabbitMQ by AMQP), `default` if it also counts messages in process (SQS, "
            "RabbitMQ's management API)."
        ),
    ] = None
    custom_scaling_queue_length_deduction: Annotated[
        int | None,
        Field(ge=0, description="With strategy custom: messages that KEDA subtracts from the number of messages."),
    ] = None
    custom_scaling_running_job_percentage: Annotated[
        str | None,
        Field(
            pattern=r"^(0(\.[0-9]+)?|1(\.0+)?)$",
            description='With strategy custom: fraction of the running Jobs that KEDA subtracts, "0" to "1".',
        ),
    ] = None
    pending_pod_conditions: Annotated[
        list[str] | None,
        Field(
            min_length=1,
            max_length=10,
            description="Pod conditions that a Job needs to count as started. Absent: `Ready`, because a message waits "
            "until the pod is ready to take it.",
            json_schema_extra=schema(type="array", minItems=1, maxItems=10, items={"type": "string", "minLength": 1}),
        ),
    ] = None
    successful_jobs_history_limit: Annotated[int, Field(ge=0, description="Completed Jobs to keep.")] = 50
    failed_jobs_history_limit: Annotated[int, Field(ge=0, description="Failed Jobs to keep.")] = 50
    rollout: Annotated[
        Literal["gradual", "immediate"],
        Field(description="On a change of the actor: `gradual` lets running Jobs end, `immediate` deletes them."),
    ] = "gradual"
    multiple_scalers_calculation: Annotated[
        Literal["max", "min", "avg", "sum"] | None,
        Field(description="How KEDA combines the values of several triggers."),
    ] = None

    @model_validator(mode="after")
    def _check_custom_strategy(self) -> "ScaledJobs":
        if self.strategy == "custom" and self.custom_scaling_running_job_percentage is None:
            raise fail("customScalingRunningJobPercentage", "required with strategy custom")
        return self


class AwsIdentity(Model):
    """The AWS identity with which KEDA reads the queue's length from SQS."""

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
            description="Owner of the identity. `keda`, the default: KEDA itself. `workload`: the role of the "
            "template's service account, which KEDA must be allowed to assume."
        ),
    ] = None
    role_arn: Annotated[
        str | None,
        Field(pattern=r"^arn:[^\s]+$", max_length=2048, description="ARN of a role that KEDA assumes."),
    ] = None

    @model_validator(mode="after")
    def _check_role_owner(self) -> "AwsIdentity":
        if self.role_arn is not None and self.identity_owner == "workload":
            raise fail("roleArn", "only KEDA itself (identityOwner keda) may take another role")
        return self


class Scaling(Model):
    """Autoscaling on the queue's length by KEDA."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            # The API server also checks the rules against the default {}, before it applies the defaults of the fields.
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
                f"aws: {ONE_IDENTITY}",
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
        bool,
        Field(description="Whether autoscaling is paused. KEDA then keeps the replicas, or sets `pausedReplicas`."),
    ] = False
    paused_replicas: Annotated[
        int | None,
        Field(ge=0, description="Replicas while paused. Absent: the current number. Not for a Job."),
    ] = None
    min_replicas: Annotated[
        int, Field(ge=0, description="Minimum number of replicas. 0: no pods while the queue is empty.")
    ] = MIN_REPLICAS
    max_replicas: Annotated[int, Field(ge=1, description="Maximum number of replicas.")] = MAX_REPLICAS
    idle_replicas: Annotated[
        int | None,
        Field(
            ge=0,
            le=0,
            description="Replicas while the queue is empty. `minReplicas` must be larger and applies while it is not. "
            "KEDA supports only 0.",
        ),
    ] = None
    polling_interval: Annotated[
        int, Field(ge=1, description="Seconds after which KEDA reads the queue's length again.")
    ] = 10
    cooldown_period: Annotated[
        int | None,
        Field(
            ge=0,
            description="Seconds without a message before KEDA scales to zero. Absent: 60. If KEDA counts only waiting "
            "messages (RabbitMQ by AMQP): at least `timeout.processing` + 30, which keeps the last busy pod. Not for a "
            "Job.",
        ),
    ] = None
    initial_cooldown_period: Annotated[
        int | None,
        Field(
            ge=0,
            description="Seconds after the actor's creation before KEDA may scale it to zero. Not for a Job.",
        ),
    ] = None
    queue_length: Annotated[
        int | None,
        Field(
            ge=1,
            description="Target of messages per replica. Absent: 5; for a Job, the messages that it processes "
            "(`workload.job.messages`, or 1).",
        ),
    ] = None
    activation_queue_length: Annotated[
        int,
        Field(
            ge=0,
            description="Threshold of messages for an actor at zero replicas. KEDA starts it above this number.",
        ),
    ] = 0
    fallback: Annotated[
        Fallback | None, Field(description="Replicas while KEDA cannot read the queue. Not for a Job.")
    ] = None
    behavior: Annotated[
        Behavior | None, Field(description="How fast the actor is scaled. Absent: the default. Not for a Job.")
    ] = None
    triggers: Annotated[
        list[Trigger] | None, Field(max_length=20, description="Triggers in addition to the one on the queue.")
    ] = None
    authentication_ref: Annotated[
        AuthenticationRef | None,
        Field(
            description="Credentials of the trigger on the queue. They replace those from `spec.transport` for KEDA "
            "only; the sidecar continues to use those."
        ),
    ] = None
    aws: Annotated[
        AwsIdentity | None, Field(description="AWS identity with which KEDA reads the queue's length from SQS.")
    ] = None
    job: Annotated[
        ScaledJobs | None,
        Field(description="How KEDA starts Jobs and how many it keeps. Only for a workload of type Job."),
    ] = None

    @model_validator(mode="after")
    def _check_consistency(self) -> "Scaling":
        if self.min_replicas > self.max_replicas:
            raise fail("minReplicas", f"must not be greater than maxReplicas ({self.max_replicas})")
        if self.idle_replicas is not None and self.idle_replicas >= self.min_replicas:
            raise fail("idleReplicas", f"must be less than minReplicas ({self.min_replicas})")
        if self.aws is not None and self.authentication_ref is not None:
            raise fail("aws", ONE_IDENTITY)
        names = [t.name for t in self.triggers or () if t.name is not None]
        if len(set(names)) < len(names):
            raise fail("triggers", "names must be unique")
        return self

    def not_for_jobs(self) -> Iterator[str]:
        """Yield the paths, below ``scaling``, of all fields that are set and that a ScaledJob does not support."""
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
    """Refuse fields that KEDA supports only for a ScaledObject.

    Raises:
        PydanticCustomError: such a field is set. The error names the first one, below ``spec``.
    """
    for path in scaling.not_for_jobs():
        raise fail(f"scaling.{path}", NOT_FOR_JOBS)
