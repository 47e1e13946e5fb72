"""``kubectl asya dashboard``: what it takes from the other commands, and how it is started."""

from typing import Annotated, Any

import typer

from cli.broker import Image, Kubeconfig, Local, OperatorNamespace
from cli.connection import client, current_context, fail


def dashboard(
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="One namespace; all without it.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 for a free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Whether to open a browser.")] = True,
    local: Local = False,
    image: Image = "",
    operator_namespace: OperatorNamespace = "asya-system",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Serve a page on this machine that shows actors live, with your own rights, until Ctrl-C."""
    from dashboard.server import CannotStart, Dashboard, Options, run
    from telemetry import logs

    logs.configure("ERROR")
    options = Options(namespace, port, str(current_context(kubeconfig).get("name") or ""))
    api = client(kubeconfig)
    offered = ports(api, letters(api, local, image, operator_namespace, kubeconfig))
    try:
        made = Dashboard(lambda: client(kubeconfig), offered, options)
    except CannotStart as error:
        fail(str(error))
    run(made, typer.echo, browser=browser)


def ports(api: Any, reached: Any = None) -> Any:
    """What the dashboard has the other commands do, with the rights of ``api``; ``reached`` are its dead letters."""
    from cli import explain
    from dashboard.acting import Controls
    from dashboard.ports import Explained, Ports

    def explained(namespace: str, name: str) -> Explained | None:
        story = explain.read(api, namespace, name)
        if story is None:
            return None
        return Explained(
            list(explain.objects(story)),
            [line for workload in story.workloads for line in explain.injection(workload)],
            list(explain.queue(story.actor)),
            list(explain.warnings(story.actor)),
            story.workloads,
        )

    return Ports(explained, reached, Controls(api))


def letters(api: Any, local: bool, image: str, operator_namespace: str, kubeconfig: str | None) -> Any:
    """Dead letters, reached as the other commands reach a broker."""
    from dashboard.acting import BrokerLetters
    from messages.sessions import open_session

    def opened(_: Any, target: Any) -> Any:
        return open_session(api, target, local=local, image=image, kubeconfig=kubeconfig)

    return BrokerLetters(api, opened, operator_namespace)
