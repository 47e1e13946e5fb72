"""``status``: the observed state of an AsyncActor. Only the controller writes it."""

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
    """A reference to an object in the actor's namespace."""

    api_version: str
    kind: str
    name: str


class AsyncActorStatus(Model):
    """The last state that the controller observed. Only the controller writes it."""

    phase: Annotated[
        str | None, Field(description="The actor's state in one word. The manual has a table of phases.")
    ] = None
    conditions: Annotated[
        list[Condition] | None,
        Field(
            description="WorkloadReady, RuntimeReady, PodsReady, ScalingReady (while scaling is enabled), "
            "QueueConsumed, and Ready, which summarizes the others.",
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = None
    reason: Annotated[str | None, Field(description="Reason of the first condition that is false.")] = None
    queue_name: Annotated[
        str | None, Field(description="Queue that the actor consumes and whose length scales it.")
    ] = None
    workload_ref: Annotated[ObjectRef | None, Field(description="The workload.")] = None
    scaled_object_ref: Annotated[ObjectRef | None, Field(description="The ScaledObject.")] = None
    scaled_job_ref: Annotated[ObjectRef | None, Field(description="The ScaledJob.")] = None
    observed_generation: Annotated[
        int | None, Field(description="Generation of the spec that this status describes.")
    ] = None
    replicas: Annotated[int | None, Field(description="Number of pods of the workload.")] = None
    ready_replicas: Annotated[int | None, Field(description="Number of ready pods.")] = None
    desired_replicas: Annotated[int | None, Field(description="Desired number of pods.")] = None
    scaling_active: Annotated[
        bool | None, Field(description="Whether KEDA sees messages in the queue. Absent while KEDA does not report it.")
    ] = None
    outdated_workloads: Annotated[
        int | None, Field(description="Number of labelled workloads that still have an older plan.")
    ] = None
    warnings: Annotated[
        list[str] | None, Field(description="Risks in the spec of the observed generation, each with advice.")
    ] = None
    replicas_before_scaling: Annotated[
        int | None,
        Field(description="Replicas of the borrowed workload before the actor scaled it."),
    ] = None
