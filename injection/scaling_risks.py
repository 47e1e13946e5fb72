"""Warns about scaling that is not safe: messages that run twice, busy pods that stop, triggers that KEDA refuses.

:mod:`injection.warnings` shows them at ``kubectl apply`` and in the status.
"""

from collections.abc import Iterator

from crds.models import AsyncActor
from crds.triggers import RESOURCE_TRIGGERS

TEMPLATE = "spec.workload.template"


def scaling_risks(actor: AsyncActor) -> list[str]:
    """Return the warnings about the scaling of ``actor``. Each names the field, its value and what to do."""
    return [*_visibility(actor), *_cooldown(actor), *_default_password(actor), *_resources(actor)]


def _visibility(actor: AsyncActor) -> Iterator[str]:
    sqs, processing = actor.spec.transport.sqs, actor.spec.timeout.processing
    if sqs is not None and sqs.visibility_timeout < processing:
        yield (
            f"spec.transport.sqs.visibilityTimeout: {sqs.visibility_timeout}s is less than spec.timeout.processing "
            f"({processing}s), so SQS delivers a message to a second pod while the first still processes it; set it "
            f"to {processing} or more"
        )


def _cooldown(actor: AsyncActor) -> Iterator[str]:
    scaling, processing = actor.spec.scaling, actor.spec.timeout.processing
    scales_to_zero = scaling.min_replicas == 0 or scaling.idle_replicas is not None
    if not scaling.enabled or not scales_to_zero or actor.spec.workload.type == "Job":
        return
    if actor.spec.transport.counts_waiting_only and actor.spec.cooldown_period < processing:
        yield (
            f"spec.scaling.cooldownPeriod: {actor.spec.cooldown_period}s is less than spec.timeout.processing "
            f"({processing}s). By AMQP, KEDA counts only waiting messages, so it may stop the last pod while that pod "
            "still processes one, which must then end within the grace period; leave the field out, or set "
            "spec.transport.rabbitmq.management"
        )


def _default_password(actor: AsyncActor) -> Iterator[str]:
    rabbitmq = actor.spec.transport.rabbitmq
    if rabbitmq is None or rabbitmq.url_secret_ref is not None or rabbitmq.uses_certificate:
        return
    if rabbitmq.username != "guest" and rabbitmq.password_secret_ref is None:
        yield (
            f"spec.transport.rabbitmq.passwordSecretRef: not set, so sidecar and KEDA log in as {rabbitmq.username!r} "
            "with the default password 'guest'; set it to the Secret with the password"
        )


def _resources(actor: AsyncActor) -> Iterator[str]:
    """KEDA refuses a trigger on a resource that a container neither requests nor limits."""
    template = actor.spec.workload.template
    containers = ((template or {}).get("spec") or {}).get("containers") or ()
    for i, trigger in enumerate(actor.spec.scaling.triggers or ()):
        if trigger.type not in RESOURCE_TRIGGERS:
            continue
        measured = trigger.metadata.get("containerName")
        for container in containers:
            resources = container.get("resources") or {}
            configured = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
            if measured in (None, container.get("name")) and trigger.type not in configured:
                yield (
                    f"spec.scaling.triggers[{i}]: KEDA refuses the trigger {trigger.type} unless the container "
                    f"{container.get('name')!r} has resources.requests.{trigger.type} or a LimitRange sets it; "
                    f"set {TEMPLATE}.spec.containers[{container.get('name')}].resources"
                )
