"""AsyncActor ``asya.io/v1alpha1`` as pydantic models: the one description of the API.

The CRD manifest, its defaults and the reference table in the README are generated from these
models (:mod:`crds.manifest`), and admission parses actors with them, so the three cannot differ.
Rules that span fields are written twice on purpose, once as CEL for the API server and once as
a validator, because each side must hold when the other is absent; ``tests/cases/invalid_actors.py``
runs one table of cases through both.
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
"""What a setting may say of the sidecar's generation; ``auto`` has its image tell."""

GRACE_MARGIN = 30
"""Seconds a pod may take to stop beyond the processing of one message, where nothing says how long."""

COOLDOWN, COOLDOWN_MARGIN = 60, 30
"""Seconds without a message before scaling to zero: at least, and beyond the processing of the last one."""

QUEUE_LENGTH = 5
"""Messages that one replica is meant to hold, where nothing says how many."""

QUANTITIES: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": True,
    },
}


class Sidecar(Model):
    """This actor's exceptions from the operator's sidecar defaults."""

    image: Annotated[str | None, Field(min_length=1, description="Image instead of the operator's default.")] = None
    image_pull_policy: Annotated[
        Literal["Always", "IfNotPresent", "Never"] | None, Field(description="Pull policy of the image.")
    ] = None
    resources: Annotated[
        Object | None,
        Field(
            description="Requests and limits instead of the operator's default.",
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
            description="Environment variables, last in the sidecar's environment; one of the same name as the "
            "operator's wins over it.",
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
            description="Which generation of the sidecar the image holds, instead of what the operator's setting says; "
            "`auto` has the image's tag tell."
        ),
    ] = None
    end_actor: Annotated[
        bool,
        Field(
            description="Whether the actor is the end of every route, so that what its function returns goes nowhere."
        ),
    ] = False

    @field_validator("env")
    @classmethod
    def _named(cls, env: list[Object] | None) -> list[Object] | None:
        for i, entry in enumerate(env or ()):
            if not isinstance(entry.get("name"), str) or not entry["name"]:
                raise fail(f"[{i}].name", "required")
        return env


class Socket(Model):
    """Where runtime and sidecar meet."""

    path: Annotated[
        str,
        Field(
            pattern=r"^(/[^/\s:]+)+/[^/\s:]+$",
            max_length=100,
            description="Absolute path of the Unix socket; its directory becomes a mount in both containers. "
            "At most 100 characters, since the kernel holds no longer one.",
        ),
    ] = "/var/run/asya/asya-runtime.sock"
    max_size: Annotated[
        str, Field(pattern=r"^[1-9][0-9]{0,9}$", description="Largest message on the socket, in bytes.")
    ] = "10485760"
    activation: Annotated[
        bool | None,
        Field(
            description="Whether a container of its own holds the socket, so that messages wait while the runtime "
            "restarts; absent, the operator's setting says it."
        ),
    ] = None

    @field_validator("path")
    @classmethod
    def _plain(cls, path: str) -> str:
        if any(part in (".", "..") for part in path.split("/")):
            raise PydanticCustomError("asya", "must be absolute and without . or ..")
        return path

    @property
    def directory(self) -> str:
        """Directory of the socket: the mount point."""
        return self.path.rpartition("/")[0]


class Timeout(Model):
    """How long things may take."""

    processing: Annotated[int, Field(ge=1, description="Seconds that one message may take in the runtime.")] = 300
    graceful_shutdown: Annotated[
        int | None,
        Field(
            ge=0,
            description="Seconds a pod may take to stop: `terminationGracePeriodSeconds`, never lowering a larger "
            "one in the template. Absent, it is `processing` and 30 more.",
        ),
    ] = None

    @property
    def grace_period(self) -> int:
        """Seconds a pod may take to stop."""
        return self.processing + GRACE_MARGIN if self.graceful_shutdown is None else self.graceful_shutdown


