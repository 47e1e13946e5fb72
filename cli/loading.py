"""The shared steps of the commands that read files: load the files, report bad ones, print the result.

The imports are inside the functions, because ``--help`` must start at once.
"""

from collections.abc import Callable
from typing import Any

import typer

from cli.connection import fail
from cli.options import InjectionOptions


def load(
    filenames: list[str], actor_files: list[str], options: InjectionOptions, *, validate: bool = True
) -> tuple[Any, list[Any]]:
    """Read files, and the AsyncActors in them.

    Args:
        filenames: the files to work on; ``-`` is standard input.
        actor_files: further files with AsyncActors.
        options: the settings of injection.
        validate: whether the AsyncActors are needed. An invalid one becomes an error of the result.

    Returns:
        A :class:`cli.offline.Offline`, and the documents of ``filenames``. A file that cannot be read ends the command.
    """
    import gc
    import os

    from cli.offline import Offline
    from files.reading import read
    from injection.settings import from_environment
    from runtime import SCRIPT

    gc.set_threshold(200_000, 100, 100)  # a large file consists of many objects, which live until the command ends
    path = options.runtime_script or SCRIPT
    try:
        script = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"--runtime-script: {path} cannot be read: {error}")
    documents, actors = or_fail(lambda: (read(filenames), read(actor_files)))
    defaults = stop_on_bad_setting(from_environment, os.environ, options.native_sidecars)
    offline = Offline(defaults, script, options.namespace)
    if validate:
        offline.add_actors([*actors, *documents])
    return offline, documents


def or_fail(make: Callable[[], Any]) -> Any:
    """Return what ``make`` returns. A bad file ends the command with one line: file, line, column, cause."""
    from files.nodes import BadFile, Unreadable

    try:
        return make()
    except Unreadable as error:
        fail(str(error))
    except BadFile as bad:
        typer.echo(str(bad), err=True)
        raise typer.Exit(1) from None


def named_files(*lists: list[str] | None) -> list[str]:
    """The files of all ``lists``. The command ends if they name none."""
    filenames = [filename for filenames in lists for filename in filenames or ()]
    if not filenames:
        fail("no files: name them, or use -f - for standard input")
    return filenames


def stop_on_bad_setting(run: Callable[..., Any], *arguments: Any) -> Any:
    """Return what ``run`` returns. An invalid setting ends the command with exit code 2."""
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


def finish(offline: Any, show: Callable[[], bytes]) -> None:
    """Print the warnings, then the errors. If there are no errors, print the whole result; else exit with code 1."""
    for warning in offline.warnings:
        typer.echo(f"Warning: {warning}", err=True)
    for error in offline.errors:
        typer.echo(f"error: {error}", err=True)
    if offline.errors:
        raise typer.Exit(1)
    typer.echo(show(), nl=False)
