"""``spec.workload``: the workload that runs an actor's pods, its pod template, and when its Jobs end."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from crds.base import DNS_SUBDOMAIN, MAX_NAME, Model, Object, cel, fail, schema
from crds.shape import CLAIM, shape_fault

WorkloadType = Literal["Deployment", "StatefulSet", "Job"]

_METADATA = {
    "type": "object",
    "properties": {
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
_PRESERVED = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


class Job(Model):
    """When a Job's runtime ends. It applies to runtimes that run the operator's script."""

    messages: Annotated[
        int | None,
        Field(ge=1, description="Messages after which the Job ends. Absent: 1 if KEDA starts it, else no limit."),
    ] = None
    idle_seconds: Annotated[int, Field(ge=1, description="Seconds without a message after which the Job ends.")] = 60


class Workload(Model):
    """The workload that runs the actor's pods."""

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
            description="Replicas, or the parallelism of a Job. Absent: the operator creates the workload with 1 and "
            "leaves the field to others after that (a HorizontalPodAutoscaler, `kubectl scale`). Ignored while scaling "
            "is enabled.",
        ),
    ] = None
    template: Annotated[
        Object | None,
        Field(
            description="Pod template: metadata (labels, annotations) and spec. The function runs in the container "
            "named `runtime`, or in the only container.",
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
            description="PersistentVolumeClaims of each replica. Only for a StatefulSet.",
            json_schema_extra=schema(type="array", items=_PRESERVED),
        ),
    ] = None
    job: Annotated[Job | None, Field(description="When a Job ends. Only for a Job.")] = None
    name: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=MAX_NAME,
            pattern=DNS_SUBDOMAIN,
            description="Name of the workload. Absent: the actor's name. Without a template, it names an existing "
            "workload: the operator scales and reports it, and never creates, rewrites or deletes it.",
        ),
    ] = None

    @model_validator(mode="after")
    def _check_consistency(self) -> "Workload":
        if self.template is None and self.name is None:
            raise fail("template", "required unless name refers to an existing workload")
        if self.volume_claim_templates is not None and self.type != "StatefulSet":
            raise fail("volumeClaimTemplates", "only a StatefulSet has them")
        if self.job is not None and self.type != "Job":
            raise fail("job", "only a Job has it")
        if self.template is not None:
            fault = shape_fault(self.template, path="template")
            if fault:
                raise fail(*fault)
            containers = (self.template.get("spec") or {}).get("containers")
            if not isinstance(containers, list) or not containers:
                raise fail("template.spec.containers", "at least one container is required")
        for i, claim in enumerate(self.volume_claim_templates or ()):
            fault = shape_fault(claim, CLAIM, f"volumeClaimTemplates[{i}]")
            if fault:
                raise fail(*fault)
            if not (claim.get("metadata") or {}).get("name"):
                raise fail(f"volumeClaimTemplates[{i}].metadata.name", "required")
        return self
