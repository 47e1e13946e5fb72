"""``convert``: turns actors of the Go operator and of its Crossplane successor into AsyncActors of this operator."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.connection import fail
from cli.options import Files, Form


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(convert)


def convert(
    filename: Files,
    transports: Annotated[
        Path | None,
        typer.Option(help="Values of the old operator's chart, or a file with one spec.transport for each name."),
    ] = None,
    output: Form = "yaml",
) -> None:
    """Convert actors of the group asya.sh, and list fields without a counterpart. Other objects stay as they are."""
    from cli.files import dump
    from cli.foreign import is_foreign
    from files.nodes import BadFile, Unreadable
    from files.reading import read

    try:
        documents = read(filename)
        objects = [(document.origin, obj) for document in documents for _, obj in document.objects()]
    except (BadFile, Unreadable) as error:
        fail(str(error))
    known_transports, errors = _transports(transports), 0
    outputs: list[dict[str, Any]] = []
    if not any(is_foreign(obj) for _, obj in objects):
        typer.echo("Warning: the files have no actor of the group asya.sh", err=True)
    for origin, obj in objects:
        if not is_foreign(obj):
            outputs.append(obj)
            continue
        name = f"{origin}: {obj['kind']} {(obj.get('metadata') or {}).get('name', '')!r}"
        actor, notes, problems = converted(obj, known_transports)
        for note in notes:
            typer.echo(f"Warning: {name}: {note}", err=True)
        for problem in problems:
            typer.echo(f"error: {name}: {problem}", err=True)
        errors += len(problems)
        outputs.append(actor)
    if errors:
        raise typer.Exit(1)
    typer.echo(dump(outputs, output), nl=False)


def converted(obj: dict[str, Any], transports: dict[str, Any]) -> tuple[dict[str, Any], list[str], list[str]]:
    """The actor, notes on its changed or dropped fields, and its errors. With errors the actor is empty."""
    from cli import foreign
    from crds.parse import InvalidActor, parse_actor

    try:
        conversion = foreign.convert(obj, transports)
        parse_actor(conversion.actor)
    except foreign.NotConvertible as error:
        return {}, [], [str(error)]
    except InvalidActor as invalid:
        return {}, list(conversion.notes), invalid.errors
    return conversion.actor, list(conversion.notes), []


def _transports(path: Path | None) -> dict[str, Any]:
    import yaml

    from cli.foreign import NotConvertible, transports_of

    if path is None:
        return {}
    try:
        return transports_of(yaml.safe_load(path.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        fail(f"--transports: {path} cannot be read: {error}")
    except NotConvertible as error:
        fail(f"--transports: {path}: {error}")
