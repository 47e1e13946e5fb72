"""KEDA's objects for an actor: pure functions whose results KEDA's admission and scalers accept.

A trigger never refers to an environment variable. KEDA reads variables from ``spec.containers`` only, and a sidecar
may be elsewhere: a Job's is an init container, and some workloads are injected in their pods alone. A RabbitMQ scaler
takes the user name from a TriggerAuthentication or a variable only. So a ConfigMap holds the user name, and the
TriggerAuthentication refers to it and to the user's own Secrets.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Final

from controller.rules.desired import metadata_of, pod_template, with_digest, workload_name
from crds.models import AsyncActor
from crds.names import ANNOTATION_ACTOR_GENERATION, KEDA_API_VERSION, KEDA_CONFIGMAP
from crds.scaling import Behavior, ScaledJobs
from crds.transport import SQS, RabbitMQ, SecretKeyRef
from crds.triggers import Trigger
from injection.generations import queue_name
from injection.inject import find_runtime
from injection.rabbitmq import DEFAULT_PASSWORD
from injection.settings import SidecarDefaults
from kube.objects import Object

_CONFIG_MAP_KEY: Final = re.compile(r"[-._a-zA-Z0-9]{1,253}")

PAUSED: Final = "autoscaling.keda.sh/paused"
"""KEDA's annotation that pauses scaling at the current number of replicas or Jobs."""
PAUSED_REPLICAS: Final = "autoscaling.keda.sh/paused-replicas"
"""KEDA's annotation that pauses scaling at this number of replicas."""

SCALE_UP: Final[Object] = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Percent", "value": 100, "periodSeconds": 15},
        {"type": "Pods", "value": 4, "periodSeconds": 15},
    ],
}
SCALE_DOWN: Final[Object] = {
    "stabilizationWindowSeconds": 60,
    "policies": [{"type": "Percent", "value": 50, "periodSeconds": 15}],
}


def scaled_object(actor: AsyncActor, defaults: SidecarDefaults) -> Object:
    """KEDA's ScaledObject for a Deployment or StatefulSet."""
    scaling = actor.spec.scaling
    spec: Object = {
        "scaleTargetRef": {
            "apiVersion": "apps/v1",
            "kind": actor.spec.workload.type,
            "name": workload_name(actor),
            **_environment_source(actor),
        },
        "minReplicaCount": scaling.min_replicas,
        "maxReplicaCount": scaling.max_replicas,
        "pollingInterval": scaling.polling_interval,
        "cooldownPeriod": actor.spec.cooldown_period,
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _behavior(scaling.behavior)}},
        "triggers": _triggers(actor, defaults),
    }
    if scaling.initial_cooldown_period is not None:
        spec["initialCooldownPeriod"] = scaling.initial_cooldown_period
    if scaling.idle_replicas is not None:
        spec["idleReplicaCount"] = scaling.idle_replicas
    if scaling.fallback is not None:
        spec["fallback"] = scaling.fallback.model_dump(mode="json", by_alias=True, exclude_none=True)
    metadata = _with_pause(actor, metadata_of(actor, actor.metadata.name))
    return with_digest({"apiVersion": KEDA_API_VERSION, "kind": "ScaledObject", "metadata": metadata, "spec": spec})


def scaled_job(actor: AsyncActor, defaults: SidecarDefaults) -> Object:
    """KEDA's ScaledJob. Admission injects its template as it does with a Job."""
    scaling = actor.spec.scaling
    job = scaling.job or ScaledJobs()
    metadata = metadata_of(actor, actor.metadata.name)
    metadata["annotations"] = {ANNOTATION_ACTOR_GENERATION: str(actor.metadata.generation)}
    spec: Object = {
        "jobTargetRef": {"template": pod_template(actor)},
        "minReplicaCount": scaling.min_replicas,
        "maxReplicaCount": scaling.max_replicas,
        "pollingInterval": scaling.polling_interval,
        "successfulJobsHistoryLimit": job.successful_jobs_history_limit,
        "failedJobsHistoryLimit": job.failed_jobs_history_limit,
        "rollout": {"strategy": job.rollout},
        "scalingStrategy": _strategy(actor, job),
        **_environment_source(actor),
        "triggers": _triggers(actor, defaults),
    }
    metadata = _with_pause(actor, metadata)
    return with_digest({"apiVersion": KEDA_API_VERSION, "kind": "ScaledJob", "metadata": metadata, "spec": spec})


