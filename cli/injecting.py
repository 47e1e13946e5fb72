"""The commands that inject files: ``render``, ``inject`` and ``uninject``. Docs: ``docs/files.md``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.connection import fail
from cli.loading import finish, load, named_files, or_fail
from cli.options import ActorFiles, Files, FilesIfAny, Form, InjectionOptions, MoreFiles, grouped


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    for command in (render, inject, uninject):
        app.command()(command)


@grouped
def render(filename: Files, output: Form = "yaml", *, options: InjectionOptions) -> None:
    """Print every object that a cluster would hold for the AsyncActors in files, after injection."""
    from cli.files import dump

    offline, documents = load(filename, [], options)
    if not offline.actors and not offline.errors:
        offline.warnings.append("there is no AsyncActor in the files")
    objects = offline.rendered(documents)
    finish(offline, lambda: dump(objects, output).encode())


@grouped
def inject(
    files: MoreFiles = None,
    filename: FilesIfAny = None,
    actor: ActorFiles = None,
    output: Form = "yaml",
    in_place: Annotated[bool, typer.Option("--in-place", help="Change the files, and print nothing.")] = False,
    *,
    options: InjectionOptions,
) -> None:
    """Inject labelled workloads and pods in files, as admission does. All other objects stay as they are."""
    filenames = named_files(filename, files)
    if in_place and "-" in filenames:
        fail("--in-place: standard input cannot be written back; leave the option out, or name a file")
    offline, documents = load(filenames, actor or [], options)
    injected = or_fail(lambda: [offline.inject(document) for document in documents])
    if not offline.labelled:
        offline.warnings.append("nothing was injected: no workload or pod in the files has the label asya.io/actor")
    finish(offline, lambda: _write_in_place(documents, injected) if in_place else _output_of(injected, output))


def uninject(
    filename: Files,
    unlabel: Annotated[bool, typer.Option("--unlabel", help="Remove the label asya.io/actor too.")] = False,
    output: Form = "yaml",
) -> None:
    """Undo `inject` in files: workloads and pods become what they were, and keep edits made since."""
    offline, documents = load(filename, [], InjectionOptions(), validate=False)
    restored = or_fail(lambda: [offline.uninject(document, unlabel=unlabel) for document in documents])
    finish(offline, lambda: _output_of(restored, output))


def _output_of(documents: list[Any], output: str) -> bytes:
    from cli.files import dump
    from files.reading import written

    if output == "json":
        return dump([obj for document in documents for _, obj in document.objects()], "json").encode()
    return written(documents)


def _write_in_place(documents: list[Any], injected: list[Any]) -> bytes:
    """Write each file that changed. Return nothing to print."""
    from files.reading import written

    for path in dict.fromkeys(document.origin for document in documents):
        before, after = (written([d for d in version if d.origin == path]) for version in (documents, injected))
        if before != after:
            try:
                Path(path).write_bytes(after)
            except OSError as error:
                fail(f"{path}: cannot be written: {error}")
    return b""
