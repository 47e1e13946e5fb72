"""The commands that other tools run on files: ``diff`` for reviews in CI, ``krm`` as a function of kustomize."""

import difflib
import re
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from cli.connection import fail
from cli.loading import finish, load, named_files, or_fail
from cli.options import ActorFiles, FilesIfAny, InjectionOptions, MoreFiles, grouped

_HEAD = re.compile(r"^@@ -(\d+)(,\d+)? \+(\d+)(,\d+)? @@$")
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    for command in (diff, krm):
        app.command()(command)


@grouped
def diff(
    files: MoreFiles = None,
    filename: FilesIfAny = None,
    actor: ActorFiles = None,
    color: Annotated[bool | None, typer.Option(help="Whether to use colour. Default: on a terminal only.")] = None,
    *,
    options: InjectionOptions,
) -> None:
    """Show what injection would change in files. Exit code 1 if it would change anything."""
    offline, documents = load(named_files(filename, files), actor or [], options)
    pairs = or_fail(lambda: [(document, offline.inject(document)) for document in documents])
    lines = [line for before, after in pairs for line in differences(before, after)]
    finish(offline, lambda: b"")
    for line in lines:
        typer.echo(typer.style(line, fg=_COLOURS.get(line[:1])), color=color)
    raise typer.Exit(int(bool(lines)))


@grouped
def krm(actor: ActorFiles = None, *, options: InjectionOptions) -> None:
    """Inject the items of a ResourceList on standard input: a KRM function, for kustomize and kpt."""
    from files.reading import written

    offline, documents = load(["-"], actor or [], options)
    if [d.value.get("kind") for d in documents if isinstance(d.value, dict)] != ["ResourceList"]:
        fail("standard input: must be one ResourceList, as kustomize and kpt write it")
    injected = or_fail(lambda: [offline.inject(document) for document in documents])
    finish(offline, lambda: written(injected))


def differences(before: Any, after: Any) -> Iterator[str]:
    """The lines of a unified diff of two versions of a document. Line numbers count from the start of the file."""
    if before is after:
        return
    old, new = before.text.splitlines(), after.text.splitlines()
    diff_lines = difflib.unified_diff(old, new, before.origin, f"{before.origin} (injected)", lineterm="")
    for line in diff_lines:
        yield _HEAD.sub(lambda head: _moved(head, before.line - 1), line)


def _moved(head: re.Match[str], by: int) -> str:
    """The head of a hunk, moved down by this number of lines."""
    return f"@@ -{int(head[1]) + by}{head[2] or ''} +{int(head[3]) + by}{head[4] or ''} @@"
