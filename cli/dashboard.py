"""``kubectl asya dashboard``: starts the dashboard, and connects it to the code of the other commands."""

from typing import Annotated, Any

import typer

from cli.broker import Image, Kubeconfig, Local, OperatorNamespace
from cli.connection import client, current_context, fail


def dashboard(
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="One namespace. Default: all.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1. 0: a free port.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Whether to open a browser.")] = True,
    local: Local = False,
    image: Image = "",
    operator_namespace: OperatorNamespace = "asya-system",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Serve a page on this machine that shows actors live, with your own rights. Ctrl-C ends it."""
    from dashboard.server import CannotStart, Dashboard, Options, run
    from telemetry import logs

    logs.configure("ERROR")
    options = Options(namespace, port, str(current_context(kubeconfig).get("name") or ""))
    api = client(kubeconfig)
    dashboard_ports = ports(api, letters(api, local, image, operator_namespace, kubeconfig))
    try:
        server = Dashboard(lambda: client(kubeconfig), dashboard_ports, options)
    except CannotStart as error:
        fail(str(error))
    run(server, typer.echo, browser=browser)


def ports(api: Any, dead_letters: Any = None) -> Any:
    """The functions of other commands that the dashboard calls, with the rights of ``api``."""
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

    return Ports(explained, dead_letters, Controls(api))


def letters(api: Any, local: bool, image: str, operator_namespace: str, kubeconfig: str | None) -> Any:
    """The dead letters of a broker. The connection is made as in the other commands."""
    from dashboard.acting import BrokerLetters
    from messages.sessions import open_session

    def open_for(_: Any, target: Any) -> Any:
        return open_session(api, target, local=local, image=image, kubeconfig=kubeconfig)

    return BrokerLetters(api, open_for, operator_namespace)
