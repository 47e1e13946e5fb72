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

from crds.base import DNS_SUBDOMAIN, MAX_NAME, Model, Object, cel, fail, schema
from crds.resiliency import Resiliency
from crds.shape import CLAIM, malformed

WorkloadType = Literal["Deployment", "StatefulSet", "Job"]

GenerationSetting = Literal["auto", "frames", "frames-namespaced", "http"]
"""What a setting may say of the sidecar's generation; ``auto`` has its image tell."""

GRACE_MARGIN = 30
"""Seconds a pod may take to stop beyond the processing of one message, where nothing says how long."""

QUANTITIES: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "x-kubernetes-int-or-string": True,
    },
}


class SecretKeyRef(Model):
    """One key of a Secret in the actor's namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN, description="Name of the Secret.")]
    key: Annotated[str, Field(min_length=1, max_length=253, description="Key in the Secret's data.")]


class RabbitMQ(Model):
    """Where RabbitMQ is and who asks; either ``host`` and its companions, or ``urlSecretRef`` alone."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("has(self.host) || has(self.urlSecretRef)", "host: required unless urlSecretRef is set"),
            (
                "!has(self.urlSecretRef) || (!has(self.host) && !has(self.passwordSecretRef)"
                " && self.port == 5672 && self.username == 'guest')",
                "urlSecretRef: holds the whole URL, so host, port, username and passwordSecretRef must not be set",
            ),
        )
    )

    host: Annotated[
        str | None,
        Field(min_length=1, max_length=253, pattern=r"^[^\s/@]+$", description="Host name of the broker."),
    ] = None
    port: Annotated[int, Field(ge=1, le=65535, description="AMQP port of the broker.")] = 5672
    username: Annotated[str, Field(min_length=1, max_length=255, description="User name.")] = "guest"
    password_secret_ref: Annotated[
        SecretKeyRef | None,
        Field(
            description="Secret key that holds the password. Released sidecars paste it into a URL unescaped: "
            "if it contains any of `@ / : # %`, use urlSecretRef with a percent-encoded URL instead."
        ),
    ] = None
    url_secret_ref: Annotated[
        SecretKeyRef | None,
        Field(
            description="Secret key that holds a whole `amqp(s)://…` URL, percent-encoded: for vhosts, TLS, passwords "
            "with special characters, and KEDA before 2.16. Excludes the other fields."
        ),
    ] = None

    @model_validator(mode="after")
    def _one_of(self) -> "RabbitMQ":
        if self.url_secret_ref is None:
            if self.host is None:
                raise fail("host", "required unless urlSecretRef is set")
        elif (
            self.host is not None
            or self.password_secret_ref is not None
            or self.port != 5672
            or self.username != "guest"
        ):
            raise fail(
                "urlSecretRef",
                "holds the whole URL, so host, port, username and passwordSecretRef must not be set",
            )
        return self


class SQS(Model):
    """Where SQS is. Credentials come from the pod's identity (IRSA, EKS pod identity), never from here."""

    region: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9-]+$", description="AWS region.")]
    queue_base_url: Annotated[
        str,
        Field(
            pattern=r"^https?://[^\s/]+(/[^\s]*[^\s/])?$",
            max_length=1024,
            description="URL of the account's queues without the queue's name or a trailing slash: "
            "`https://sqs.<region>.amazonaws.com/<account>`.",
        ),
    ]
    visibility_timeout: Annotated[
        int,
        Field(ge=0, le=43200, description="Seconds for which a received message stays hidden from others."),
    ] = 300
    wait_time_seconds: Annotated[int, Field(ge=0, le=20, description="Seconds of one long poll.")] = 20


