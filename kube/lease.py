"""The times of a leader election. It imports nothing, as it is read before a process sets its metrics up."""

from dataclasses import dataclass

DURATION_SECONDS = 15
"""How long the Lease holds once its holder is silent."""
RENEW_SECONDS = 10
"""A leader that could not renew it for so long stops."""
RETRY_SECONDS = 2
"""Between two tries."""


class InvalidLeaseTimes(ValueError):
    """Times that would let two lead at once, or nobody; the message names them."""


@dataclass(frozen=True)
class LeaseTimes:
    """Seconds."""

    lease: int = DURATION_SECONDS
    """How long the Lease holds once its holder is silent."""
    renew: int = RENEW_SECONDS
    """A leader that could not renew it for so long stops."""
    retry: int = RETRY_SECONDS
    """Between two tries."""

    def __post_init__(self) -> None:
        if not self.retry < self.renew < self.lease:
            raise InvalidLeaseTimes(
                "ASYA_LEASE_RETRY_SECONDS < ASYA_LEASE_RENEW_SECONDS < ASYA_LEASE_SECONDS: required, as a leader that "
                f"cannot renew has to stop before another may lead; found {self.retry}, {self.renew} and {self.lease}"
            )
