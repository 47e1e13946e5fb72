"""The commands about messages: ``send``, ``peek`` and ``dlq``. Docs: ``docs/plugin.md``."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer

from cli.broker import (
    Actor,
    Desk,
    Event,
    Image,
    InNamespace,
    Kubeconfig,
    Local,
    OperatorNamespace,
    Output,
    Where,
    interruptible,
    note,
    output_is_json,
)
from cli.connection import fail

dlq = typer.Typer(help="Messages that went wrong: at the end of their route, or dead-lettered.", no_args_is_help=True)

OfActor = Annotated[str, typer.Option("--of", help="Those of this actor instead of ACTOR's own; all for every actor.")]
Error = Annotated[str, typer.Option(help="Those whose error has this in its code, type or message.")]
MessageId = Annotated[str, typer.Argument(help="Id of one message.")]
Queue = Annotated[list[str] | None, typer.Option(help="A further dead-letter queue; may be repeated.")]
ALL = 1_000_000


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    for command in (send, peek):
        app.command()(command)
    for name, command_of_dlq in (("list", list_dead), ("show", show), ("replay", replay), ("drop", drop)):
        dlq.command(name)(command_of_dlq)
    app.add_typer(dlq, name="dlq")


def send(
    actor: Actor,
    filename: Annotated[str, typer.Option("--filename", "-f", help="File with the payload, JSON; - for stdin.")],
    route: Annotated[str, typer.Option(help="Actors in order, with commas between; ACTOR alone without it.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the answer at the end of the route.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the answer.")] = 60,
    message_id: Annotated[str, typer.Option("--id", help="Id of the message; a new one without it.")] = "",
    header: Annotated[list[str] | None, typer.Option(help="name=value; may be repeated.")] = None,
    namespace: InNamespace = "",
    local: Local = False,
    image: Image = "",
    operator_namespace: OperatorNamespace = "asya-system",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Send a message to an actor; with --wait print the answer's payload, exit code 1 if it tells of an error."""
    from messages.envelope import envelope

    payload = _payload(filename)
    headers = _headers(header or [])
    with interruptible():
        desk = Desk(Where(actor, namespace, kubeconfig, local, image, operator_namespace))
        name = message_id or str(uuid4())
        actors = desk.target.route(part.strip() for part in route.split(",") if part.strip())
        made = envelope(desk.target.generation, actors, payload, name, headers)
        request = desk.target.request(
            action="send",
            bodies=[json.dumps(made, ensure_ascii=False)],
            wait_for=[name] if wait else [],
            seconds=timeout,
        )
        for event in desk.run(request):
            if event["kind"] == "sent":
                typer.echo(f"sent {event['id']} to {event['queue']}", err=wait)
            elif event["kind"] == "answer":
                raise typer.Exit(_answered(event))
    if wait:
        fail(f"no answer within {timeout:g} s; the message may be in work still: kubectl asya peek {actor}")


def _payload(filename: str) -> Any:
    try:
        text = sys.stdin.read() if filename == "-" else Path(filename).read_text()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{filename}: cannot be read: {error}")
    try:
        return json.loads(text)
    except ValueError as error:
        fail(f"{filename}: is no JSON: {error}")


def _headers(given: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in given]
    for name, sign, _ in pairs:
        if not name or not sign:
            fail(f"--header: must be name=value; found {name + sign!r}", 2)
    return {name: value for name, _, value in pairs}


def _answered(event: Event) -> int:
    from messages.envelope import Message

    message = Message(event["body"].encode(), event["is_dead"])
    typer.echo(json.dumps(message.payload, indent=2, ensure_ascii=False))
    if message.error:
        typer.echo(f"error: {message.actor or 'the route'} failed: {message.summary()}", err=True)
        return 1
    return 0