class Transport(Model):
    """The queue system; the section named as ``type`` is required and the other one forbidden."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("self.type != 'rabbitmq' || has(self.rabbitmq)", "rabbitmq: required when type is rabbitmq"),
            ("self.type == 'rabbitmq' || !has(self.rabbitmq)", "rabbitmq: forbidden unless type is rabbitmq"),
            ("self.type != 'sqs' || has(self.sqs)", "sqs: required when type is sqs"),
            ("self.type == 'sqs' || !has(self.sqs)", "sqs: forbidden unless type is sqs"),
        )
    )

    type: Annotated[Literal["rabbitmq", "sqs"], Field(description="Which queue system.")]
    rabbitmq: Annotated[RabbitMQ | None, Field(description="RabbitMQ, when type is rabbitmq.")] = None
    sqs: Annotated[SQS | None, Field(description="Amazon SQS, when type is sqs.")] = None

    @model_validator(mode="after")
    def _section(self) -> "Transport":
        for name, section in (("rabbitmq", self.rabbitmq), ("sqs", self.sqs)):
            if self.type == name and section is None:
                raise fail(name, f"required when type is {name}")
            if self.type != name and section is not None:
                raise fail(name, f"forbidden unless type is {name}")
        return self


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


class Scaling(Model):
    """Autoscaling on the queue's length by KEDA."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            # The API server tries the rule on the default {} too, before the fields' own defaults are in it.
            (
                "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
                "minReplicas: must not be greater than maxReplicas",
            )
        )
    )

    enabled: Annotated[bool, Field(description="Whether KEDA scales this actor.")] = False
    min_replicas: Annotated[int, Field(ge=0, description="Fewest replicas; 0 sleeps on an empty queue.")] = 0
    max_replicas: Annotated[int, Field(ge=1, description="Most replicas.")] = 50
    polling_interval: Annotated[int, Field(ge=1, description="Seconds between two looks at the queue.")] = 10
    cooldown_period: Annotated[int, Field(ge=0, description="Seconds of an empty queue before scaling to zero.")] = 60
    queue_length: Annotated[int, Field(ge=1, description="Messages that one replica is meant to hold.")] = 5

    @model_validator(mode="after")
    def _ordered(self) -> "Scaling":
        if self.min_replicas > self.max_replicas:
            raise fail("minReplicas", f"must not be greater than maxReplicas ({self.max_replicas})")
        return self


_METADATA = {
    "type": "object",
    "properties": {
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
_PRESERVED = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


class Job(Model):
    """When a Job's runtime ends, if it runs the operator's script."""

    messages: Annotated[
        int | None,
        Field(ge=1, description="Messages after which the Job ends. Absent: 1 if KEDA starts it, else no limit."),
    ] = None
    idle_seconds: Annotated[
        int, Field(ge=1, description="Seconds after which the Job ends if the queue has given no message.")
    ] = 60


class Workload(Model):
    """What runs the actor's pods."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "has(self.template) || has(self.name)",
                "template: required unless name refers to an existing workload",
            ),
            (
                "!has(self.volumeClaimTemplates) || self.type == 'StatefulSet'",
                "volumeClaimTemplates: only a StatefulSet has them",
            ),
            ("!has(self.job) || self.type == 'Job'", "job: only a Job has it"),
        )
    )

    type: Annotated[WorkloadType, Field(description="Kind of the workload.")] = "Deployment"
    replicas: Annotated[
        int | None,
        Field(
            ge=0,
            description="Replicas; for a Job its parallelism. Absent: the workload is made with 1, and the field is "
            "left to others after that (a HorizontalPodAutoscaler, `kubectl scale`). Ignored while scaling is enabled.",
        ),
    ] = None
    template: Annotated[
        Object | None,
        Field(
            description="Pod template: metadata (labels, annotations) and spec. The container with the function is "
            "the one named `runtime`, or the only one.",
            json_schema_extra=schema(
                type="object",
                properties={"metadata": _METADATA, "spec": _PRESERVED},
                **{"x-kubernetes-preserve-unknown-fields": True},
            ),
        ),
    ] = None
    volume_claim_templates: Annotated[
        list[Object] | None,
        Field(
            description="PersistentVolumeClaims of each replica; StatefulSet only.",
            json_schema_extra=schema(type="array", items=_PRESERVED),
        ),
    ] = None
    job: Annotated[Job | None, Field(description="When a Job ends; Job only.")] = None
    name: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=MAX_NAME,
            pattern=DNS_SUBDOMAIN,
            description="Name of the workload, the actor's if absent. Without a template it names one that exists "
            "already: the operator scales and reports it, and never creates, rewrites or deletes it.",
        ),
    ] = None

    @model_validator(mode="after")
    def _consistent(self) -> "Workload":
        if self.template is None and self.name is None:
            raise fail("template", "required unless name refers to an existing workload")
        if self.volume_claim_templates is not None and self.type != "StatefulSet":
            raise fail("volumeClaimTemplates", "only a StatefulSet has them")
        if self.job is not None and self.type != "Job":
            raise fail("job", "only a Job has it")
        if self.template is not None:
            wrong = malformed(self.template, path="template")
            if wrong:
                raise fail(*wrong)
            containers = (self.template.get("spec") or {}).get("containers")
            if not isinstance(containers, list) or not containers:
                raise fail("template.spec.containers", "at least one container is required")
        for i, claim in enumerate(self.volume_claim_templates or ()):
            wrong = malformed(claim, CLAIM, f"volumeClaimTemplates[{i}]")
            if wrong:
                raise fail(*wrong)
            if not (claim.get("metadata") or {}).get("name"):
                raise fail(f"volumeClaimTemplates[{i}].metadata.name", "required")
        return self


class AsyncActorSpec(Model):
    """What an actor is."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!(has(self.scaling) && self.scaling.enabled && self.workload.type == 'Job'"
                " && !has(self.workload.template))",
                "workload.template: required to scale a Job, since KEDA starts Jobs from a template",
            )
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
