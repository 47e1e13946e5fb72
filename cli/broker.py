"""The shared parts of the commands about messages: options, the session with the broker, progress and errors."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.connection import client, fail, own_namespace

if TYPE_CHECKING:
    from messages.requests import Request
    from messages.target import Target

Event = dict[str, Any]


def complete_actor(incomplete: str) -> list[str]:
    """Names of actors in the current namespace that start with ``incomplete``, for completion in shells."""
    from kube.client import Client
    from kube.credentials import NoCluster, load_configuration
    from kube.failures import ApiError
    from kube.resources import ASYNC_ACTORS

    try:
        api = Client(load_configuration(None), read_timeout=2.0)
        actors = api.list(ASYNC_ACTORS, own_namespace(None))
    except (ApiError, NoCluster):
        return []
    return sorted(name for actor in actors if (name := actor["metadata"]["name"]).startswith(incomplete))


Actor = Annotated[str, typer.Argument(help="The actor.")]
InNamespace = Annotated[str, typer.Option("--namespace", "-n", help="Its namespace. Default: the context's.")]
Kubeconfig = Annotated[str | None, typer.Option(help="Kubeconfig file. Default: $KUBECONFIG or ~/.kube/config.")]
Local = Annotated[bool, typer.Option("--local", help="Reach the broker from this machine instead of from a pod.")]
Image = Annotated[
    str, typer.Option(envvar="ASYA_IMAGE", help="Image of the pod. Default: the image of the operator's Deployment.")
]
OperatorNamespace = Annotated[
    str, typer.Option(envvar="ASYA_OPERATOR_NAMESPACE", help="Namespace of the operator's Deployment.")
]
Output = Annotated[str, typer.Option("--output", "-o", help="json. Default: text for people.")]


@dataclass(frozen=True)
class Where:
    """Options that say where an actor is and how to reach its broker."""

    namespace: InNamespace = ""
    local: Local = False
    image: Image = ""
    operator_namespace: OperatorNamespace = "asya-system"
    kubeconfig: Kubeconfig = None


class Desk:
    """One actor's messages."""

    def __init__(self, actor: str, where: Where) -> None:
        """Find the actor. The command ends if there is no such actor."""
        from kube.failures import ApiError
        from messages.rights import explained
        from messages.target import NoTarget, find_target

        self._where = where
        self._api = client(where.kubeconfig)
        namespace = where.namespace or own_namespace(where.kubeconfig)
        try:
            self.target: Target = find_target(self._api, namespace, actor, where.operator_namespace)
        except NoTarget as error:
            fail(str(error))
        except ApiError as error:
            fail(explained(error))

    def run(self, request: "Request") -> Iterator[Event]:
        """The events of a request. Progress goes to standard error. An error of broker or pod ends the command."""
        from messages.broker import BrokerError
        from messages.pod import SessionError
        from messages.sessions import open_session

        where = self._where
        try:
            session = open_session(
                self._api,
                self.target,
                local=where.local,
                image=where.image,
                kubeconfig=where.kubeconfig,
                note=note,
            )
            with closing(session.run(request)) as events:  # type: ignore[type-var]
                for event in events:
                    if event["kind"] == "progress":
                        note(f"{event['done']} of {event['of']} messages")
                    elif event["kind"] == "moved":
                        note(_moved(event))
                    else:
                        yield event
        except (BrokerError, SessionError) as error:
            fail(str(error))


def _moved(event: Event) -> str:
    return (
        f"the message {event['id']!r} returned to the quorum queue {event['queue']!r} {event['deliveries']} times; "
        "it is now at the end of the queue, because a delivery limit might remove it at the next return"
    )


def note(text: str) -> None:
    """Print a line on standard error."""
    typer.echo(f"… {text}", err=True)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the command, but only after it has removed what it started."""
    from messages.interrupts import Interrupted, raised_once

    with raised_once():
        try:
            yield
        except Interrupted as interrupted:
            raise typer.Exit(interrupted.exit_code) from None


def output_is_json(output: str) -> bool:
    """Whether to print JSON. The command ends if ``output`` is neither empty nor ``json``."""
    if output not in ("", "json"):
        fail(f"--output: must be json or left out; found {output!r}", 2)
    return output == "json"
