"""AsyncActor ``asya.io/v1alpha1`` as pydantic models: the only description of the API.

:mod:`crds.manifest` generates the CRD and its defaults from these models. :mod:`crds.generate` generates the table in
``docs/reference.md``. Admission parses actors with the same models, so the three cannot differ.
Each rule over several fields exists twice: as CEL for the API server and as a validator here. Each must hold without
the other. ``tests/cases/invalid_actors.py`` runs one table of cases through both.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from crds.base import MAX_NAME, Model, Object, cel, fail, schema
from crds.resiliency import Resiliency
from crds.scaling import NOT_FOR_JOBS, Scaling, refuse_for_jobs
from crds.status import AsyncActorStatus, Condition, ObjectRef
from crds.transport import SQS, RabbitMQ, SecretKeyRef, Transport
from crds.workload import Job, Workload, WorkloadType

GenerationSetting = Literal["auto", "frames", "frames-namespaced", "http"]
"""Values of the setting for the sidecar's generation. ``auto`` derives it from the image's tag."""

GRACE_MARGIN = 30
"""Default grace period of a pod, in seconds, on top of the processing time of one message."""

COOLDOWN, COOLDOWN_MARGIN = 60, 30
"""Default cooldown before scaling to zero, in seconds: the minimum, and the margin on top of the processing time."""

QUEUE_LENGTH = 5
"""Default target of messages per replica."""

QUANTITIES: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": True,
    },
}


class Sidecar(Model):
    """Settings of this actor's sidecar that override the operator's defaults."""

    image: Annotated[
        str | None, Field(min_length=1, description="Image of the sidecar. Absent: the operator's default.")
    ] = None
    image_pull_policy: Annotated[
        Literal["Always", "IfNotPresent", "Never"] | None, Field(description="Pull policy of the image.")
    ] = None
    resources: Annotated[
        Object | None,
        Field(
            description="Requests and limits of the sidecar. Absent: the operator's default.",
            json_schema_extra=schema(
                type="object",
                properties={"limits": QUANTITIES, "requests": QUANTITIES},
                **{"x-kubernetes-preserve-unknown-fields": True},
            ),
        ),
    ] = None
    env: Annotated[
        list[Object] | None,
        Field(
            description="Environment variables, added at the end of the sidecar's environment. A variable here "
            "overrides the operator's variable of the same name.",
            json_schema_extra=schema(
                type="array",
                items={
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": {"type": "string", "minLength": 1}, "value": {"type": "string"}},
                    "x-kubernetes-preserve-unknown-fields": True,
                },
            ),
        ),
    ] = None

    generation: Annotated[
        GenerationSetting | None,
        Field(
            description="Generation of the sidecar in the image. It overrides the operator's setting; `auto` derives "
            "the generation from the image's tag."
        ),
    ] = None
    end_actor: Annotated[
        bool,
        Field(
            description="Whether every route ends at this actor. If true, the sidecar sends its function's results to "
            "no other actor."
        ),
    ] = False

    @field_validator("env")
    @classmethod
    def _check_names(cls, env: list[Object] | None) -> list[Object] | None:
        for i, entry in enumerate(env or ()):
            if not isinstance(entry.get("name"), str) or not entry["name"]:
                raise fail(f"[{i}].name", "required")
        return env


class Socket(Model):
    """The Unix socket between runtime and sidecar."""

    path: Annotated[
        str,
        Field(
            pattern=r"^(/[^/\s:]+)+/[^/\s:]+$",
            max_length=100,
            description="Absolute path of the Unix socket. Both containers mount its directory. The limit is 100 "
            "characters because the kernel limits the path of a socket.",
        ),
    ] = "/var/run/asya/asya-runtime.sock"
    max_size: Annotated[
        str, Field(pattern=r"^[1-9][0-9]{0,9}$", description="Largest message on the socket, in bytes.")
    ] = "10485760"
    activation: Annotated[
        bool | None,
        Field(
            description="Whether a separate container holds the socket, so that messages wait while the runtime "
            "restarts. Absent: the operator's setting."
        ),
    ] = None

    @field_validator("path")
    @classmethod
    def _check_path(cls, path: str) -> str:
        if any(part in (".", "..") for part in path.split("/")):
            raise PydanticCustomError("asya", "must be absolute and without . or ..")
        return path

    @property
    def directory(self) -> str:
        """The socket's directory, which is the mount point."""
        return self.path.rpartition("/")[0]


