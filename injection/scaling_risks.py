"""What of an actor's scaling cannot be safe: a message that is done twice, or a pod that is stopped while busy.

Shown with the other warnings, at ``kubectl apply`` and in the status.
"""

from collections.abc import Iterator

from crds.models import AsyncActor
from crds.scaling import RESOURCE_TRIGGERS

TEMPLATE = "spec.workload.template"


def scaling_risks(actor: AsyncActor) -> list[str]:
    """The risks of ``actor``, each with its field, what was found and what to do."""
    return [*_visibility(actor), *_cooldown(actor), *_default_password(actor), *_resources(actor)]


def _visibility(actor: AsyncActor) -> Iterator[str]:
    sqs, processing = actor.spec.transport.sqs, actor.spec.timeout.processing
    if sqs is not None and sqs.visibility_timeout < processing:
        yield (
            f"spec.transport.sqs.visibilityTimeout: {sqs.visibility_timeout}s is less than spec.timeout.processing "
            f"({processing}s), so SQS gives a message to a second pod while the first still works on it; set it to "
            f"{processing} or more"
        )


def _cooldown(actor: AsyncActor) -> Iterator[str]:
    scaling, processing = actor.spec.scaling, actor.spec.timeout.processing
    sleeps = scaling.min_replicas == 0 or scaling.idle_replicas is not None
    if not scaling.enabled or not sleeps or actor.spec.workload.type == "Job":
        return
    if actor.spec.transport.counts_waiting_only and actor.spec.cooldown_period < processing:
        yield (
            f"spec.scaling.cooldownPeriod: {actor.spec.cooldown_period}s is less than spec.timeout.processing "
            f"({processing}s), and KEDA sees waiting messages only when it asks RabbitMQ by AMQP, so the last pod is "
            "stopped while it works and finishes only within its grace period; leave the field out, or set "
            "spec.transport.rabbitmq.management"
        )


def _default_password(actor: AsyncActor) -> Iterator[str]:
    rabbitmq = actor.spec.transport.rabbitmq
    if rabbitmq is None or rabbitmq.url_secret_ref is not None or rabbitmq.by_certificate:
        return
    if rabbitmq.username != "guest" and rabbitmq.password_secret_ref is None:
        yield (
            f"spec.transport.rabbitmq.passwordSecretRef: not set, so sidecar and KEDA log in as {rabbitmq.username!r} "
            "with the default password 'guest'; name the Secret that holds the password"
        )


def _resources(actor: AsyncActor) -> Iterator[str]:
    """KEDA refuses a trigger on what a container uses that does not say what it asks for."""
    template = actor.spec.workload.template
    containers = ((template or {}).get("spec") or {}).get("containers") or ()
    for i, trigger in enumerate(actor.spec.scaling.triggers or ()):
        if trigger.type not in RESOURCE_TRIGGERS:
            continue
        wanted = trigger.metadata.get("containerName")
        for container in containers:
            resources = container.get("resources") or {}
            asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
            if wanted in (None, container.get("name")) and trigger.type not in asked:
                yield (
                    f"spec.scaling.triggers[{i}]: KEDA refuses the trigger {trigger.type} unless the container "
                    f"{container.get('name')!r} has resources.requests.{trigger.type} or a LimitRange gives it one; "
                    f"set {TEMPLATE}.spec.containers[{container.get('name')}].resources"
                )