def _strategy(actor: AsyncActor, job: ScaledJobs) -> Object:
    """How KEDA computes the number of new Jobs from the number of messages.

    ``accurate`` subtracts pending Jobs. It fits transports that do not count the messages of running Jobs.
    ``default`` subtracts all running Jobs. It fits transports that count those messages.
    """
    strategy: Object = {
        "strategy": job.strategy or ("accurate" if actor.spec.transport.counts_waiting_only else "default"),
        "pendingPodConditions": job.pending_pod_conditions or ["Ready"],
    }
    if job.custom_scaling_queue_length_deduction is not None:
        strategy["customScalingQueueLengthDeduction"] = job.custom_scaling_queue_length_deduction
    if job.custom_scaling_running_job_percentage is not None:
        strategy["customScalingRunningJobPercentage"] = job.custom_scaling_running_job_percentage
    if job.multiple_scalers_calculation is not None:
        strategy["multipleScalersCalculation"] = job.multiple_scalers_calculation
    return strategy


def _behavior(behavior: Behavior | None) -> Object:
    """The actor's own behavior, with defaults for the sections that it does not set."""
    own = behavior.model_dump(mode="json", by_alias=True, exclude_none=True) if behavior is not None else {}
    return {"scaleUp": SCALE_UP, "scaleDown": SCALE_DOWN, **own}


def _with_pause(actor: AsyncActor, metadata: Object) -> Object:
    scaling = actor.spec.scaling
    if not scaling.paused:
        return metadata
    pause = {PAUSED: "true"} if scaling.paused_replicas is None else {PAUSED_REPLICAS: str(scaling.paused_replicas)}
    return {**metadata, "annotations": {**(metadata.get("annotations") or {}), **pause}}


def _environment_source(actor: AsyncActor) -> Object:
    """Names the runtime container if one of the user's triggers reads a variable; KEDA's default is the first one."""
    reads_variables = any(key.endswith("FromEnv") for t in actor.spec.scaling.triggers or () for key in t.metadata)
    runtime = find_runtime(actor.spec.workload.template) if reads_variables else None
    return {"envSourceContainerName": runtime["name"]} if runtime is not None else {}


# -- triggers ----------------------------------------------------------------------------------------


def _triggers(actor: AsyncActor, defaults: SidecarDefaults) -> list[Object]:
    return [trigger(actor, defaults), *(_user_trigger(t) for t in actor.spec.scaling.triggers or ())]


def _user_trigger(trigger: Trigger) -> Object:
    return {"metadata": {}, **trigger.model_dump(mode="json", by_alias=True, exclude_none=True)}


def trigger(actor: AsyncActor, defaults: SidecarDefaults) -> Object:
    """The KEDA trigger on the actor's queue."""
    own = actor.spec.scaling.authentication_ref
    if own is not None:
        reference: Object = {"authenticationRef": own.model_dump(mode="json", by_alias=True)}
    elif trigger_authentication(actor) is not None:
        reference = {"authenticationRef": {"name": actor.metadata.name}}
    else:
        reference = {}
    queue, transport = queue_name(actor, defaults), actor.spec.transport
    if transport.sqs is not None:
        return {"type": "aws-sqs-queue", "metadata": _of_sqs(actor, transport.sqs, queue), **reference}
    assert transport.rabbitmq is not None, "a transport has the section of its type"
    return {"type": "rabbitmq", "metadata": _of_rabbitmq(actor, transport.rabbitmq, queue), **reference}


def _of_sqs(actor: AsyncActor, sqs: SQS, queue: str) -> Object:
    metadata = {
        "queueURL": f"{sqs.queue_base_url}/{queue}",
        "awsRegion": sqs.region,
        "queueLength": str(actor.spec.queue_length),
    }
    if sqs.endpoint is not None:
        metadata["awsEndpoint"] = sqs.endpoint
    if actor.spec.scaling.activation_queue_length:
        metadata["activationQueueLength"] = str(actor.spec.scaling.activation_queue_length)
    return metadata


def _of_rabbitmq(actor: AsyncActor, rabbitmq: RabbitMQ, queue: str) -> Object:
    metadata = {
        "protocol": "amqp" if rabbitmq.management is None else "http",
        "queueName": queue,
        "mode": "QueueLength",
        "value": str(actor.spec.queue_length),
    }
    host = _host(rabbitmq, with_user=actor.spec.scaling.authentication_ref is None)
    if host is not None:
        metadata["host"] = host
        if rabbitmq.vhost not in (None, "/"):
            metadata["vhostName"] = str(rabbitmq.vhost)
    if actor.spec.scaling.activation_queue_length:
        metadata["activationValue"] = str(actor.spec.scaling.activation_queue_length)
    return metadata


