"""``certs issue`` writes certificates into files; ``certs show`` lists those that the webhook serves."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from cli.connection import client, fail
from cli.options import Kubeconfig, Namespace, ObjectsName, ServedFrom

certificates = typer.Typer(help="Certificates for the webhook.", no_args_is_help=True)


@certificates.command()
def issue(
    directory: Annotated[Path, typer.Argument(help="Folder for ca.crt, tls.crt and tls.key.")],
    name: Annotated[list[str], typer.Option(help="DNS name or IP address of the webhook. May be repeated.")],
    days: Annotated[int, typer.Option(min=1, help="Lifetime in days.")] = 365,
) -> None:
    """Issue a CA and a serving certificate into files."""
    from certs.authority import create_authority, issue

    lifetime = timedelta(days=days)
    authority = create_authority("asya-operator", lifetime)
    serving = issue(authority, name, lifetime)
    try:
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
    except OSError as error:
        fail(f"{directory}: cannot be written: {error}")


@certificates.command()
def show(
    kubeconfig: Kubeconfig = None,
    namespace: Namespace = "asya-system",
    secret: ServedFrom = "",
    name: ObjectsName = "asya-operator",
) -> None:
    """Show the certificate that the webhook serves, who trusts it and until when. Exit code 1 if there is a fault."""
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.table import Table

    from certs.keeper import CONFIGURATIONS
    from certs.show import rows, served_from
    from kube.failures import ApiError
    from kube.resources import SECRETS

    api = client(kubeconfig)
    try:
        published = [obj for r in CONFIGURATIONS if (obj := api.get(r, "", name)) is not None]
        secret = secret or served_from(name, published)
        live = api.get(SECRETS, namespace, secret)
    except ApiError as error:
        fail(error.message)
    now = datetime.now(UTC)
    certificate_rows = rows(live, published, now)
    table = Table(box=None, pad_edge=False)
    for column in ("WHERE", "WHO", "EXPIRES", "DAYS LEFT", ""):
        table.add_column(column)
    for row in certificate_rows:
        table.add_row(
            row.where, row.subject, row.expires.strftime("%Y-%m-%d %H:%M"), str((row.expires - now).days), row.verdict
        )
    Console(width=None if Console().is_terminal else 200).print(table)
    if not any(row.where == "served" for row in certificate_rows):
        fail(f"the Secret {secret!r} in namespace {namespace!r} has no certificate")
    if any(row.verdict for row in certificate_rows):
        raise typer.Exit(1)
