"""``report``: one archive with everything that others need to help, without secrets."""

import io
import tarfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli.broker import InNamespace, Kubeconfig, OperatorNamespace, interruptible, note
from cli.connection import client, fail, own_namespace


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(report)


def report(
    actor: Annotated[str, typer.Argument(help="One actor. Default: all of the namespace.")] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Archive to write. Default: in this folder.")
    ] = None,
    tail: Annotated[int, typer.Option(min=1, help="Number of last lines of each log.")] = 2000,
    namespace: InNamespace = "",
    operator_namespace: OperatorNamespace = "asya-system",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Write an archive with objects, events, logs, metrics and versions, without secrets."""
    from cli.gather import Gatherer

    where = namespace or own_namespace(kubeconfig)
    now = datetime.now(UTC)
    name = "-".join(filter(None, ("asya-report", where, actor, now.strftime("%Y%m%dT%H%M%SZ"))))
    path = output or Path(f"{name}.tar.gz")
    with interruptible():
        gatherer = Gatherer(client(kubeconfig), where, operator_namespace, tail)
        last_note = time.monotonic()
        files = {}
        for file, text in gatherer.files(actor):
            files[file] = text
            if time.monotonic() - last_note > 1:
                last_note = time.monotonic()
                note(f"{len(files)} files, {file}")
    if gatherer.actors == 0:
        fail(f'asyncactors.asya.io "{actor}" not found in namespace "{where}"' if actor else f"no actors in {where!r}")
    try:
        path.write_bytes(packed(name, files, now))
    except OSError as error:
        fail(f"{path}: cannot be written: {error}")
    typer.echo(str(path))
    if gatherer.failures:
        typer.echo(f"{len(gatherer.failures)} reads failed; failures.txt in the archive lists them", err=True)


def packed(folder: str, files: dict[str, str], now: datetime) -> bytes:
    """The files as a ``.tar.gz`` with one folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in sorted(files.items()):
            content = text.encode()
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mtime = len(content), int(now.timestamp())
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
