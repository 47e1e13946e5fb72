"""The command line. Each command imports what it runs, so that ``--help`` and ``crd`` start at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import acting, completion, convert, dashboard, lint, messaging, plugin, report, review
from cli.certificates import certificates
from cli.connection import client, fail, no_cluster
from cli.options import (
    Burst,
    Files,
    Form,
    InNamespace,
    Kubeconfig,
    LeaseName,
    LogFormat,
    LogLevel,
    MetricsPort,
    Namespace,
    Native,
    Qps,
    Script,
    WatchNamespaces,
    namespaces,
)
from kube.lease import DURATION_SECONDS, RENEW_SECONDS, RETRY_SECONDS
from kube.throttle import BURST, QPS
from webhook.limits import PEER_CONNECTIONS

app = typer.Typer(
    name="asya-operator",
    help="Python functions as autoscaled Kubernetes actors: one label, or twenty lines of YAML.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _stop_on_bad_setting(run: Any, *arguments: Any) -> Any:
    from certs.settings import InvalidCertificateSetting
    from injection.settings import InvalidSetting
    from kube.lease import InvalidLeaseTimes
    from telemetry.logs import InvalidLogSetting
    from telemetry.tracing import TracingUnavailable

    try:
        return run(*arguments)
    except (
        InvalidSetting,
        InvalidCertificateSetting,
        InvalidLeaseTimes,
        InvalidLogSetting,
        TracingUnavailable,
    ) as invalid:
        fail(str(invalid), 2)


def _run_in_cluster(run: Any, options: Any) -> None:
    from kube.credentials import NoCluster

    try:
        _stop_on_bad_setting(run, options)
    except NoCluster as error:
        no_cluster(error)


@app.command()
def controller(
    kubeconfig: Kubeconfig = None,
    namespace: Namespace = "asya-system",
    workers: Annotated[int, typer.Option(envvar="ASYA_WORKERS", min=1, help="Actors reconciled at a time.")] = 8,
    metrics_port: MetricsPort = 8080,
    watch_namespaces: WatchNamespaces = "",
    client_qps: Qps = QPS,
    client_burst: Burst = BURST,
    lease_name: LeaseName = "asya-operator",
    lease_seconds: Annotated[int, typer.Option(envvar="ASYA_LEASE_SECONDS", min=1, help="How long it holds.")] = (
        DURATION_SECONDS
    ),
    lease_renew_seconds: Annotated[
        int, typer.Option(envvar="ASYA_LEASE_RENEW_SECONDS", min=1, help="A leader that cannot renew it stops after.")
    ] = RENEW_SECONDS,
    lease_retry_seconds: Annotated[
        int, typer.Option(envvar="ASYA_LEASE_RETRY_SECONDS", min=1, help="Between two tries to have it.")
    ] = RETRY_SECONDS,
    log_level: LogLevel = "INFO",
    log_format: LogFormat = "auto",
) -> None:
    """Run the controller: workloads, KEDA objects, runtime ConfigMaps, status."""
    from controller.process import Options, run
    from kube.lease import LeaseTimes

    times = _stop_on_bad_setting(LeaseTimes, lease_seconds, lease_renew_seconds, lease_retry_seconds)
    options = Options(
        namespace=namespace,
        watch_namespaces=namespaces(watch_namespaces),
        client_qps=client_qps,
        client_burst=client_burst,
        lease=lease_name,
        lease_times=times,
        metrics_port=metrics_port,
        workers=workers,
        kubeconfig=kubeconfig,
        log_level=log_level,
        log_format=log_format,
    )
    _run_in_cluster(run, options)


@app.command()
def webhook(
    namespace: Namespace = "asya-system",
    certificate_secret: Annotated[
        str, typer.Option(envvar="ASYA_CERTS_SECRET", help="Secret with the serving certificate, watched.")
    ] = "asya-operator-webhook-cert",
    certificate: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Serving certificate in a file instead, PEM.")
    ] = None,
    key: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Its key, PEM.")] = None,
    runtime_namespace: Annotated[
        str, typer.Option(envvar="ASYA_RUNTIME_NAMESPACE", help="Namespace that always has the script; the operator's.")
    ] = "",
    port: Annotated[int, typer.Option(envvar="ASYA_WEBHOOK_PORT", min=1, max=65535, help="Port to serve on.")] = 8443,
    bind: Annotated[str, typer.Option(help="Address and port to serve on instead, such as [::1]:8443.")] = "",
    workers: Annotated[int, typer.Option(envvar="ASYA_WEBHOOK_WORKERS", min=1, help="Processes.")] = 2,
    threads: Annotated[int, typer.Option(envvar="ASYA_WEBHOOK_THREADS", min=1, help="Threads a process.")] = 64,
    peer_connections: Annotated[
        int,
        typer.Option(
            envvar="ASYA_WEBHOOK_PEER_CONNECTIONS", min=1, help="Connections of one address to a process, at most."
        ),
    ] = PEER_CONNECTIONS,
    kubeconfig: Kubeconfig = None,
    metrics_port: MetricsPort = 8080,
    watch_namespaces: WatchNamespaces = "",
    client_qps: Qps = QPS,
    client_burst: Burst = BURST,
    log_level: LogLevel = "INFO",
    log_format: LogFormat = "auto",
) -> None:
    """Run the webhook: injects labelled workloads and pods, validates AsyncActors."""
    from webhook.server import Options, run

    options = Options(
        namespace=namespace,
        secret=certificate_secret,
        certificate=certificate,
        key=key,
        home=runtime_namespace or namespace,
        port=port,
        bind=bind,
        watch_namespaces=namespaces(watch_namespaces),
        client_qps=client_qps,
        client_burst=client_burst,
        workers=workers,
        threads=threads,
        peer_connections=peer_connections,
        kubeconfig=kubeconfig,
        metrics_port=metrics_port,
        log_level=log_level,
        log_format=log_format,
    )
    _run_in_cluster(run, options)


@app.command()
def release(
    everything: Annotated[bool, typer.Option("--all", help="Every AsyncActor of the cluster; required.")] = False,
    namespace: Namespace = "asya-system",
    watch_namespaces: WatchNamespaces = "",
    lease_name: LeaseName = "asya-operator",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Take the operator's finalizer off all AsyncActors, before or after an uninstall; what runs goes on running."""
    if not everything:
        fail("--all is required: the finalizer comes off every AsyncActor of the cluster", 2)
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
def messages(directory: Annotated[Path, typer.Argument(help="Where the request is mounted.")]) -> None:
    """Do what a request of `kubectl asya` asks of an actor's broker: what its short-lived pod runs."""
    from messages.service import serve

    serve(directory)