def _host(rabbitmq: RabbitMQ, *, with_user: bool) -> str | None:
    """The URL for KEDA, without any secret; None if a Secret holds the URL.

    KEDA refuses a user name without a password. If the actor names no password, the URL of the management API has the
    user name and the default password, which is not secret. An AMQP client adds the default password by itself.
    """
    if rabbitmq.management is not None:
        if rabbitmq.management.url is None:
            return None
        scheme, _, rest = rabbitmq.management.url.partition("://")
        user = ""
        if with_user and rabbitmq.password_secret_ref is None:
            user = f"{rabbitmq.quoted_username}:{DEFAULT_PASSWORD}@"
        return f"{scheme}://{user}{rest}/"
    if rabbitmq.url_secret_ref is not None:
        return None
    scheme, _, rest = rabbitmq.address.partition("://")
    is_needed = rabbitmq.username != "guest" and rabbitmq.password_secret_ref is None and not rabbitmq.uses_certificate
    user = f"{rabbitmq.quoted_username}@" if with_user and is_needed else ""
    return f"{scheme}://{user}{rest}/"


# -- credentials -------------------------------------------------------------------------------------


def trigger_authentication(actor: AsyncActor) -> Object | None:
    """KEDA's TriggerAuthentication, which refers to the user's own Secrets; None if the trigger needs none."""
    if actor.spec.scaling.authentication_ref is not None:
        return None
    rabbitmq = actor.spec.transport.rabbitmq
    if rabbitmq is None:
        spec: Object = {"podIdentity": _identity(actor)}
    else:
        secrets = [{"parameter": p, "name": ref.name, "key": ref.key} for p, ref in _secrets(rabbitmq)]
        parameters = [
            {"parameter": p, "name": KEDA_CONFIGMAP, "key": parameter_key(p, value)}
            for p, value in _parameters(rabbitmq).items()
        ]
        spec = {
            **({"secretTargetRef": secrets} if secrets else {}),
            **({"configMapTargetRef": parameters} if parameters else {}),
        }
        if not spec:
            return None
    return with_digest(
        {
            "apiVersion": KEDA_API_VERSION,
            "kind": "TriggerAuthentication",
            "metadata": metadata_of(actor, actor.metadata.name),
            "spec": spec,
        }
    )


def _identity(actor: AsyncActor) -> Object:
    aws = actor.spec.scaling.aws
    identity: Object = {"provider": "aws"}
    if aws is not None:
        optional = {"identityOwner": aws.identity_owner, "roleArn": aws.role_arn}
        identity.update({key: value for key, value in optional.items() if value is not None})
    return identity


def _secrets(rabbitmq: RabbitMQ) -> Iterator[tuple[str, SecretKeyRef]]:
    """KEDA's parameters that are secret, each with the key of the user's Secret."""
    management = rabbitmq.management
    url = rabbitmq.url_secret_ref if management is None else management.url_secret_ref
    if url is not None:
        yield "host", url
    elif rabbitmq.password_secret_ref is not None:
        yield "password", rabbitmq.password_secret_ref
    tls = rabbitmq.tls
    if tls is not None:
        for parameter, ref in (("ca", tls.ca_secret_ref), ("cert", tls.cert_secret_ref), ("key", tls.key_secret_ref)):
            if ref is not None:
                yield parameter, ref


def _parameters(rabbitmq: RabbitMQ) -> dict[str, str]:
    """KEDA's parameters that are not secret, and that KEDA does not accept in a trigger's metadata."""
    parameters = {}
    secrets = dict(_secrets(rabbitmq))
    if "password" in secrets:
        parameters["username"] = rabbitmq.username
    if {"ca", "cert"} & set(secrets):
        parameters["tls"] = "enable"
    return parameters


def parameter_key(parameter: str, value: str) -> str:
    """The key of a parameter's value in the namespace's ConfigMap: the value itself if a key can hold it.

    No actor's name has an underscore, so no key is one of the first release, which was the actor's name, a dot and the
    parameter.
    """
    key = f"{parameter}_{value}"
    return key if _CONFIG_MAP_KEY.fullmatch(key) else f"{parameter}_{hashlib.sha256(value.encode()).hexdigest()}"


def trigger_parameters(actor: AsyncActor) -> dict[str, str]:
    """The entries in the namespace's ConfigMap to which the actor's TriggerAuthentication refers."""
    rabbitmq = actor.spec.transport.rabbitmq
    if rabbitmq is None or actor.spec.scaling.authentication_ref is not None:
        return {}
    return {parameter_key(parameter, value): value for parameter, value in _parameters(rabbitmq).items()}


def referenced_keys(authentication: Object) -> set[str]:
    """The keys of the namespace's ConfigMap to which a TriggerAuthentication refers."""
    references = (authentication.get("spec") or {}).get("configMapTargetRef") or ()
    return {reference["key"] for reference in references if reference["name"] == KEDA_CONFIGMAP}
