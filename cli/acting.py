"""The commands about an actor that do not touch its messages: pause, resume, scale, restart, wait and logs."""

import json
import sys
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from cli.broker import Actor, InNamespace, Kubeconfig, Output, interruptible, note, output_is_json
from cli.connection import client, fail, own_namespace

POLL_SECONDS = 0.5
COLOURS = ("cyan", "green", "yellow", "magenta", "blue", "bright_cyan", "bright_green", "bright_yellow")


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    for command in (pause, resume, scale, restart, wait, logs):
        app.command()(command)


def pause(
    actor: Actor,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep its pods, and stop KEDA from changing their number.")
    ] = False,
    namespace: InNamespace = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Pause an actor: it has no pods, and its messages wait."""
    from messages import controls

    _control(actor, namespace, kubeconfig, lambda api, where: controls.pause(api, where, actor, keep=keep))


def resume(actor: Actor, namespace: InNamespace = "", kubeconfig: Kubeconfig = None) -> None:
    """Resume a paused actor."""
    from messages import controls

    _control(actor, namespace, kubeconfig, lambda api, where: controls.resume(api, where, actor))


def scale(
    actor: Actor,
    least: Annotated[int | None, typer.Option("--min", min=0, help="Fewest pods.")] = None,
    most: Annotated[int | None, typer.Option("--max", min=1, help="Most pods.")] = None,
    enable: Annotated[bool, typer.Option("--enable", help="Turn on scaling by KEDA.")] = False,
    namespace: InNamespace = "",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Set the fewest and most pods to which KEDA scales an actor."""
    from messages import controls

    _control(
        actor,
        namespace,
        kubeconfig,
        lambda api, where: controls.scale(api, where, actor, least=least, most=most, enable=enable),
    )


def restart(actor: Actor, namespace: InNamespace = "", kubeconfig: Kubeconfig = None) -> None:
    """Replace an actor's pods by a rollout of its workload."""
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
    """Wait until an actor is ready, or until what --for names is true. Exit code 1 after the timeout."""
    from kube.failures import ApiError
    from kube.resources import ASYNC_ACTORS
    from messages.rights import explained

    is_met = _goal(condition)
    api, where = client(kubeconfig), namespace or own_namespace(kubeconfig)
    deadline, start, problem = time.monotonic() + timeout, time.monotonic(), ""
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
            new_problem = _problem(obj)
            if new_problem != problem and time.monotonic() - start > 1:
                problem = new_problem
                note(problem)
            if time.monotonic() >= deadline:
                fail(f"{condition} is not met within {timeout:g} s: {new_problem}")
            time.sleep(POLL_SECONDS)


def _goal(condition: str) -> Callable[[dict[str, Any] | None], bool]:
    """The predicate for the value of --for. Its argument is the actor, or None after the actor is deleted."""
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
    """Whether the actor has the condition, and the condition is about the newest generation."""
    for condition in _status(obj).get("conditions") or ():
        if condition["type"].lower() == name.lower():
            is_new = condition.get("observedGeneration") == ((obj or {})["metadata"]).get("generation")
            return bool(is_new and condition["status"].lower() == status.lower())
    return False


def _problem(obj: dict[str, Any] | None) -> str:
    from cli.overview import problem

    if obj is None:
        return "it is deleted"
    return f"{_status(obj).get('phase') or 'no phase yet'}. {problem(_status(obj))}".strip()


def logs(
    actor: Actor,
    container: Annotated[str, typer.Option("--container", "-c", help="runtime, sidecar or a name. Default: all.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines until interrupted.")] = False,
    tail: Annotated[int | None, typer.Option(min=0, help="Number of last lines of each container.")] = None,
    previous: Annotated[
        bool, typer.Option("--previous", "-p", help="Logs of containers before their restart.")
    ] = False,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Print the time of each line.")] = False,
    output: Output = "",
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
            sys.stderr.close()  # the reader has stopped, such as `| head`; Python must not print an error at exit


def _colour(pod: str) -> str:
    return COLOURS[sum(pod.encode()) % len(COLOURS)]