@app.command()
def cleanup(
    secret: Annotated[list[str], typer.Option(help="Secret to delete; may be repeated.")] = [],  # noqa: B006
    namespace: Namespace = "asya-system",
    lease_name: LeaseName = "asya-operator",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Delete what an uninstalled operator made in its own namespace: its Lease, its ConfigMaps, the Secrets named."""
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


@app.command()
def render(
    filename: Files,
    namespace: InNamespace = "default",
    output: Form = "yaml",
    runtime_script: Script = None,
    native_sidecars: Native = True,
) -> None:
    """Print every object that a cluster would hold for the AsyncActors in files, after injection."""
    from cli.files import dump

    offline, documents = _offline(filename, [], namespace, runtime_script, native_sidecars)
    if not offline.actors and not offline.errors:
        offline.warnings.append("there is no AsyncActor in the files")
    objects = offline.rendered(documents)
    _finish(offline, lambda: dump(objects, output).encode())


@app.command()
def inject(
    files: Annotated[list[str] | None, typer.Argument(help="Files, beside those of -f.")] = None,
    filename: Annotated[
        list[str] | None, typer.Option("--filename", "-f", help="File to read, or - for standard input.")
    ] = None,
    actor: Annotated[list[str], typer.Option(help="File with AsyncActors; those in -f are known too.")] = [],  # noqa: B006
    namespace: InNamespace = "default",
    output: Form = "yaml",
    runtime_script: Script = None,
    native_sidecars: Native = True,
    in_place: Annotated[bool, typer.Option("--in-place", help="Write the files, and print nothing.")] = False,
) -> None:
    """Do to labelled workloads and pods in files what admission does; everything else comes out as it went in."""
    filename = [*(filename or []), *(files or [])]
    if not filename:
        fail("no files: name them, or use -f - for standard input")
    if in_place and "-" in filename:
        fail("--in-place: standard input cannot be written back; leave the option out, or name a file")
    offline, documents = _offline(filename, actor, namespace, runtime_script, native_sidecars)
    changed = _or_fail(lambda: [offline.inject(document) for document in documents])
    if not offline.labelled:
        offline.warnings.append("nothing was injected: no workload or pod in the files bears the label asya.io/actor")
    _finish(offline, lambda: _rewritten(documents, changed) if in_place else _written(changed, output))


@app.command()
def uninject(
    filename: Files,
    unlabel: Annotated[bool, typer.Option("--unlabel", help="Take the label asya.io/actor off too.")] = False,
    output: Form = "yaml",
) -> None:
    """Undo what `inject` did to files: workloads and pods come out as they were, with edits made since."""
    offline, documents = _offline(filename, [], "default", None, True, validate=False)
    changed = _or_fail(lambda: [offline.uninject(document, unlabel=unlabel) for document in documents])
    _finish(offline, lambda: _written(changed, output))


def _offline(
    filenames: list[str],
    actors: list[str],
    namespace: str,
    script: Path | None,
    native_sidecars: bool,
    *,
    validate: bool = True,
) -> Any:
    import gc
    import os

    from cli.offline import Offline
    from files.reading import read
    from injection.settings import from_environment
    from runtime import SCRIPT

    gc.set_threshold(200_000, 100, 100)  # a large file is many objects that live until the command ends
    path = script or SCRIPT
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"--runtime-script: {path} cannot be read: {error}")
    documents, more = _or_fail(lambda: (read(filenames), read(actors)))
    defaults = _stop_on_bad_setting(from_environment, os.environ, native_sidecars)
    offline = Offline(defaults, text, namespace)
    if validate:
        offline.add_actors([*more, *documents])
    return offline, documents


def _or_fail(make: Callable[[], Any]) -> Any:
    """What ``make`` makes; a bad file ends the command by one line that names it, the line and the column."""
    from files.nodes import BadFile, Unreadable

    try:
        return make()
    except Unreadable as error:
        fail(str(error))
    except BadFile as bad:
        typer.echo(str(bad), err=True)
        raise typer.Exit(1) from None


def _written(documents: Any, output: str) -> bytes:
    from cli.files import dump
    from files.reading import written

    if output == "json":
        return dump([obj for document in documents for _, obj in document.objects()], "json").encode()
    return written(documents)


def _rewritten(documents: Any, changed: Any) -> bytes:
    """Write each file that changed; nothing is left to print."""
    from files.reading import written

    for path in dict.fromkeys(document.origin for document in documents):
        before, after = (written([d for d in version if d.origin == path]) for version in (documents, changed))
        if before != after:
            try:
                Path(path).write_bytes(after)
            except OSError as error:
                fail(f"{path}: cannot be written: {error}")
    return b""


def _finish(offline: Any, show: Callable[[], bytes]) -> None:
    """Print warnings, and errors or else the result, whole; exit code 1 if there are errors."""
    for warning in offline.warnings:
        typer.echo(f"Warning: {warning}", err=True)
    for error in offline.errors:
        typer.echo(f"error: {error}", err=True)
    if offline.errors:
        raise typer.Exit(1)
    typer.echo(show(), nl=False)


convert.register(app)
plugin.register(app)
messaging.register(app)
acting.register(app)
completion.register(app)
report.register(app)
app.command()(dashboard.dashboard)
review.register(app, _offline, _or_fail, _finish)
lint.register(app, _offline)
app.add_typer(certificates, name="certs")


@app.command()
def configurations(
    url: Annotated[str, typer.Option(help="URL of the webhook.")],
    ca: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The CA that signed its certificate, PEM.")],
    exclude: Annotated[list[str], typer.Option(help="Namespace that is never asked about; may be repeated.")] = [],  # noqa: B006
) -> None:
    """Print the webhook configurations for a webhook that runs outside of the cluster."""
    import base64

    from cli.files import dump
    from webhook.configuration import configurations as made

    client_config = {"url": url, "caBundle": base64.b64encode(ca.read_bytes()).decode()}
    typer.echo(dump(made(client_config, excluded_namespaces=exclude, match_conditions=True), "yaml"), nl=False)
