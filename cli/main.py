"""The command line. Each command imports the code it runs only when it runs, so that ``--help`` starts at once."""

from pathlib import Path
from typing import Annotated

import typer

from cli import acting, completion, convert, dashboard, injecting, lint, messaging, plugin, processes, report, review
from cli.certificates import certificates
from cli.connection import client, fail
from cli.options import Kubeconfig, LeaseName, Namespace, WatchNamespaces, namespaces

app = typer.Typer(
    name="asya-operator",
    help="Python functions as autoscaled Kubernetes actors: one label, or twenty lines of YAML.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


for command in (processes.controller, processes.webhook):
    app.command()(command)


@app.command()
def release(
    everything: Annotated[
        bool, typer.Option("--all", help="Required: release every AsyncActor of the cluster.")
    ] = False,
    namespace: Namespace = "asya-system",
    watch_namespaces: WatchNamespaces = "",
    lease_name: LeaseName = "asya-operator",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Remove the operator's finalizer from all AsyncActors, before or after an uninstall. Pods keep running."""
    if not everything:
        fail("--all is required: the command removes the finalizer from every AsyncActor of the cluster", 2)
    from cli.release import release_all
    from kube.failures import ApiError

    try:
        released = release_all(client(kubeconfig), namespace, lease=lease_name, namespaces=namespaces(watch_namespaces))
    except ApiError as error:
        fail(error.message)
    for name in released:
        typer.echo(f"asyncactor.asya.io/{name} released")
    typer.echo(f"{len(released)} released", err=True)


@app.command(hidden=True)
def messages(directory: Annotated[Path, typer.Argument(help="Folder where the request is mounted.")]) -> None:
    """Carry out one request of `kubectl asya` to an actor's broker. The plugin's short-lived pod runs this."""
    from messages.service import serve

    serve(directory)


@app.command()
def cleanup(
    secret: Annotated[list[str], typer.Option(help="Secret to delete. May be repeated.")] = [],  # noqa: B006
    namespace: Namespace = "asya-system",
    lease_name: LeaseName = "asya-operator",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Delete what an uninstalled operator leaves in its own namespace: Lease, ConfigMaps, the given Secrets."""
    from cli.release import remove_leftovers
    from kube.failures import ApiError

    try:
        removed = remove_leftovers(client(kubeconfig), namespace, lease=lease_name, secrets=secret)
    except ApiError as error:
        fail(error.message)
    for name in removed:
        typer.echo(f"{name} deleted")


@app.command()
def crd() -> None:
    """Print the CustomResourceDefinition of AsyncActor."""
    from crds.manifest import rendered

    typer.echo(rendered(), nl=False)


injecting.register(app)
convert.register(app)
plugin.register(app)
messaging.register(app)
acting.register(app)
completion.register(app)
report.register(app)
app.command()(dashboard.dashboard)
review.register(app)
lint.register(app)
app.add_typer(certificates, name="certs")


@app.command()
def configurations(
    url: Annotated[str, typer.Option(help="URL of the webhook.")],
    ca: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="PEM file with the CA of its certificate.")],
    exclude: Annotated[list[str], typer.Option(help="Namespace to exclude. May be repeated.")] = [],  # noqa: B006
) -> None:
    """Print the webhook configurations for a webhook that runs outside of the cluster."""
    import base64

    from cli.files import dump
    from webhook.configuration import configurations as webhook_configurations

    client_config = {"url": url, "caBundle": base64.b64encode(ca.read_bytes()).decode()}
    objects = webhook_configurations(client_config, excluded_namespaces=exclude, match_conditions=True)
    typer.echo(dump(objects, "yaml"), nl=False)
