"""The command line. Each command imports what it runs, so that ``--help`` and ``crd`` start at once."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    name="asya-operator",
    help="Python functions as autoscaled Kubernetes actors: one label, or twenty lines of YAML.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Kubeconfig = Annotated[
    str | None, typer.Option(help="Kubeconfig file; the pod's own credentials or $KUBECONFIG without it.")
]
LogLevel = Annotated[str, typer.Option(envvar="ASYA_LOG_LEVEL", help="DEBUG, INFO, WARNING or ERROR.")]
Namespace = Annotated[str, typer.Option(envvar="POD_NAMESPACE", help="The operator's own namespace.")]
MetricsPort = Annotated[int, typer.Option(envvar="ASYA_METRICS_PORT", help="Port of /metrics, /healthz and /readyz.")]


def _stop_on_bad_setting(run: Any, *arguments: Any) -> Any:
    from injection.settings import InvalidSetting

    try:
        return run(*arguments)
    except InvalidSetting as invalid:
        typer.echo(f"error: {invalid}", err=True)
        raise typer.Exit(2) from None


@app.command()
def controller(
    kubeconfig: Kubeconfig = None,
    namespace: Namespace = "asya-system",
    workers: Annotated[int, typer.Option(envvar="ASYA_WORKERS", min=1, help="Actors reconciled at a time.")] = 8,
    metrics_port: MetricsPort = 8080,
    log_level: LogLevel = "INFO",
) -> None:
    """Run the controller: workloads, KEDA objects, runtime ConfigMaps, status."""
    from controller.process import Options, run

    options = Options(
        namespace=namespace, metrics_port=metrics_port, workers=workers, kubeconfig=kubeconfig, log_level=log_level
    )
    raise typer.Exit(_stop_on_bad_setting(run, options))


@app.command()
def webhook(
    certificate: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="Serving certificate, PEM.")],
    key: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="Its key, PEM.")],
    namespace: Namespace = "asya-system",
    runtime_namespace: Annotated[
        str, typer.Option(envvar="ASYA_RUNTIME_NAMESPACE", help="Namespace that always has the script; the operator's.")
    ] = "",
    bind: Annotated[str, typer.Option(help="Address and port to serve on.")] = "0.0.0.0:8443",
    workers: Annotated[int, typer.Option(envvar="ASYA_WEBHOOK_WORKERS", min=1, help="Processes.")] = 2,
    threads: Annotated[int, typer.Option(envvar="ASYA_WEBHOOK_THREADS", min=1, help="Threads a process.")] = 8,
    kubeconfig: Kubeconfig = None,
    metrics_port: MetricsPort = 8080,
    log_level: LogLevel = "INFO",
) -> None:
    """Run the webhook: injects labelled workloads and pods, validates AsyncActors."""
    from webhook.server import Options, run

    options = Options(
        certificate=certificate,
        key=key,
        home=runtime_namespace or namespace,
        bind=bind,
        workers=workers,
        threads=threads,
        kubeconfig=kubeconfig,
        metrics_port=metrics_port,
        log_level=log_level,
    )
    _stop_on_bad_setting(run, options)


@app.command()
def crd() -> None:
    """Print the CustomResourceDefinition of AsyncActor."""
    from crds.manifest import rendered

    typer.echo(rendered(), nl=False)


certificates = typer.Typer(help="Certificates for the webhook.", no_args_is_help=True)
app.add_typer(certificates, name="certs")


@certificates.command()
def issue(
    directory: Annotated[Path, typer.Argument(help="Where to write ca.crt, tls.crt and tls.key.")],
    name: Annotated[list[str], typer.Option(help="DNS name or IP address of the webhook; may be repeated.")],
    days: Annotated[int, typer.Option(min=1, help="Lifetime.")] = 365,
) -> None:
    """Issue a CA and a serving certificate into files."""
    from certs.authority import create_authority, issue

    lifetime = timedelta(days=days)
    authority = create_authority("asya-operator", lifetime)
    serving = issue(authority, name, lifetime)
    directory.mkdir(parents=True, exist_ok=True)
    for file, data, mode in (
        ("ca.crt", authority.certificate, 0o644),
        ("tls.crt", serving.certificate, 0o644),
        ("tls.key", serving.key, 0o600),
    ):
        path = directory / file
        path.touch(mode)
        path.write_bytes(data)
        typer.echo(path)
