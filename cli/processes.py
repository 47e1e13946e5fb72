"""The commands that run the operator's two processes.

They are apart from the other commands, whose modules take 2 MB of memory: a process of the operator lives long.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.connection import no_cluster
from cli.loading import stop_on_bad_setting
from cli.options import LeaseName, ProcessOptions, grouped
from kube.lease import DURATION_SECONDS, RENEW_SECONDS, RETRY_SECONDS
from webhook.limits import PEER_CONNECTIONS


def _run_in_cluster(run: Callable[[Any], object], options: Any) -> None:
    """Run a process. Without a cluster, or with an invalid setting, the command ends with one line."""
    from kube.credentials import NoCluster

    try:
        stop_on_bad_setting(run, options)
    except NoCluster as error:
        no_cluster(error)


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


def run() -> None:
    """Run the command of ``sys.argv``, which is one of these two."""
    app = typer.Typer(name="asya-operator", add_completion=False, pretty_exceptions_enable=False)
    for command in (controller, webhook):
        app.command()(command)
    app(prog_name="asya-operator")