class Timeout(Model):
    """Time limits of an actor."""

    processing: Annotated[int, Field(ge=1, description="Seconds that the runtime may take to process one message.")] = (
        300
    )
    graceful_shutdown: Annotated[
        int | None,
        Field(
            ge=0,
            description="Seconds that a pod may take to stop. It becomes `terminationGracePeriodSeconds` unless the "
            "template has a larger one. Absent: `processing` + 30.",
        ),
    ] = None

    @property
    def grace_period(self) -> int:
        """Seconds that a pod may take to stop."""
        return self.processing + GRACE_MARGIN if self.graceful_shutdown is None else self.graceful_shutdown


class AsyncActorSpec(Model):
    """The desired state of an actor."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!(has(self.scaling) && self.scaling.enabled && self.workload.type == 'Job'"
                " && !has(self.workload.template))",
                "workload.template: required to scale a Job, because KEDA starts Jobs from a template",
            ),
            (
                "!has(self.scaling) || !has(self.scaling.job) || self.workload.type == 'Job'",
                "scaling.job: only with a workload of type Job",
            ),
            (
                "!has(self.scaling) || !has(self.scaling.aws) || self.transport.type == 'sqs'",
                "scaling.aws: only with the transport sqs",
            ),
            *(
                (
                    f"!has(self.scaling) || !has(self.scaling.{name}) || self.workload.type != 'Job'",
                    f"scaling.{name}: {NOT_FOR_JOBS}",
                )
                for name in ("idleReplicas", "initialCooldownPeriod", "fallback", "behavior")
            ),
        )
    )

    queue_name: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=255,
            pattern=r"^[^\s/]+$",
            description="Queue that the actor consumes. Absent: the sidecar's default, which is "
            "`asya-<namespace>-<name>`, or `asya-<name>` for sidecars before 0.2.0.",
        ),
    ] = None
    transport: Annotated[Transport, Field(description="Queue system and how to reach it.")]
    sidecar: Annotated[
        Sidecar, Field(description="Settings of this actor's sidecar that override the operator's defaults.")
    ] = Sidecar()
    resiliency: Annotated[
        Resiliency | None,
        Field(description="Retries and error routes, for sidecars of the http generation (0.5.1 and newer)."),
    ] = None
    socket: Annotated[Socket, Field(description="Unix socket between runtime and sidecar.")] = Socket()
    timeout: Annotated[Timeout, Field(description="Time limits.")] = Timeout()
    scaling: Annotated[Scaling, Field(description="Autoscaling by KEDA.")] = Scaling()
    workload: Annotated[Workload, Field(description="Workload that runs the actor's pods.")]

    @model_validator(mode="after")
    def _check_scaled_job(self) -> "AsyncActorSpec":
        if self.scaling.enabled and self.workload.type == "Job" and self.workload.template is None:
            raise fail("workload.template", "required to scale a Job, because KEDA starts Jobs from a template")
        return self

    @model_validator(mode="after")
    def _check_scaling(self) -> "AsyncActorSpec":
        scaling = self.scaling
        if self.workload.type == "Job":
            refuse_for_jobs(scaling)
        elif scaling.job is not None:
            raise fail("scaling.job", "only with a workload of type Job")
        if scaling.aws is not None:
            if self.transport.type != "sqs":
                raise fail("scaling.aws", "only with the transport sqs")
            spec = self.workload.template.get("spec") if self.workload.template is not None else None
            if scaling.aws.identity_owner == "workload" and spec and not spec.get("serviceAccountName"):
                raise fail(
                    "workload.template.spec.serviceAccountName",
                    "required with scaling.aws.identityOwner workload, because KEDA assumes that account's role",
                )
        return self

    @property
    def cooldown_period(self) -> int:
        """Seconds without a message before KEDA scales the actor to zero."""
        if self.scaling.cooldown_period is not None:
            return self.scaling.cooldown_period
        last_message = self.timeout.processing + COOLDOWN_MARGIN if self.transport.counts_waiting_only else 0
        return max(COOLDOWN, last_message)

    @property
    def queue_length(self) -> int:
        """Target of messages per replica, or per Job."""
        if self.scaling.queue_length is not None:
            return self.scaling.queue_length
        if self.workload.type != "Job":
            return QUEUE_LENGTH
        return (self.workload.job.messages if self.workload.job is not None else None) or 1


class ObjectMeta(Model):
    """The part of an actor's metadata that the operator reads."""

    name: Annotated[str, Field(min_length=1)]
    namespace: str = "default"
    uid: str = ""
    generation: int = 0

    @field_validator("name")
    @classmethod
    def _check_length(cls, name: str) -> str:
        if len(name) > MAX_NAME:
            raise PydanticCustomError(
                "asya",
                "must be at most 63 characters, because it is the value of the label asya.io/actor; found {n}",
                {"n": len(name)},
            )
        return name


