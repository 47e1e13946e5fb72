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
    API_VERSION,
    KEDA_API_VERSION,
    KIND,
    LABEL_ACTOR,
    LABEL_INSTANCE,
    LABEL_MANAGED_BY,
    LABEL_NAME,
    OPERATOR,
    RUNTIME_CONFIGMAP,
    RUNTIME_KEY,
    SIDECAR,
)
from injection.generations import queue_name
from injection.plan import script_hash
from injection.settings import SidecarDefaults

Object = dict[str, Any]

APP = "asya-actor"
"""Value of ``app.kubernetes.io/name`` on all that belongs to an actor."""

SCALABLE = ("Deployment", "StatefulSet")
"""Kinds that have replicas, and so can be the target of a ScaledObject."""

SCALE_UP: Object = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Percent", "value": 100, "periodSeconds": 15},
        {"type": "Pods", "value": 4, "periodSeconds": 15},
    ],
}
SCALE_DOWN: Object = {
    "stabilizationWindowSeconds": 60,
    "policies": [{"type": "Percent", "value": 50, "periodSeconds": 15}],
}


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
        **_metadata(actor, workload_name(actor)),
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
}
"""Fields that ``spec`` gained after the first release, by section, with the value that says nothing."""


def _job_inputs(actor: AsyncActor) -> Object:
    """What makes a new Job necessary, since a Job's template cannot change.

    The operator's own defaults do not. Neither does an upgrade: a field that the release which made the Job did
    not know counts only where it says something.
    """
    inputs: Object = actor.spec.model_dump(mode="json", by_alias=True, exclude={"scaling"})
    for section, fields in ADDED.items():
        holder = inputs[section] if section else inputs
        for name, nothing in fields.items():
            if holder[name] == nothing:
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


def scaled_object(actor: AsyncActor, defaults: SidecarDefaults) -> Object:
    """KEDA's ScaledObject for a Deployment or StatefulSet."""
    scaling = actor.spec.scaling
    target: Object = {
        "apiVersion": "apps/v1",
        "kind": actor.spec.workload.type,
        "name": workload_name(actor),
        "envSourceContainerName": SIDECAR,
    }
    return with_digest(
        {
            "apiVersion": KEDA_API_VERSION,
            "kind": "ScaledObject",
            "metadata": _metadata(actor, actor.metadata.name),
            "spec": {
                "scaleTargetRef": target,
                "minReplicaCount": scaling.min_replicas,
                "maxReplicaCount": scaling.max_replicas,
                "pollingInterval": scaling.polling_interval,
                "cooldownPeriod": scaling.cooldown_period,
                "advanced": {
                    "horizontalPodAutoscalerConfig": {"behavior": {"scaleUp": SCALE_UP, "scaleDown": SCALE_DOWN}}
                },
                "triggers": [trigger(actor, defaults)],
            },
        }
    )


def scaled_job(actor: AsyncActor, defaults: SidecarDefaults) -> Object:
    """KEDA's ScaledJob, whose template admission injects as it does a Job's."""
    scaling = actor.spec.scaling
    obj: Object = {
        "apiVersion": KEDA_API_VERSION,
        "kind": "ScaledJob",
        "metadata": {
            **_metadata(actor, actor.metadata.name),
            "annotations": {ANNOTATION_ACTOR_GENERATION: str(actor.metadata.generation)},
        },
        "spec": {
            "jobTargetRef": {"template": pod_template(actor)},
            "minReplicaCount": scaling.min_replicas,
            "maxReplicaCount": scaling.max_replicas,
            "pollingInterval": scaling.polling_interval,
            "envSourceContainerName": SIDECAR,
            "triggers": [trigger(actor, defaults)],
        },
    }
    return with_digest(obj)


def trigger(actor: AsyncActor, defaults: SidecarDefaults) -> Object:
    """The KEDA trigger on the actor's queue."""
    spec = actor.spec
    value = str(spec.scaling.queue_length)
    authentication = {"authenticationRef": {"name": actor.metadata.name}} if trigger_authentication(actor) else {}
    if spec.transport.sqs is not None:
        sqs = spec.transport.sqs
        return {
            "type": "aws-sqs-queue",
            "metadata": {
                "queueURL": f"{sqs.queue_base_url}/{queue_name(actor, defaults)}",
                "awsRegion": sqs.region,
                "queueLength": value,
            },
            **authentication,
        }
    rabbitmq = spec.transport.rabbitmq
    assert rabbitmq is not None, "a transport has the section of its type"
    metadata = {"protocol": "amqp", "queueName": queue_name(actor, defaults), "mode": "QueueLength", "value": value}
    if rabbitmq.url_secret_ref is None:
        metadata["host"] = f"amqp://{rabbitmq.host}:{rabbitmq.port}/"
        metadata["usernameFromEnv"] = "ASYA_RABBITMQ_USERNAME"
    return {"type": "rabbitmq", "metadata": metadata, **authentication}


def trigger_authentication(actor: AsyncActor) -> Object | None:
    """KEDA's TriggerAuthentication, which names the user's own Secret; None if there is nothing to name."""
    transport = actor.spec.transport
    if transport.sqs is not None:
        spec: Object = {"podIdentity": {"provider": "aws"}}
    else:
        rabbitmq = transport.rabbitmq
        assert rabbitmq is not None, "a transport has the section of its type"
        if rabbitmq.url_secret_ref is not None:
            parameter, ref = "host", rabbitmq.url_secret_ref
        elif rabbitmq.password_secret_ref is not None:
            parameter, ref = "password", rabbitmq.password_secret_ref
        else:
            return None
        spec = {"secretTargetRef": [{"parameter": parameter, "name": ref.name, "key": ref.key}]}
    return with_digest(
        {
            "apiVersion": KEDA_API_VERSION,
            "kind": "TriggerAuthentication",
            "metadata": _metadata(actor, actor.metadata.name),
            "spec": spec,
        }
    )


def runtime_config_map(namespace: str, script: str) -> Object:
    """The ConfigMap that injected pods mount the runtime script from."""
    return with_digest(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": RUNTIME_CONFIGMAP,
                "namespace": namespace,
                "labels": {LABEL_NAME: RUNTIME_CONFIGMAP, LABEL_MANAGED_BY: OPERATOR},
                "annotations": {ANNOTATION_SCRIPT: script_hash(script)},
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


def _metadata(actor: AsyncActor, name: str) -> Object:
    return {
        "name": name,
        "namespace": actor.metadata.namespace,
        "labels": labels(actor),
        "ownerReferences": [owner_reference(actor)],
    }
