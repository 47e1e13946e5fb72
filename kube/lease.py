"""The times of a leader election.

This module imports nothing from the project, because processes read it before they set up their metrics.
"""

from dataclasses import dataclass

DURATION_SECONDS = 15
RENEW_SECONDS = 10
RETRY_SECONDS = 2


class InvalidLeaseTimes(ValueError):
    """These times allow two leaders at once, or none. The message names the settings and their values."""


@dataclass(frozen=True)
class LeaseTimes:
    """The times of a leader election, in seconds."""

    lease: int = DURATION_SECONDS
    """How long a Lease stays valid without a renewal."""
    renew: int = RENEW_SECONDS
    """A leader that cannot renew the Lease for this time stops leading."""
    retry: int = RETRY_SECONDS
    """Interval between two attempts to take or renew the Lease."""

    def __post_init__(self) -> None:
        if not self.retry < self.renew < self.lease:
            raise InvalidLeaseTimes(
                "ASYA_LEASE_RETRY_SECONDS < ASYA_LEASE_RENEW_SECONDS < ASYA_LEASE_SECONDS: required, because a leader "
                "that cannot renew must stop before another may lead; "
                f"found {self.retry}, {self.renew} and {self.lease}"
            )
