"""Reads from a workload which plan was injected, and whether it opts out of injection."""

from injection.access import is_disabled
from injection.kinds import KINDS
from injection.record import read_record, unknown_version
from kube.objects import Object

_KIND_OF = {kind.name: kind for kind in KINDS.values()}

UNKNOWN = "unknown"
"""Digest of a workload whose record another release wrote in a format that this one does not know.

Admission leaves such an injection in place.
"""


def digest(workload: Object) -> str | None:
    """Digest of the plan in the workload's template; None if the workload is not injected."""
    template = _KIND_OF[workload["kind"]].template(workload) or {}
    record = read_record(template)
    if record is not None:
        return record.digest
    return UNKNOWN if unknown_version(template) is not None else None


def has_opted_out(workload: Object) -> bool:
    """Whether the workload or its template says ``asya.io/inject: disabled``."""
    return is_disabled(workload) or is_disabled(_KIND_OF[workload["kind"]].template(workload) or {})
