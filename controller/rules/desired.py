"""What the cluster should hold for an actor: pure functions from an actor to Kubernetes objects.

Workloads are plain, without the sidecar: they bear the actor's label, and admission injects them when
they are applied. Selectors hold nothing that could ever change.
"""

import hashlib
from typing import Any

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

Object = dict[str, Any]

APP = "asya-actor"
"""Value of ``app.kubernetes.io/name`` on all that belongs to an actor."""

SCALABLE = ("Deployment", "StatefulSet")
"""Kinds that have replicas, and so can be the target of a ScaledObject."""


def labels(actor: AsyncActor) -> dict[str, str]:
    """Labels of everything that the actor owns."""
    return {
        LABEL_NAME: APP,
        LABEL_INSTANCE: actor.metadata.name,
        LABEL_MANAGED_BY: OPERATOR,
        LABEL_ACTOR: actor.metadata.name,
    }


def selector(actor: AsyncActor) -> dict[str, str]:
    """Labels by which the actor's workload finds its pods; of a template's labels these alone are not the user's."""
    return {LABEL_ACTOR: actor.metadata.name, LABEL_INSTANCE: actor.metadata.name}


def owner_reference(actor: AsyncActor) -> Object:
    """Makes garbage collection remove the object with the actor."""
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


def scaled_by_job(actor: AsyncActor) -> bool:
    """Whether KEDA starts Jobs for this actor, so that there is no workload but the ScaledJob."""
    return actor.spec.scaling.enabled and actor.spec.workload.type == "Job"


def workload(actor: AsyncActor, *, keda: bool, replicas: int | None = None) -> Object:
    """The actor's Deployment, StatefulSet or Job.

    Args:
        actor: an actor with a template.
        keda: whether KEDA owns ``spec.replicas``, which is then left out.
        replicas: the replicas to set while KEDA does not own them, if not those of the actor.
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
"""Fields that ``spec`` gained after the first release, by section, with the value that says nothing."""


def _job_inputs(actor: AsyncActor) -> Object:
    """What makes a new Job necessary, since a Job's template cannot change.

    The operator's own defaults do not. Neither does an upgrade: a field that the release which made the Job did
    not know counts only where it says something.
    """
    inputs: Object = actor.spec.model_dump(mode="json", by_alias=True, exclude={"scaling"})
    for section, fields in ADDED.items():
        holder: Object | None = inputs
        for part in filter(None, section.split(".")):
            holder = holder[part] if holder is not None else None
        for name, nothing in fields.items() if holder is not None else ():
            if holder is not None and holder[name] == nothing:
                del holder[name]
    return inputs


def _parallelism(replicas: int | None) -> Object:
    if replicas in (None, 1):
        return {}
    return {"suspend": True} if replicas == 0 else {"parallelism": replicas, "completions": replicas}


def pod_template(actor: AsyncActor) -> Object:
    """The actor's pod template with the actor's labels and what Kubernetes demands of it."""
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
    """The ConfigMap that injected pods mount the runtime script from, taken from ``origin`` if that may move."""
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
