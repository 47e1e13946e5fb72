"""``kubectl asya dashboard``: what it takes from the other commands, and how it is started."""

from typing import Annotated, Any

import typer

from cli.connection import client, fail


def dashboard(
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="One namespace; all without it.")] = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 for a free one.")] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Whether to open a browser.")] = True,
    local: Annotated[
        bool, typer.Option("--local", help="Reach brokers by port-forward from this machine, not from a pod.")
    ] = False,
    image: Annotated[str, typer.Option(help="The operator's image, for pods that reach brokers.")] = "",
    kubeconfig: Annotated[
        str | None, typer.Option(help="Kubeconfig file; $KUBECONFIG or ~/.kube/config without it.")
    ] = None,
) -> None:
    """Serve a page on this machine that shows actors live, with your own rights, until Ctrl-C."""
    from dashboard.server import CannotStart, Dashboard, Options, run
    from telemetry import logs

    logs.configure("ERROR")
    options = Options(namespace, port, _context(kubeconfig))
    try:
        made = Dashboard(
            lambda: client(kubeconfig),
            ports(client(kubeconfig), local=local, image=image, kubeconfig=kubeconfig),
            options,
        )
    except CannotStart as error:
        fail(str(error))
    run(made, typer.echo, browser=browser)


def ports(api: Any, *, local: bool = False, image: str = "", kubeconfig: str | None = None) -> Any:
    """What the dashboard has the other commands do.

    Args:
        api: a client with the caller's rights.
        local: reach brokers from this machine instead of from a pod.
        image: the operator's image for that pod, where its Deployment cannot be read.
        kubeconfig: for ``kubectl port-forward``.
    """
    from cli import explain
    from dashboard.acting import BrokerLetters, Controls
    from dashboard.ports import Explained, Ports
    from messages.sessions import open_session

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

    def opened(_: Any, target: Any) -> Any:
        return open_session(api, target, local=local, image=image, kubeconfig=kubeconfig)

    return Ports(explained, BrokerLetters(api, opened), Controls(api))


def _context(kubeconfig: str | None) -> str:
    """The name of the current context."""
    import kubernetes.config

    try:
        _, current = kubernetes.config.list_kube_config_contexts(config_file=kubeconfig)
    except kubernetes.config.ConfigException:
        return ""  # that there is no cluster to ask is said by whoever asks it
    return str((current or {}).get("name") or "")
