"""Warns about settings of a valid AsyncActor that its sidecar does not support. ``docs/sidecars.md`` explains them.

:mod:`injection.warnings` shows them at ``kubectl apply`` and in the status.
"""

from collections.abc import Iterator
from typing import Final

from crds.models import AsyncActor
from injection.access import value_of
from injection.generations import generation, own_value, sidecar_actor_name
from injection.inject import find_runtime
from injection.scaling_risks import TEMPLATE
from injection.settings import SidecarDefaults

MODE: Final = "ASYA_HANDLER_MODE"


def sidecar_limits(actor: AsyncActor, defaults: SidecarDefaults) -> list[str]:
    """Return the warnings about the sidecar of ``actor``. Each names the field, its value and what to do."""
    return [*_retries(actor), *_envelope(actor, defaults), *_end(actor, defaults), *_no_holder(actor, defaults)]


def _retries(actor: AsyncActor) -> Iterator[str]:
    policies = actor.spec.resiliency.policies if actor.spec.resiliency is not None else None
    names = sorted(name for name, policy in (policies or {}).items() if policy.max_attempts > 1)
    if names and actor.spec.transport.type == "rabbitmq":
        listed = ", ".join(f"{name}: {(policies or {})[name].max_attempts}" for name in names)
        yield (
            f"spec.resiliency.policies[].maxAttempts: more than one attempt ({listed}), but sidecars cannot delay a "
            "message with RabbitMQ, so a message fails at its first error; set 1 and name actors in onExhausted, or "
            "use the transport sqs"
        )


def _envelope(actor: AsyncActor, defaults: SidecarDefaults) -> Iterator[str]:
    runtime = find_runtime(actor.spec.workload.template)
    if runtime is None or generation(actor, defaults) != "http":
        return
    if (value_of(runtime, MODE) or "").lower() == "envelope":
        yield (
            f"{TEMPLATE}.spec.containers[{runtime['name']}].env[{MODE}]: 'envelope' is for sidecars before 0.5.1; with "
            "this actor's sidecar, every message ends in an error; remove the variable, and write the function as a "
            "generator that reads and changes the message by GET, SET and DEL"
        )


def _end(actor: AsyncActor, defaults: SidecarDefaults) -> Iterator[str]:
    ends = ["happy-end", "error-end"]
    if generation(actor, defaults) == "http":
        named = {"ASYA_ACTOR_SINK": "x-sink", "ASYA_ACTOR_SUMP": "x-sump"}
        ends = [own_value(actor, variable) or name for variable, name in named.items()]
    name = sidecar_actor_name(actor, defaults)
    is_end = actor.spec.sidecar.end_actor or own_value(actor, "ASYA_IS_END_ACTOR") is not None
    if name in ends and not is_end:
        yield (
            f"spec.sidecar.endActor: false, but routes end at {name!r}, so the sidecar sends the function's results "
            "to the end of the route again; set it to true"
        )


def _no_holder(actor: AsyncActor, defaults: SidecarDefaults) -> Iterator[str]:
    if actor.spec.socket.activation is False and defaults.native_sidecars:
        yield (
            "spec.socket.activation: false, so each message that the sidecar receives while the function's container "
            "restarts ends in the queue for errors; leave the field out, so that messages wait"
        )
