"""The status of an AsyncActor, which the controller alone writes."""

from typing import Annotated, Literal

from pydantic import Field

from crds.base import Model


class Condition(Model):
    """A metav1.Condition."""

    type: Annotated[str, Field(max_length=316)]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    message: Annotated[str, Field(max_length=32768)] = ""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    observed_generation: Annotated[int | None, Field(ge=0)] = None


class ObjectRef(Model):
    """An object of the actor's namespace."""

    api_version: str
    kind: str
    name: str


class AsyncActorStatus(Model):
    """What the controller last saw; written by it alone."""

    phase: Annotated[str | None, Field(description="One word for how the actor is; see the table of phases.")] = None
    conditions: Annotated[
        list[Condition] | None,
        Field(
            description="WorkloadReady, RuntimeReady, PodsReady, ScalingReady (while scaling is enabled), "
            "QueueConsumed and Ready (all of them).",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = None
    reason: Annotated[str | None, Field(description="Reason of the first condition that is false.")] = None
    queue_name: Annotated[str | None, Field(description="Queue that is consumed and scaled on.")] = None
    workload_ref: Annotated[ObjectRef | None, Field(description="The workload.")] = None
    scaled_object_ref: Annotated[ObjectRef | None, Field(description="The ScaledObject.")] = None
    scaled_job_ref: Annotated[ObjectRef | None, Field(description="The ScaledJob.")] = None
    observed_generation: Annotated[int | None, Field(description="Generation that this status speaks of.")] = None
    replicas: Annotated[int | None, Field(description="Pods of the workload.")] = None
    ready_replicas: Annotated[int | None, Field(description="Pods that are ready.")] = None
    desired_replicas: Annotated[int | None, Field(description="Pods that there should be.")] = None
    scaling_active: Annotated[
        bool | None, Field(description="Whether KEDA sees messages in the queue; absent while it does not say.")
    ] = None
    outdated_workloads: Annotated[
        int | None, Field(description="Labelled workloads that are still to be re-injected after a change.")
    ] = None
    warnings: Annotated[
        list[str] | None, Field(description="What is unwise in the spec of that generation, and what to do.")
    ] = None
    replicas_before_scaling: Annotated[
        int | None,
        Field(description="Replicas that a workload which the actor does not own had before it was scaled."),
    ] = None
