"""Sentences about a missing right: they name the right, and the command that checks it.

The API server's own message names the user and the API group first. Most users need the right itself.
"""

import re
from typing import Final

from kube.failures import ApiError

FORBIDDEN: Final = re.compile(
    r'cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]+)")?'
)


def explained(error: ApiError, alternative: str = "") -> str:
    """The message for a refusal of the API server; for a missing right, the sentence of :func:`missing_right`.

    Args:
        error: the refusal.
        alternative: what the user can do instead, for example ``or use --local``; it ends the message.
    """
    match = FORBIDDEN.search(error.message) if error.code == 403 else None
    if match is None:
        return f"{error.message}; {alternative}" if alternative else error.message
    sentence = missing_right(match["verb"], match["resource"], match["namespace"], match["group"])
    return f"{sentence}, {alternative}" if alternative else sentence


def missing_right(verb: str, resource: str, namespace: str | None, group: str = "") -> str:
    """The sentence that the caller lacks a right, with the command that checks it.

    Args:
        verb: the verb of the request, such as ``list``.
        resource: the plural, with a subresource if there is one: ``pods``, ``pods/log``.
        namespace: empty for a request about all namespaces; None to name no namespace.
        group: the API group; empty for the core group.
    """
    plural, _, subresource = resource.partition("/")
    whole = f"{plural}.{group}" if group else plural
    place, option = "", ""
    if namespace is not None:
        place = f" in the namespace {namespace!r}" if namespace else " in all namespaces"
        option = f" --namespace {namespace}" if namespace else " --all-namespaces"
    shown = f"{whole}/{subresource}" if subresource else whole
    checked = f"{whole} --subresource {subresource}" if subresource else whole
    return f"you may not {verb} {shown}{place}: ask for that right (kubectl auth can-i {verb} {checked}{option})"
