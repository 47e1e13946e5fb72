"""The command line. Each command imports the code it runs only when it runs, so that ``--help`` starts at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import acting, completion, convert, dashboard, injecting, lint, messaging, plugin, report, review
from cli.certificates import certificates
from cli.connection import client, fail, no_cluster
from cli.loading import stop_on_bad_setting
from cli.options import Kubeconfig, LeaseName, Namespace, ProcessOptions, WatchNamespaces, grouped, namespaces
from kube.lease import DURATION_SECONDS, RENEW_SECONDS, RETRY_SECONDS
from webhook.limits import PEER_CONNECTIONS

app = typer.Typer(
    name="asya-operator",
    help="Python functions as autoscaled Kubernetes actors: one label, or twenty lines of YAML.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _run_in_cluster(run: Callable[[Any], object], options: Any) -> None:
    """Run a process. Without a cluster, or with an invalid setting, the command ends with one line."""
    from kube.credentials import NoCluster

    try:
        stop_on_bad_setting(run, options)
    except NoCluster as error:
        no_cluster(error)


@app.command()
@grouped
def controller(
    workers: Annotated[int, typer.Option(envvar="ASYA_WORKERS", min=1, help="Actors reconciled at a time.")] = 8,
    lease_name: LeaseName = "asya-operator",
    lease_seconds: Annotated[
        int, typer.Option(envvar="ASYA_LEASE_SECONDS", min=1, help="Seconds that the Lease is valid without renewal.")
    ] = DURATION_SECONDS,
    lease_renew_seconds: Annotated[
        int,
        typer.Option(
            envvar="ASYA_LEASE_RENEW_SECONDS", min=1, help="Seconds after which a leader that cannot renew stops."
        ),
    ] = RENEW_SECONDS,
    lease_retry_seconds: Annotated[
        int,
        typer.Option(envvar="ASYA_LEASE_RETRY_SECONDS", min=1, help="Seconds between two tries to renew or get it."),
    ] = RETRY_SECONDS,
    *,
    process: ProcessOptions,
) -> None:
    """Run the controller: workloads, KEDA objects, runtime ConfigMaps, status."""
    from controller.process import Options, run
    from kube.lease import LeaseTimes

    lease_times = stop_on_bad_setting(LeaseTimes, lease_seconds, lease_renew_seconds, lease_retry_seconds)
    _run_in_cluster(run, Options(lease=lease_name, lease_times=lease_times, workers=workers, **process.settings()))


@app.command()
@grouped
def webhook(
    certificate_secret: Annotated[
        str,
        typer.Option(envvar="ASYA_CERTS_SECRET", help="Secret with the serving certificate. The webhook watches it."),
    ] = "asya-operator-webhook-cert",
    certificate: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="PEM file with the serving certificate, instead of the Secret."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="PEM file with the key of that certificate.")
    ] = None,
    runtime_namespace: Annotated[
        str,
        typer.Option(
            envvar="ASYA_RUNTIME_NAMESPACE",
            help="Namespace that always has the runtime script. Default: the operator's namespace.",
        ),
    ] = "",
    port: Annotated[int, typer.Option(envvar="ASYA_WEBHOOK_PORT", min=1, max=65535, help="Port to serve on.")] = 8443,
    bind: Annotated[
        str, typer.Option(help="Address and port to serve on, instead of --port. Example: [::1]:8443.")
    ] = "",
    workers: Annotated[int, typer.Option(envvar="ASYA_WEBHOOK_WORKERS", min=1, help="Number of processes.")] = 2,
    threads: Annotated[int, typer.Option(envvar="ASYA_WEBHOOK_THREADS", min=1, help="Threads of each process.")] = 64,
    peer_connections: Annotated[
        int,
        typer.Option(
            envvar="ASYA_WEBHOOK_PEER_CONNECTIONS",
            min=1,
            help="Most connections that a process accepts from one address.",
        ),
    ] = PEER_CONNECTIONS,
    *,
    process: ProcessOptions,
) -> None:
    """Run the webhook: injects labelled workloads and pods, validates AsyncActors."""
    from webhook.server import Options, run

    options = Options(
        secret=certificate_secret,
        certificate=certificate,
        key=key,
        home=runtime_namespace or process.namespace,
        port=port,
        bind=bind,
        workers=workers,
        threads=threads,
        peer_connections=peer_connections,
        **process.settings(),
    )
    _run_in_cluster(run, options)


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
