"""The objects that the cluster should hold for an actor: pure functions from an actor to Kubernetes objects.

Workloads have no sidecar here. They carry the actor's label, and admission injects them when the operator applies
them. Selectors contain only values that never change.
"""

import hashlib

import orjson

from crds.models import AsyncActor
from crds.names import (
    ANNOTATION_ACTOR_GENERATION,
    ANNOTATION_APPLIED,
    ANNOTATION_SCALING,
    ANNOTATION_SCRIPT,
    ANNOTATION_SCRIPT_ORIGIN,
    API_VERSION,
    KIND,
    LABEL_ACTOR,
    LABEL_INSTANCE,
    LABEL_MANAGED_BY,
    LABEL_NAME,
    OPERATOR,
    RUNTIME_CONFIGMAP,
    RUNTIME_KEY,
)
from injection.plan import script_hash
from kube.objects import Object

APP = "asya-actor"
"""Value of ``app.kubernetes.io/name`` on all objects of an actor."""

SCALABLE = ("Deployment", "StatefulSet")
"""Kinds that have replicas, so a ScaledObject can scale them."""


def labels(actor: AsyncActor) -> dict[str, str]:
    """Labels of every object that the actor owns."""
    return {
        LABEL_NAME: APP,
        LABEL_INSTANCE: actor.metadata.name,
        LABEL_MANAGED_BY: OPERATOR,
        LABEL_ACTOR: actor.metadata.name,
    }


def selector(actor: AsyncActor) -> dict[str, str]:
    """Labels in the selector of the actor's workload. The user's template cannot change these labels."""
    return {LABEL_ACTOR: actor.metadata.name, LABEL_INSTANCE: actor.metadata.name}


def owner_reference(actor: AsyncActor) -> Object:
    """The owner reference, with which garbage collection deletes the object after the actor."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": actor.metadata.name,
        "uid": actor.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def workload_name(actor: AsyncActor) -> str:
    """Name of the actor's workload."""
    return actor.spec.workload.name or actor.metadata.name


def is_scaled_by_job(actor: AsyncActor) -> bool:
    """Whether KEDA starts Jobs for this actor. Then the ScaledJob is its workload."""
    return actor.spec.scaling.enabled and actor.spec.workload.type == "Job"


def workload(actor: AsyncActor, *, keda: bool, replicas: int | None = None) -> Object:
    """The actor's Deployment, StatefulSet or Job.

    Args:
        actor: an actor with a template.
        keda: whether KEDA owns ``spec.replicas``; then the object does not set it.
        replicas: replaces the actor's own replicas; not used if ``keda``.
    """
    spec = actor.spec.workload
    count = spec.replicas if replicas is None else replicas
    if keda:
        count = None
    metadata = {
        **metadata_of(actor, workload_name(actor)),
        "annotations": {
            ANNOTATION_ACTOR_GENERATION: str(actor.metadata.generation),
            ANNOTATION_SCALING: "enabled" if keda else "unmanaged" if count is None else "disabled",
        },
    }
    if spec.type == "Job":
        obj: Object = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata,
            "spec": {**_parallelism(spec.replicas), "template": pod_template(actor)},
        }
        return with_digest(obj, _job_inputs(actor))
    body: Object = {
        "selector": {"matchLabels": selector(actor)},
        "template": pod_template(actor),
    }
    if count is not None:
        body["replicas"] = count
    if spec.type == "StatefulSet":
        body["serviceName"] = workload_name(actor)
        if spec.volume_claim_templates:
            body["volumeClaimTemplates"] = spec.volume_claim_templates
    return with_digest({"apiVersion": "apps/v1", "kind": spec.type, "metadata": metadata, "spec": body})


ADDED: dict[str, Object] = {
    "sidecar": {"generation": None, "endActor": False},
    "socket": {"activation": None},
    "workload": {"job": None},
    "": {"resiliency": None},
    "transport.rabbitmq": {"vhost": None, "tls": None, "management": None},
}
"""Fields that were added to ``spec`` after the first release, by section, each with its value when it is not set."""


def _job_inputs(actor: AsyncActor) -> Object:
    """The fields whose change requires a new Job, because a Job's template cannot change.

    A change of the operator's defaults does not replace Jobs. Neither does an upgrade: a field that an older release
    did not have counts only if it is set.
    """
    inputs: Object = actor.spec.model_dump(mode="json", by_alias=True, exclude={"scaling"})
    for section_path, fields in ADDED.items():
        section: Object | None = inputs
        for part in filter(None, section_path.split(".")):
            section = section[part] if section is not None else None
        for name, unset in fields.items() if section is not None else ():
            if section is not None and section[name] == unset:
                del section[name]
    return inputs


def _parallelism(replicas: int | None) -> Object:
    if replicas in (None, 1):
        return {}
    return {"suspend": True} if replicas == 0 else {"parallelism": replicas, "completions": replicas}


def pod_template(actor: AsyncActor) -> Object:
    """The actor's pod template with the actor's labels and the fields that its kind requires."""
    template = actor.spec.workload.template or {}
    metadata = template.get("metadata") or {}
    spec: Object = {
        "terminationGracePeriodSeconds": actor.spec.timeout.grace_period,
        **template["spec"],
    }
    if actor.spec.workload.type == "Job":
        spec.setdefault("restartPolicy", "Never")
    return {
        **template,
        "metadata": {**metadata, "labels": {**labels(actor), **(metadata.get("labels") or {}), **selector(actor)}},
        "spec": spec,
    }


def runtime_config_map(namespace: str, script: str, origin: str = "") -> Object:
    """The ConfigMap from which injected pods mount the runtime script.

    Args:
        namespace: of the ConfigMap.
        script: the runtime script.
        origin: the source, if the source is not pinned.
    """
    annotations = {ANNOTATION_SCRIPT: script_hash(script)} | ({ANNOTATION_SCRIPT_ORIGIN: origin} if origin else {})
    return with_digest(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": RUNTIME_CONFIGMAP,
                "namespace": namespace,
                "labels": {LABEL_NAME: RUNTIME_CONFIGMAP, LABEL_MANAGED_BY: OPERATOR},
                "annotations": annotations,
            },
            "data": {RUNTIME_KEY: script},
        }
    )


def with_digest(obj: Object, inputs: Object | None = None) -> Object:
    """``obj`` with the annotation ``asya.io/applied``: a digest of ``inputs``, or of ``obj`` itself."""
    data = orjson.dumps(obj if inputs is None else inputs, option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(data).hexdigest()[:16]
    metadata = obj["metadata"]
    annotations = {**(metadata.get("annotations") or {}), ANNOTATION_APPLIED: digest}
    return {**obj, "metadata": {**metadata, "annotations": annotations}}


def metadata_of(actor: AsyncActor, name: str) -> Object:
    """Metadata of an object of that name that the actor owns."""
    return {
        "name": name,
        "namespace": actor.metadata.namespace,
        "labels": labels(actor),
        "ownerReferences": [owner_reference(actor)],
    }
