"""What the commands about messages have in common: the session, progress on standard error, and how they fail."""

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
    """Names of actors in the current namespace, for shells."""
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
InNamespace = Annotated[str, typer.Option("--namespace", "-n", help="Its namespace; the context's without it.")]
Kubeconfig = Annotated[str | None, typer.Option(help="Kubeconfig file; $KUBECONFIG or ~/.kube/config without it.")]
Local = Annotated[bool, typer.Option("--local", help="Reach the broker from this machine instead of from a pod.")]
Image = Annotated[
    str, typer.Option(envvar="ASYA_IMAGE", help="Image of the pod; that of the operator's Deployment without it.")
]
OperatorNamespace = Annotated[
    str, typer.Option(envvar="ASYA_OPERATOR_NAMESPACE", help="Where the operator's Deployment is.")
]
Output = Annotated[str, typer.Option("--output", "-o", help="json; for people without it.")]


@dataclass(frozen=True)
class Where:
    """Which actor, and how its broker is reached."""

    name: str
    namespace: str
    kubeconfig: str | None
    local: bool
    image: str
    operator_namespace: str


class Desk:
    """One actor's messages."""

    def __init__(self, where: Where) -> None:
        """Find the actor; the command ends if there is none."""
        from kube.failures import ApiError
        from messages.rights import explained
        from messages.target import NoTarget, find_target

        self._where = where
        self._api = client(where.kubeconfig)
        namespace = where.namespace or own_namespace(where.kubeconfig)
        try:
            self.target: Target = find_target(self._api, namespace, where.name, where.operator_namespace)
        except NoTarget as error:
            fail(str(error))
        except ApiError as error:
            fail(explained(error))

    def run(self, request: "Request") -> Iterator[Event]:
        """The events of a request, without its progress, which is told; the command ends where it fails."""
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
        f"the message {event['id']!r} came back to the quorum queue {event['queue']!r} {event['deliveries']} times "
        "already; it is at the queue's end now, since a delivery limit would remove it the next time"
    )


def note(text: str) -> None:
    """A line on standard error."""
    typer.echo(f"… {text}", err=True)


@contextmanager
def interruptible() -> Iterator[None]:
    """Have Ctrl-C and SIGTERM end the command once what it started is taken away."""
    from messages.interrupts import Interrupted, raised_once

    with raised_once():
        try:
            yield
        except Interrupted as interrupted:
            raise typer.Exit(interrupted.exit_code) from None


def output_is_json(output: str) -> bool:
    """Whether output is for programs."""
    if output not in ("", "json"):
        fail(f"--output: must be json, or left out; found {output!r}", 2)
    return output == "json"
