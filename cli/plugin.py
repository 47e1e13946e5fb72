"""The commands that show a cluster to people: ``status``, ``explain`` and ``doctor``.

The program is also installed as ``kubectl-asya``, so ``kubectl asya status`` works too. Output follows kubectl: results
on standard output, all else on standard error, colour on a terminal only.
"""

import json
import time
from dataclasses import asdict
from typing import Annotated, Any, NoReturn

import typer

from cli.broker import InNamespace, Kubeconfig, Output, output_is_json
from cli.connection import client, fail, own_namespace
from cli.options import ObjectsName, ServedFrom

WATCH_SECONDS = 1.0


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    for command in (status, explain, doctor):
        app.command()(command)


def status(
    name: Annotated[str, typer.Argument(help="One actor. Default: all.")] = "",
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="One namespace. Default: all.")] = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Update the table until interrupted.")] = False,
    output: Annotated[str, typer.Option("--output", "-o", help="wide, json or yaml. Default: a table.")] = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show actors, their queues and pods, and their problems."""
    if output not in ("", "wide", "json", "yaml"):
        fail(f"--output: must be wide, json or yaml; found {output!r}", 2)
    if watch and output in ("json", "yaml"):
        fail("--watch: shows a table; leave --output out, or set it to wide", 2)
    if name and not namespace:
        namespace = own_namespace(kubeconfig)
    api = client(kubeconfig)
    if not watch:
        _show(_actors(api, namespace, name), output)
        return
    try:
        _watch(api, namespace, name, wide=output == "wide")
    except KeyboardInterrupt:
        return


def explain(
    name: Annotated[str, typer.Argument(help="The actor.")],
    namespace: InNamespace = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Explain one actor: its objects, what was injected and why, and each problem with its remedy."""
    from cli.explain import lines, read
    from kube.failures import ApiError

    try:
        story = read(client(kubeconfig), namespace or own_namespace(kubeconfig), name)
    except ApiError as error:
        fail(error.message)
    if story is None:
        _not_found(name)
    for line in lines(story):
        typer.echo(line)


def doctor(
    namespace: Annotated[str, typer.Option("--namespace", "-n", help="The operator's own namespace.")] = "asya-system",
    secret: ServedFrom = "",
    name: ObjectsName = "asya-operator",
    output: Output = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Check the installation. Exit code 1 if something must be fixed."""
    from cli.doctor import Doctor

    if output_is_json(output):
        checks = list(Doctor(client(kubeconfig), namespace, secret, name).run())
        typer.echo(json.dumps([asdict(check) for check in checks], indent=2, ensure_ascii=False))
        raise typer.Exit(int(any(check.verdict == "bad" for check in checks)))
    marks = {"good": ("✔", "green"), "bad": ("✘", "red"), "warning": ("!", "yellow"), "unknown": ("?", "yellow")}
    has_failed = False
    for check in Doctor(client(kubeconfig), namespace, secret, name).run():
        mark, colour = marks[check.verdict]
        typer.echo(f"{typer.style(mark, fg=colour)} {check.what}")
        if check.remedy:
            typer.echo(f"  → {check.remedy}")
        has_failed = has_failed or check.verdict == "bad"
    raise typer.Exit(int(has_failed))


def _actors(api: Any, namespace: str, name: str) -> list[Any]:
    from kube.failures import ApiError
    from kube.resources import ASYNC_ACTORS

    try:
        if name:
            obj = api.get(ASYNC_ACTORS, namespace, name)
            if obj is None:
                _not_found(name)
            return [obj]
        return list(api.list(ASYNC_ACTORS, namespace))
    except ApiError as error:
        if error.code == 404:
            fail("the cluster has no resource AsyncActor: install the operator there first")
        fail(error.message)


def _show(actors: list[Any], output: str) -> None:
    from cli.files import dump
    from cli.overview import table
    from kube.resources import ASYNC_ACTORS

    if output in ("json", "yaml"):
        objects = [{"apiVersion": ASYNC_ACTORS.api_version, "kind": ASYNC_ACTORS.kind, **obj} for obj in actors]
        typer.echo(dump(objects, output), nl=False)
    elif not actors:
        typer.echo("No resources found", err=True)
    else:
        console = _console()
        console.print(table(actors, wide=output == "wide", fitted=console.is_terminal))


def _watch(api: Any, namespace: str, name: str, *, wide: bool) -> None:
    from rich.live import Live

    from cli.overview import table

    console = _console()
    if not console.is_terminal:
        before: list[Any] = []
        while True:
            actors = _actors(api, namespace, name)
            if actors != before:
                console.print(table(actors, wide=wide))
            before = actors
            time.sleep(WATCH_SECONDS)
    with Live(console=console, auto_refresh=False, screen=False) as live:
        while True:
            live.update(table(_actors(api, namespace, name), wide=wide, fitted=True), refresh=True)
            time.sleep(WATCH_SECONDS)


def _console() -> Any:
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=400)


def _not_found(name: str) -> NoReturn:
    fail(f'(NotFound): asyncactors.asya.io "{name}" not found')