class AsyncActorSpec(Model):
    """What an actor is."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!(has(self.scaling) && self.scaling.enabled && self.workload.type == 'Job'"
                " && !has(self.workload.template))",
                "workload.template: required to scale a Job, since KEDA starts Jobs from a template",
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
            description="Queue to consume. Absent, it is the one that the actor's sidecar consumes: "
            "`asya-<namespace>-<name>`, or `asya-<name>` for sidecars before 0.2.0.",
        ),
    ] = None
    transport: Annotated[Transport, Field(description="The queue system and how to reach it.")]
    sidecar: Annotated[Sidecar, Field(description="This actor's exceptions from the sidecar defaults.")] = Sidecar()
    resiliency: Annotated[
        Resiliency | None,
        Field(description="Retries and error routes, for sidecars of the http generation (0.5.1 and newer)."),
    ] = None
    socket: Annotated[Socket, Field(description="Where runtime and sidecar meet.")] = Socket()
    timeout: Annotated[Timeout, Field(description="How long things may take.")] = Timeout()
    scaling: Annotated[Scaling, Field(description="Autoscaling by KEDA.")] = Scaling()
    workload: Annotated[Workload, Field(description="What runs the actor's pods.")]

    @model_validator(mode="after")
    def _scaled_job(self) -> "AsyncActorSpec":
        if self.scaling.enabled and self.workload.type == "Job" and self.workload.template is None:
            raise fail("workload.template", "required to scale a Job, since KEDA starts Jobs from a template")
        return self

    @model_validator(mode="after")
    def _scaling_fits(self) -> "AsyncActorSpec":
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
                    "required with scaling.aws.identityOwner workload, since KEDA takes that account's role",
                )
        return self

    @property
    def cooldown_period(self) -> int:
        """Seconds without a message before scaling to zero."""
        if self.scaling.cooldown_period is not None:
            return self.scaling.cooldown_period
        busy = self.timeout.processing + COOLDOWN_MARGIN if self.transport.counts_waiting_only else 0
        return max(COOLDOWN, busy)

    @property
    def queue_length(self) -> int:
        """Messages that one replica, or one Job, is meant to hold."""
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
    def _is_a_label_value(cls, name: str) -> str:
        if len(name) > MAX_NAME:
            raise PydanticCustomError(
                "asya",
                "must be at most 63 characters, since it is the value of the label asya.io/actor; found {n} characters",
                {"n": len(name)},
            )
        return name


MAX_SCALED_NAME = MAX_NAME - len("keda-hpa-")
"""KEDA cuts ``keda-hpa-<name>`` at 63 characters, so two longer names may share one HorizontalPodAutoscaler."""
STATEFUL_SET_NAME = r"^[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?$"
"""The pods bear ``<name>-<hash>`` as a label value and ``<name>-<n>`` as a host name, which has no dots."""


def wrong_name(actor: "AsyncActor") -> tuple[str, str] | None:
    """The field and the rule that a name breaks, if an object made for the actor could not be called so."""
    spec, name = actor.spec, actor.metadata.name
    if spec.scaling.enabled and spec.workload.type != "Job" and len(name) > MAX_SCALED_NAME:
        return "metadata.name", SCALED_NAME_RULE
    if spec.workload.type == "StatefulSet" and spec.workload.template is not None:
        field, called = ("spec.workload.name", spec.workload.name) if spec.workload.name else ("metadata.name", name)
        if not re.fullmatch(STATEFUL_SET_NAME, called):
            return field, STATEFUL_SET_RULE
    return None


SCALED_NAME_RULE = (
    f"must be at most {MAX_SCALED_NAME} characters while scaling is enabled, since KEDA calls its "
    "HorizontalPodAutoscaler keda-hpa-<name> and cuts that at 63; choose a shorter name"
)
STATEFUL_SET_RULE = (
    "the name of a StatefulSet must be at most 52 characters without a dot, since its pods bear it in a label and in "
    "their host names; choose another name, or set spec.workload.name"
)


class AsyncActor(Model):
    """A Python function that runs as autoscaled pods and consumes a queue."""

    metadata: ObjectMeta
    spec: Annotated[AsyncActorSpec, Field(description="What the actor is.")]
    status: Annotated[AsyncActorStatus | None, Field(description="What the controller last saw.")] = None

    @model_validator(mode="after")
    def _names_fit(self) -> "AsyncActor":
        wrong = wrong_name(self)
        if wrong is not None:
            raise fail(*wrong)
        return self

    @field_validator("spec", mode="before")
    @classmethod
    def _present(cls, spec: Any, info: ValidationInfo) -> Any:
        if not isinstance(spec, dict):
            raise PydanticCustomError("asya", "must be an object")
        return spec


def field_path(location: tuple[str | int, ...]) -> str:
    """A pydantic error location as users write it: ``spec.sidecar.env[0].name``."""
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
    "wrong_name",
]