MAX_SCALED_NAME = MAX_NAME - len("keda-hpa-")
"""Longest name of an actor that KEDA scales.

KEDA truncates ``keda-hpa-<name>`` to 63 characters, so two longer names could share one HorizontalPodAutoscaler.
"""
STATEFUL_SET_NAME = r"^[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?$"
"""Pattern of a StatefulSet's name. Its pods have ``<name>-<hash>`` as a label value and ``<name>-<n>`` as a host name.

A label value has at most 63 characters, and a host name has no dots.
"""


def name_fault(actor: "AsyncActor") -> tuple[str, str] | None:
    """Return the field and the rule that it breaks if an object of the actor cannot have its name, else None."""
    spec, name = actor.spec, actor.metadata.name
    if spec.scaling.enabled and spec.workload.type != "Job" and len(name) > MAX_SCALED_NAME:
        return "metadata.name", SCALED_NAME_RULE
    if spec.workload.type == "StatefulSet" and spec.workload.template is not None:
        field, set_name = ("spec.workload.name", spec.workload.name) if spec.workload.name else ("metadata.name", name)
        if not re.fullmatch(STATEFUL_SET_NAME, set_name):
            return field, STATEFUL_SET_RULE
    return None


SCALED_NAME_RULE = (
    f"must be at most {MAX_SCALED_NAME} characters while scaling is enabled, because KEDA names its "
    "HorizontalPodAutoscaler keda-hpa-<name> and truncates that to 63; choose a shorter name"
)
STATEFUL_SET_RULE = (
    "the name of a StatefulSet must be at most 52 characters without a dot, because a label and the host names of its "
    "pods contain it; choose another name, or set spec.workload.name"
)


class AsyncActor(Model):
    """A Python function that runs as autoscaled pods and consumes a queue."""

    metadata: ObjectMeta
    spec: Annotated[AsyncActorSpec, Field(description="Desired state of the actor.")]
    status: Annotated[AsyncActorStatus | None, Field(description="Last state that the controller observed.")] = None

    @model_validator(mode="after")
    def _check_names(self) -> "AsyncActor":
        fault = name_fault(self)
        if fault is not None:
            raise fail(*fault)
        return self

    @field_validator("spec", mode="before")
    @classmethod
    def _check_spec(cls, spec: Any, info: ValidationInfo) -> Any:
        if not isinstance(spec, dict):
            raise PydanticCustomError("asya", "must be an object")
        return spec


def field_path(location: tuple[str | int, ...]) -> str:
    """Return a pydantic error location as users write it: ``spec.sidecar.env[0].name``."""
    return re.sub(r"\.\[", "[", ".".join(f"[{p}]" if isinstance(p, int) else p for p in location))


__all__ = [
    "SQS",
    "AsyncActor",
    "AsyncActorSpec",
    "AsyncActorStatus",
    "Condition",
    "GenerationSetting",
    "Job",
    "ObjectMeta",
    "ObjectRef",
    "RabbitMQ",
    "Scaling",
    "SecretKeyRef",
    "Sidecar",
    "Socket",
    "Timeout",
    "Transport",
    "Workload",
    "WorkloadType",
    "field_path",
    "name_fault",
]
