"""Sessions about one actor, in a pod or from this machine. The plugin and the dashboard open them here."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from kube.client import Client
from messages.local import LocalSession
from messages.pod import PodSession
from messages.requests import Request
from messages.target import Target


class Session(Protocol):
    """Runs requests about one actor."""

    def run(self, request: Request) -> Iterator[dict[str, Any]]:
        """The events of ``request``, as :mod:`messages.actions` lists them.

        Raises:
            SessionError: if the session fails before it reaches the broker.
            BrokerError: if the broker cannot be reached, or refuses.
        """

    def abandon(self) -> None:
        """Delete what the session created. Called from another thread when the program ends."""


def open_session(
    client: Client,
    target: Target,
    *,
    local: bool = False,
    image: str = "",
    kubeconfig: str | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Session:
    """A session about ``target`` with the rights of ``client``.

    Args:
        client: with the caller's rights.
        target: the actor, from :func:`messages.target.find_target`.
        local: reach the broker from this machine instead of from a pod.
        image: the operator's image for the pod; empty: the one in its Deployment.
        kubeconfig: for ``kubectl port-forward``; None: kubectl's default.
        note: called with a text for the user while the session waits.

    Raises:
        SessionError: if the image for the pod is not known.
    """
    if local:
        return LocalSession(client, target, kubeconfig, note)
    return PodSession(client, target, image, note)
