"""``spec.resiliency``: retries and error routes. Sidecars of the http generation support them.

The sidecar reads both as JSON from its environment. It silently ignores parts that it does not understand, so this
module validates every field.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticCustomError

from crds.base import DNS_SUBDOMAIN, Model, cel, fail

DEFAULT_POLICY = "default"
"""Name of the policy for errors that no rule matches."""

MAX_ENTRIES = 64
"""Largest number of policies, of rules, and of errors in a rule."""

ActorName = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=253)]
Duration = Annotated[
    str, StringConstraints(min_length=1, max_length=16, pattern=r"^([0-9]{1,6}(\.[0-9]{1,3})?(ns|us|ms|s|m|h))+$")
]
"""A duration in Go's notation: ``500ms``, ``1m30s``. The limits prevent an overflow in Go."""


class Policy(Model):
    """What the sidecar does with a message when the function fails."""

    max_attempts: Annotated[
        int, Field(ge=1, le=1000000, description="Number of attempts, including the first one.")
    ] = 1
    backoff: Annotated[
        Literal["constant", "linear", "exponential"] | None,
        Field(description="How the delay increases with each attempt."),
    ] = None
    initial_delay: Annotated[
        Duration | None, Field(description="Delay before the second attempt, as a Go duration: `500ms`, `1m30s`.")
    ] = None
    max_interval: Annotated[Duration | None, Field(description="Longest delay, as a Go duration.")] = None
    max_duration: Annotated[
        Duration | None, Field(description="Time after which the sidecar stops to retry, as a Go duration.")
    ] = None
    jitter: Annotated[bool, Field(description="Whether the sidecar varies the delays at random.")] = False
    on_exhausted: Annotated[
        list[ActorName] | None,
        Field(
            min_length=1,
            max_length=MAX_ENTRIES,
            description="Actors that receive the message after the last attempt, instead of the sink.",
        ),
    ] = None


class Rule(Model):
    """The policy for a set of errors."""

    errors: Annotated[
        list[Word],
        Field(
            min_length=1,
            max_length=MAX_ENTRIES,
            description="Names of Python exceptions or of their base classes. A name with a dot must match the "
            "qualified name.",
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
            description="Policies by name. The policy `default` applies to errors that no rule matches.",
        ),
    ] = None
    rules: Annotated[
        list[Rule] | None,
        Field(max_length=MAX_ENTRIES, description="Rules that map errors to policies. The first match applies."),
    ] = None

    @field_validator("policies")
    @classmethod
    def _check_names(cls, policies: dict[str, Policy] | None) -> dict[str, Policy] | None:
        if any(not 0 < len(name) <= 253 for name in policies or ()):
            raise PydanticCustomError("asya", "each needs a name of at most 253 characters")
        return policies

    @model_validator(mode="after")
    def _check_rules(self) -> "Resiliency":
        for rule in self.rules or ():
            if rule.policy not in (self.policies or {}):
                raise fail("rules", f"each must name one of the policies; found {rule.policy!r}")
        return self