def peek(
    actor: Actor,
    n: Annotated[list[str] | None, typer.Option("-n", help="How many (5); or a namespace.", metavar="N")] = None,
    namespace: Annotated[str, typer.Option("--namespace", help="Its namespace; the context's without it.")] = "",
    output: Output = "",
    local: Local = False,
    image: Image = "",
    operator_namespace: OperatorNamespace = "asya-system",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Look at the messages that wait for an actor, without taking them."""
    as_json = output_is_json(output)
    counts = [int(text) for text in n or () if text.isdigit()]
    namespace = namespace or next((text for text in n or () if not text.isdigit()), "")
    with interruptible():
        desk = Desk(Where(actor, namespace, kubeconfig, local, image, operator_namespace))
        request = desk.target.request(action="peek", count=counts[-1] if counts else 5)
        events = [event for event in desk.run(request) if event["kind"] == "message"]
    _show_messages(events, as_json, f"no messages wait in {desk.target.queue}")


def list_dead(
    actor: Actor,
    of: OfActor = "",
    error: Error = "",
    limit: Annotated[int, typer.Option(min=1, help="Most to list.")] = 100,
    results: Annotated[bool, typer.Option("--results", help="Also those that ended well.")] = False,
    queue: Queue = None,
    namespace: InNamespace = "",
    output: Output = "",
    local: Local = False,
    image: Image = "",
    operator_namespace: OperatorNamespace = "asya-system",
    kubeconfig: Kubeconfig = None,
) -> None:
    """List messages that went wrong."""
    as_json = output_is_json(output)
    with interruptible():
        desk = Desk(Where(actor, namespace, kubeconfig, local, image, operator_namespace))
        request = _about(desk, "dead", of, error, "", queue, count=limit, results_too=results)
        events = _kept(desk, request)
    _show_messages(events, as_json, "no such messages")


def show(
    actor: Actor,
    message_id: MessageId,
    of: OfActor = "all",
    queue: Queue = None,
    namespace: InNamespace = "",
    local: Local = False,
    image: Image = "",
    operator_namespace: OperatorNamespace = "asya-system",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show one whole message that went wrong."""
    from messages.envelope import Message

    with interruptible():
        desk = Desk(Where(actor, namespace, kubeconfig, local, image, operator_namespace))
        events = _kept(desk, _about(desk, "dead", of, "", message_id, queue, count=1, results_too=True))
    if not events:
        fail(f"no message {message_id!r} at the end of a route or in a dead-letter queue")
    message = Message(events[0]["body"].encode(), events[0]["is_dead"])
    typer.echo(json.dumps(message.fields, indent=2, ensure_ascii=False) if message.fields else events[0]["body"])
    trace = message.details.get("traceback")
    if trace:
        typer.echo(f"\n{trace}", err=True)


def replay(
    actor: Actor,
    message_id: MessageId = "",
    of: OfActor = "",
    error: Error = "",
    limit: Annotated[int, typer.Option(min=1, help="Most to replay.")] = ALL,
    queue: Queue = None,
    namespace: InNamespace = "",
    local: Local = False,
    image: Image = "",
    operator_namespace: OperatorNamespace = "asya-system",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Send messages that went wrong to the actors where they did, as they were; exit code 1 if one cannot be."""
    with interruptible():
        desk = Desk(Where(actor, namespace, kubeconfig, local, image, operator_namespace))
        request = _about(desk, "replay", of, error, message_id, queue, count=limit)
        done = _acted(desk, request, "replayed")
    raise typer.Exit(int(done["skipped"] > 0))


def drop(
    actor: Actor,
    message_id: MessageId = "",
    of: OfActor = "",
    error: Error = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Most to drop.")] = ALL,
    queue: Queue = None,
    namespace: InNamespace = "",
    local: Local = False,
    image: Image = "",
    operator_namespace: OperatorNamespace = "asya-system",
    kubeconfig: Kubeconfig = None,
) -> None:
    """Remove messages that went wrong, for ever."""
    if not yes and not sys.stdin.isatty():
        fail("--yes is required where nobody can be asked: messages that are dropped are gone", 2)
    with interruptible():
        desk = Desk(Where(actor, namespace, kubeconfig, local, image, operator_namespace))
        if not yes:
            listed = _kept(desk, _about(desk, "dead", of, error, message_id, queue, count=limit))
            if not listed or not typer.confirm(f"Drop {len(listed)} messages for ever?", err=True):
                typer.echo("nothing was dropped", err=True)
                raise typer.Exit(0 if not listed else 1)
            limit = min(limit, len(listed))  # what came meanwhile was not asked about
        _acted(desk, _about(desk, "drop", of, error, message_id, queue, count=limit), "dropped")


def _about(
    desk: Desk,
    action: str,
    of: str,
    error: str,
    message_id: str,
    queues: list[str] | None,
    **more: Any,
) -> Any:
    """A request about dead letters: ACTOR's own unless ``of`` names another, or all."""
    from messages.requests import Filter

    actor = "" if of == "all" else of or desk.target.actor_name
    return desk.target.request(action=action, filter=Filter(actor, error, message_id), extra=queues or [], **more)


def _kept(desk: Desk, request: Any) -> list[Event]:
    """The messages of a request; a queue that is missing is told."""
    messages = []
    for event in desk.run(request):
        if event["kind"] == "message":
            messages.append(event)
        elif event["kind"] == "missing":
            note(f"there is no queue {event['queue']}")
    return messages


def _acted(desk: Desk, request: Any, done: str) -> dict[str, int]:
    """Print what becomes of each message, and a summary."""
    counts = {done: 0, "skipped": 0}
    for event in desk.run(request):
        if event["kind"] == done:
            counts[done] += 1
            to = f" to {event['queue']}" if "queue" in event else ""
            typer.echo(f"{done} {event['id'] or '(no id)'} from {event['from']}{to}")
        elif event["kind"] == "skipped":
            counts["skipped"] += 1
            typer.echo(f"skipped {event['id'] or '(no id)'} in {event['from']}: {event['why']}", err=True)
        elif event["kind"] == "missing":
            note(f"there is no queue {event['queue']}")
    typer.echo(f"{counts[done]} {done}" + (f", {counts['skipped']} skipped" if counts["skipped"] else ""), err=True)
    return counts


def _show_messages(events: list[Event], as_json: bool, nothing: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from messages.envelope import Message

    if as_json:
        whole = [{**event, "message": Message(event["body"].encode()).fields or None} for event in events]
        typer.echo(json.dumps(whole, indent=2, ensure_ascii=False))
        return
    if not events:
        typer.echo(nothing, err=True)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("ID", "ACTOR", "ROUTE", "QUEUE"):
        table.add_column(column, no_wrap=True)
    table.add_column("MESSAGE", no_wrap=True, overflow="ellipsis")
    for event in events:
        message = Message(event["body"].encode(), event["is_dead"])
        parts = (message.message_id or "-", message.actor or "-", _route(message), event["queue"], message.summary())
        table.add_row(*(Text(part, style="red" if n == 4 and message.error else "") for n, part in enumerate(parts)))
    console = Console(highlight=False)
    (console if console.is_terminal else Console(highlight=False, width=400)).print(table)


def _route(message: Any) -> str:
    before, current, following = message.route
    names = [*before, *([f"[{current}]"] if current else []), *following]
    return "→".join(names) or "-"
