"""What the caller may not do, as a sentence that names the right: the page says it where something is missing."""

from kube.client import Client
from kube.failures import ApiError
from kube.resources import Resource


def missing_right(verbs: str, resource: str, namespace: str) -> str:
    """The sentence for an answer 403, and how to see it for oneself."""
    where = f"in the namespace {namespace!r}" if namespace else "in all namespaces"
    option = f"--namespace {namespace}" if namespace else "--all-namespaces"
    verb = verbs.partition(",")[0]
    return f"You lack the right to {verbs} {resource} {where}: kubectl auth can-i {verb} {resource} {option}"


def why_unreadable(client: Client, resource: Resource, namespace: str) -> str:
    """Why the caller cannot list and watch a kind; an empty string if he can.

    Raises:
        ApiError: if the API server does not answer.
    """
    group = resource.api_version.partition("/")[0] if "/" in resource.api_version else ""
    name = f"{resource.plural}.{group}" if group else resource.plural
    for watch in (False, True):
        query = {"watch": "true", "timeoutSeconds": 1, "resourceVersion": "0"} if watch else {"limit": 1}
        try:
            response = client.request("GET", resource.path(namespace), query=query, stream=True)
        except ApiError as error:
            if error.code == 403:
                return missing_right("watch" if watch else "list", name, namespace)
            if error.code == 404:
                return f"The API server does not serve {name}"
            raise
        response.close()
    return ""
