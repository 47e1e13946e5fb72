"""A refusal of the API server as a sentence that names the missing right."""

import re
from typing import Final

from kube.failures import ApiError

FORBIDDEN: Final = re.compile(
    r'cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)


def explained(error: ApiError, otherwise: str = "") -> str:
    """What was refused; for a missing right, which one and how to check it."""
    match = FORBIDDEN.search(error.message) if error.code == 403 else None
    if match is None:
        return f"{error.message}; {otherwise}" if otherwise else error.message
    resource = match["resource"] + (f".{match['group']}" if match["group"] else "")
    place = f" in the namespace {match['namespace']!r}" if match["namespace"] else ""
    flag = f" --namespace {match['namespace']}" if match["namespace"] else ""
    missing = f"you may not {match['verb']} {resource}{place}"
    check = f"kubectl auth can-i {match['verb']} {_as_can_i(match['resource'], match['group'])}{flag}"
    remedy = f"{missing}: ask for that right ({check})"
    return f"{remedy}, {otherwise}" if otherwise else remedy


def _as_can_i(resource: str, group: str) -> str:
    name, _, subresource = resource.partition("/")
    whole = f"{name}.{group}" if group else name
    return f"{whole} --subresource {subresource}" if subresource else whole
