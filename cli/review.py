"""The commands that other tools run on files: ``diff`` for review in CI, and ``krm`` as a function of kustomize."""

import difflib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

Load = Callable[..., Any]
_HEAD = re.compile(r"^@@ -(\d+)(,\d+)? \+(\d+)(,\d+)? @@$")
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def register(app: typer.Typer, load: Load, or_fail: Callable[[Callable[[], Any]], Any], finish: Load) -> None:
    """Add the commands to ``app``.

    Args:
        load: reads files and actors, and knows the settings.
        or_fail: ends the command where a file is bad.
        finish: prints warnings, and errors or else the result.
    """

    @app.command()
    def diff(
        files: Annotated[list[str] | None, typer.Argument(help="Files, beside those of -f.")] = None,
        filename: Annotated[
            list[str] | None, typer.Option("--filename", "-f", help="File to read, or - for standard input.")
        ] = None,
        actor: Annotated[
            list[str] | None, typer.Option(help="File with AsyncActors; those in -f are known too.")
        ] = None,
        namespace: Annotated[str, typer.Option("--namespace", "-n", help="Of objects without one.")] = "default",
        runtime_script: Annotated[
            Path | None,
            typer.Option(envvar="ASYA_RUNTIME_LOCAL_PATH", help="Runtime script; or the one shipped."),
        ] = None,
        native_sidecars: Annotated[bool, typer.Option(help="Whether the cluster runs native sidecars.")] = True,
        color: Annotated[bool | None, typer.Option(help="Colour; on a terminal only without it.")] = None,
    ) -> None:
        """Show what injection would change in files; exit code 1 if anything."""
        names = [*(filename or []), *(files or [])]
        if not names:
            typer.echo("error: no files: name them, or use -f - for standard input", err=True)
            raise typer.Exit(1)
        offline, documents = load(names, actor or [], namespace, runtime_script, native_sidecars)
        pairs = or_fail(lambda: [(document, offline.inject(document)) for document in documents])
        lines = [line for before, after in pairs for line in differences(before, after)]
        finish(offline, lambda: b"")
        for line in lines:
            typer.echo(typer.style(line, fg=_COLOURS.get(line[:1])), color=color)
        raise typer.Exit(int(bool(lines)))

    @app.command()
    def krm(
        actor: Annotated[
            list[str] | None, typer.Option(help="File with AsyncActors; those among the items are known.")
        ] = None,
        namespace: Annotated[str, typer.Option("--namespace", "-n", help="Of objects without one.")] = "default",
        runtime_script: Annotated[
            Path | None,
            typer.Option(envvar="ASYA_RUNTIME_LOCAL_PATH", help="Runtime script; or the one shipped."),
        ] = None,
        native_sidecars: Annotated[bool, typer.Option(help="Whether the cluster runs native sidecars.")] = True,
    ) -> None:
        """Inject the items of a ResourceList on standard input: a KRM function, for kustomize and kpt."""
        from files.reading import written

        offline, documents = load(["-"], actor or [], namespace, runtime_script, native_sidecars)
        if [d.value.get("kind") for d in documents if isinstance(d.value, dict)] != ["ResourceList"]:
            typer.echo("error: standard input: must be one ResourceList, which kustomize and kpt give", err=True)
            raise typer.Exit(1)
        made = or_fail(lambda: [offline.inject(document) for document in documents])
        finish(offline, lambda: written(made))


def differences(before: Any, after: Any) -> Iterator[str]:
    """The lines of a unified diff of two versions of a document, whose line numbers are the file's."""
    if before is after:
        return
    old, new = before.text.splitlines(), after.text.splitlines()
    made = difflib.unified_diff(old, new, before.origin, f"{before.origin} (injected)", lineterm="")
    for line in made:
        yield _HEAD.sub(lambda head: _moved(head, before.line - 1), line)


def _moved(head: re.Match[str], by: int) -> str:
    """The head of a hunk, so many lines further down."""
    return f"@@ -{int(head[1]) + by}{head[2] or ''} +{int(head[3]) + by}{head[4] or ''} @@"
