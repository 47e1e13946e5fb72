"""The conclusions from an actor's spec, the operator's settings and the runtime script."""

from dataclasses import dataclass

from controller.rules.queues import queue_verdict
from controller.rules.status import Verdict
from crds.models import AsyncActor
from crds.parse import parse_actor
from injection.generations import queue_name
from injection.plan import Plan, make_plan
from injection.settings import SidecarDefaults
from injection.warnings import warnings_of
from kube.objects import Object


@dataclass(frozen=True)
class Intent:
    """A valid actor, and the conclusions from it."""

    actor: AsyncActor
    plan: Plan
    """The plan that admission injects into its workloads."""
    queue: Verdict | None
    """The condition QueueConsumed."""
    queue_name: str
    warnings: tuple[str, ...]
    """Warnings about its spec."""

    @property
    def owns_workload(self) -> bool:
        """Whether the operator creates the workload; otherwise the actor borrows one that exists."""
        return self.actor.spec.workload.template is not None

    @property
    def is_scaled(self) -> bool:
        """Whether KEDA scales the workload."""
        return self.actor.spec.scaling.enabled


def intent_of(obj: Object, defaults: SidecarDefaults, script: str) -> Intent:
    """The intent of the AsyncActor ``obj``.

    Raises:
        InvalidActor: if its spec is not valid.
    """
    actor = parse_actor(obj)
    return Intent(
        actor,
        make_plan(actor, defaults, script),
        queue_verdict(actor, defaults),
        queue_name(actor, defaults),
        tuple(warnings_of(actor, defaults)),
    )
