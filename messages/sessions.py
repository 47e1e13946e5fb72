"""The one way in for the plugin and the dashboard: a session about one actor, in a pod or from this machine."""

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
            SessionError: if the broker could not be asked.
            BrokerError: if it refuses.
        """

    def abandon(self) -> None:
        """Take away what was started, from another thread, since the program ends."""


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
        client: the caller's.
        target: the actor, as :func:`messages.target.find_target` finds it.
        local: reach the broker from this machine instead of from a pod.
        image: the operator's image for the pod, instead of the one that its Deployment has.
        kubeconfig: for ``kubectl port-forward``; the usual one without it.
        note: called with what is waited for.

    Raises:
        SessionError: if the image for the pod is not known.
    """
    if local:
        return LocalSession(client, target, kubeconfig, note)
    return PodSession(client, target, image, note)
