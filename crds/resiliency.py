"""``spec.resiliency``: the retries and error routes that sidecars of the http generation can do.

The sidecar reads both as JSON from its environment and takes what it does not understand for nothing,
so every field is checked here.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticCustomError

from crds.base import DNS_SUBDOMAIN, Model, cel, fail

DEFAULT_POLICY = "default"
"""Name of the policy of errors that no rule names."""

MAX_ENTRIES = 64
"""Policies, rules and errors of a rule that there may be."""

ActorName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=253)]
Duration = Annotated[
    str, StringConstraints(min_length=1, max_length=16, pattern=r"^([0-9]{1,6}(\.[0-9]{1,3})?(ns|us|ms|s|m|h))+$")
]
"""As Go writes durations: ``500ms``, ``1m30s``. So long that it cannot overflow there."""


class Policy(Model):
    """What becomes of a message whose function failed."""

    max_attempts: Annotated[int, Field(ge=1, le=1000000, description="Attempts, the first one included.")] = 1
    backoff: Annotated[
        Literal["constant", "linear", "exponential"] | None, Field(description="How the delay grows with each attempt.")
    ] = None
    initial_delay: Annotated[
        Duration | None, Field(description="Delay before the second attempt, as a Go duration: `500ms`, `1m30s`.")
    ] = None
    max_interval: Annotated[Duration | None, Field(description="Longest delay, as a Go duration.")] = None
    max_duration: Annotated[
        Duration | None, Field(description="Time after which there is no further attempt, as a Go duration.")
    ] = None
    jitter: Annotated[bool, Field(description="Whether delays vary at random.")] = False
    on_exhausted: Annotated[
        list[ActorName] | None,
        Field(
            min_length=1,
            max_length=MAX_ENTRIES,
            description="Actors that get the message after the last attempt, instead of the sink.",
        ),
    ] = None


class Rule(Model):
    """Which errors a policy is for."""

    errors: Annotated[
        list[Word],
        Field(
            min_length=1,
            max_length=MAX_ENTRIES,
            description="Names of Python exceptions or of their bases; one with a dot is compared whole.",
        ),
    ]
    policy: Annotated[Word, Field(description="Name of a policy.")]


class Resiliency(Model):
    """Retries and error routes."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.rules) || self.rules.all(r, has(self.policies) && r.policy in self.policies)",
                "rules: each must name one of the policies",
            ),
            (
                "!has(self.policies) || self.policies.all(name, name.size() > 0 && name.size() <= 253)",
                "policies: each needs a name of at most 253 characters",
            ),
        )
    )

    policies: Annotated[
        dict[str, Policy] | None,
        Field(
            max_length=MAX_ENTRIES,
            description="Policies by name. The one named `default` is for errors that no rule names.",
        ),
    ] = None
    rules: Annotated[
        list[Rule] | None,
        Field(max_length=MAX_ENTRIES, description="Which policy is for which errors; the first that fits is taken."),
    ] = None

    @field_validator("policies")
    @classmethod
    def _named(cls, policies: dict[str, Policy] | None) -> dict[str, Policy] | None:
        if any(not 0 < len(name) <= 253 for name in policies or ()):
            raise PydanticCustomError("asya", "each needs a name of at most 253 characters")
        return policies

    @model_validator(mode="after")
    def _known(self) -> "Resiliency":
        for rule in self.rules or ():
            if rule.policy not in (self.policies or {}):
                raise fail("rules", f"each must name one of the policies; found {rule.policy!r}")
        return self
