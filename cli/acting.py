"""The commands that act on an actor beside its messages: pause, resume, scale, restart, wait and logs."""

import json
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from cli.broker import Actor, InNamespace, Kubeconfig, interruptible, note, output_is_json
from cli.connection import client, fail, own_namespace

POLL_SECONDS = 0.5
COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "bright_cyan", "bright_green", "bright_yellow")


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    for command in (pause, resume, scale, restart, wait, logs):
        app.command()(command)


def pause(
    actor: Actor,
    keep: Annotated[bool, typer.Option("--keep", help="Leave its pods as they are, and KEDA their number.")] = False,
    namespace: InNamespace = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Have an actor take no messages: no pods, and its messages wait."""
    from messages import controls

    _control(actor, namespace, kubeconfig, lambda api, where: controls.pause(api, where, actor, keep=keep))


def resume(actor: Actor, namespace: InNamespace = "", kubeconfig: Kubeconfig = None) -> None:
    """Have a paused actor go on."""
    from messages import controls

    _control(actor, namespace, kubeconfig, lambda api, where: controls.resume(api, where, actor))


def scale(
    actor: Actor,
    least: Annotated[int | None, typer.Option("--min", min=0, help="Fewest pods.")] = None,
    most: Annotated[int | None, typer.Option("--max", min=1, help="Most pods.")] = None,
    enable: Annotated[bool, typer.Option("--enable", help="Switch scaling by KEDA on.")] = False,
    namespace: InNamespace = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Set between which numbers of pods KEDA scales an actor."""
    from messages import controls

    _control(
        actor,
        namespace,
        kubeconfig,
        lambda api, where: controls.scale(api, where, actor, least=least, most=most, enable=enable),
    )


def restart(actor: Actor, namespace: InNamespace = "", kubeconfig: Kubeconfig = None) -> None:
    """Replace an actor's pods, one after the other as its workload does it."""
    from messages import controls

    _control(actor, namespace, kubeconfig, lambda api, where: controls.restart(api, where, actor))


def _control(actor: str, namespace: str, kubeconfig: str | None, do: Callable[[Any, str], str]) -> None:
    from messages.controls import CannotControl

    try:
        sentence = do(client(kubeconfig), namespace or own_namespace(kubeconfig))
    except CannotControl as error:
        fail(str(error))
    typer.echo(f"asyncactor.asya.io/{actor} {sentence}")


def wait(
    actor: Actor,
    condition: Annotated[
        str, typer.Option("--for", help="condition=NAME[=STATUS], phase=PHASE or delete.")
    ] = "condition=Ready",
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait.")] = 300,
    namespace: InNamespace = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Wait until an actor is ready, or as --for says; exit code 1 if it is not in time."""
    from kube.failures import ApiError
    from kube.resources import ASYNC_ACTORS
    from messages.rights import explained

    is_met = _goal(condition)
    api, where = client(kubeconfig), namespace or own_namespace(kubeconfig)
    deadline, began, problem = time.monotonic() + timeout, time.monotonic(), ""
    with interruptible():
        while True:
            try:
                obj = api.get(ASYNC_ACTORS, where, actor)
            except ApiError as error:
                fail(explained(error))
            if obj is None and condition != "delete":
                fail(f'asyncactors.asya.io "{actor}" not found in namespace "{where}"')
            if is_met(obj):
                typer.echo(f"asyncactor.asya.io/{actor} {condition} met")
                return
            now = _problem(obj)
            if now != problem and time.monotonic() - began > 1:
                problem = now
                note(problem)
            if time.monotonic() >= deadline:
                fail(f"{condition} is not met within {timeout:g} s: {now}")
            time.sleep(POLL_SECONDS)


def _goal(condition: str) -> Callable[[dict[str, Any] | None], bool]:
    kind, _, value = condition.partition("=")
    if condition == "delete":
        return lambda obj: obj is None
    if kind == "phase" and value:
        return lambda obj: (_status(obj).get("phase") or "").lower() == value.lower()
    if kind != "condition" or not value:
        fail(f"--for: must be condition=NAME[=STATUS], phase=PHASE or delete; found {condition!r}", 2)
    name, _, status = value.partition("=")
    return lambda obj: _has_condition(obj, name, status or "True")


def _status(obj: dict[str, Any] | None) -> dict[str, Any]:
    return (obj or {}).get("status") or {}


def _has_condition(obj: dict[str, Any] | None, name: str, status: str) -> bool:
    """Whether it has the condition, for its newest generation."""
    for condition in _status(obj).get("conditions") or ():
        if condition["type"].lower() == name.lower():
            is_new = condition.get("observedGeneration") == ((obj or {})["metadata"]).get("generation")
            return bool(is_new and condition["status"].lower() == status.lower())
    return False


def _problem(obj: dict[str, Any] | None) -> str:
    from cli.overview import problem

    return f"{_status(obj).get('phase') or 'no phase yet'}. {problem(_status(obj))}".strip() if obj else "it is gone"


def logs(
    actor: Actor,
    container: Annotated[str, typer.Option("--container", "-c", help="runtime, sidecar or a name; all without.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until interrupted.")] = False,
    tail: Annotated[int | None, typer.Option(min=0, help="So many lines of each container.")] = None,
    previous: Annotated[bool, typer.Option("--previous", "-p", help="Of the containers before a restart.")] = False,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="With the times.")] = False,
    output: Annotated[str, typer.Option("--output", "-o", help="json; for people without it.")] = "",
    namespace: InNamespace = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Print the logs of all pods of an actor, merged by time."""
    from messages.logs import NoLogs, read
    from messages.logs import follow as follow_lines

    as_json = output_is_json(output)
    api, where = client(kubeconfig), namespace or own_namespace(kubeconfig)
    with interruptible():
        try:
            if follow:
                lines = follow_lines(api, where, actor, container=container, tail=tail)
            else:
                lines = read(api, where, actor, container=container, tail=tail, previous=previous)
            for line in lines:
                if as_json:
                    typer.echo(json.dumps(line.__dict__, ensure_ascii=False))
                    continue
                head = typer.style(f"{line.pod}/{line.container}", fg=_colour(line.pod))
                typer.echo(f"{head} {line.time + ' ' if timestamps else ''}{line.text}")
        except NoLogs as error:
            fail(str(error))
        except BrokenPipeError:
            sys.stderr.close()  # as with `| head`


def _colour(pod: str) -> str:
    return COLOURS[sum(pod.encode()) % len(COLOURS)]
