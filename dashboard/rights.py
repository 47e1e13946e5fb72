"""Finds the rights that the caller lacks. The page shows the missing right in place of the part that needs it."""

from kube.client import Client
from kube.failures import ApiError
from kube.resources import Resource
from messages import rights


def missing_right(verb: str, resource: str, namespace: str, group: str = "") -> str:
    """The text of :func:`messages.rights.missing_right` as a sentence of its own, for the page."""
    text = rights.missing_right(verb, resource, namespace, group)
    return text[0].upper() + text[1:]


def why_unreadable(client: Client, resource: Resource, namespace: str) -> str:
    """Why the caller cannot list and watch a resource; empty if both work.

    Args:
        client: with the caller's rights.
        resource: the resource.
        namespace: empty for all.

    Raises:
        ApiError: if the API server does not answer.
    """
    group = resource.api_version.partition("/")[0] if "/" in resource.api_version else ""
    for watch in (False, True):
        query = {"watch": "true", "timeoutSeconds": 1, "resourceVersion": "0"} if watch else {"limit": 1}
        try:
            response = client.request("GET", resource.path(namespace), query=query, stream=True)
        except ApiError as error:
            if error.code == 403:
                return missing_right("watch" if watch else "list", resource.plural, namespace, group)
            if error.code == 404:
                return f"The API server does not serve {resource.plural}{'.' if group else ''}{group}"
            raise
        response.close()
    return ""
