"""The commands about messages: ``send``, ``peek`` and ``dlq``. Docs: ``docs/messages.md``."""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer

from cli.broker import (
    Actor,
    Desk,
    Event,
    Output,
    Where,
    interruptible,
    note,
    output_is_json,
)
from cli.connection import fail
from cli.options import grouped

dlq = typer.Typer(
    help="Failed messages: those in the error queue at the end of a route, and dead letters.", no_args_is_help=True
)

OfActor = Annotated[str, typer.Option("--of", help="Messages that failed at this actor instead of ACTOR, or `all`.")]
Error = Annotated[str, typer.Option(help="Only errors with this text in their code, type or message.")]
MessageId = Annotated[str, typer.Argument(help="Id of one message.")]
Queue = Annotated[list[str] | None, typer.Option(help="Another dead-letter queue to search. May be repeated.")]
ALL = 1_000_000


@dataclass(frozen=True)
class Selection:
    """Options that select failed messages."""

    of: OfActor = ""
    error: Error = ""
    queue: Queue = None


def register(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    for command in (send, peek):
        app.command()(command)
    for name, command_of_dlq in (("list", list_dead), ("show", show), ("replay", replay), ("drop", drop)):
        dlq.command(name)(command_of_dlq)
    app.add_typer(dlq, name="dlq")


@grouped
def send(
    actor: Actor,
    filename: Annotated[
        str, typer.Option("--filename", "-f", help="File with the payload as JSON, or - for standard input.")
    ],
    route: Annotated[str, typer.Option(help="Actors in order, separated by commas. Default: ACTOR alone.")] = "",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the answer from the end of the route.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the answer.")] = 60,
    message_id: Annotated[str, typer.Option("--id", help="Id of the message. Default: a new one.")] = "",
    header: Annotated[list[str] | None, typer.Option(help="Header as name=value. May be repeated.")] = None,
    *,
    where: Where,
) -> None:
    """Send a message to an actor. With --wait, print the answer's payload; exit code 1 if the answer is an error."""
    from messages.envelope import envelope

    payload = _payload(filename)
    headers = _headers(header or [])
    with interruptible():
        desk = Desk(actor, where)
        sent_id = message_id or str(uuid4())
        actors = desk.target.route(part.strip() for part in route.split(",") if part.strip())
        message = envelope(desk.target.generation, actors, payload, sent_id, headers)
        request = desk.target.request(
            action="send",
            bodies=[json.dumps(message, ensure_ascii=False)],
            wait_for=[sent_id] if wait else [],
            seconds=timeout,
        )
        for event in desk.run(request):
            if event["kind"] == "sent":
                typer.echo(f"sent {event['id']} to {event['queue']}", err=wait)
            elif event["kind"] == "answer":
                raise typer.Exit(_print_answer(event))
    if wait:
        fail(f"no answer within {timeout:g} s; the message may still wait or be processed: kubectl asya peek {actor}")


def _payload(filename: str) -> Any:
    try:
        text = sys.stdin.read() if filename == "-" else Path(filename).read_text()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{filename}: cannot be read: {error}")
    try:
        return json.loads(text)
    except ValueError as error:
        fail(f"{filename}: is not valid JSON: {error}")


def _headers(texts: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for name, sign, _ in pairs:
        if not name or not sign:
            fail(f"--header: must be name=value; found {name + sign!r}", 2)
    return {name: value for name, _, value in pairs}


def _print_answer(event: Event) -> int:
    """Print the payload of an answer. Return the exit code: 1 for an error."""
    from messages.envelope import Message

    message = Message(event["body"].encode(), event["is_dead"])
    typer.echo(json.dumps(message.payload, indent=2, ensure_ascii=False))
    if message.error:
        typer.echo(f"error: {message.actor or 'the route'} failed: {message.summary()}", err=True)
        return 1
    return 0


@grouped
def peek(
    actor: Actor,
    n: Annotated[
        list[str] | None,
        typer.Option("-n", help="Number of messages (5). If not a number: the namespace.", metavar="N"),
    ] = None,
    namespace: Annotated[str, typer.Option("--namespace", help="Its namespace. Default: the context's.")] = "",
    output: Output = "",
    *,
    where: Where,
) -> None:
    """Show messages that wait for an actor. They stay in the queue."""
    as_json = output_is_json(output)
    counts = [int(text) for text in n or () if text.isdigit()]
    namespace = namespace or next((text for text in n or () if not text.isdigit()), "")
    with interruptible():
        desk = Desk(actor, replace(where, namespace=namespace))
        request = desk.target.request(action="peek", count=counts[-1] if counts else 5)
        events = [event for event in desk.run(request) if event["kind"] == "message"]
    _show_messages(events, as_json, f"no messages wait in {desk.target.queue}")


@grouped
def list_dead(
    actor: Actor,
    limit: Annotated[int, typer.Option(min=1, help="Most messages to list.")] = 100,
    results: Annotated[bool, typer.Option("--results", help="List results without an error too.")] = False,
    output: Output = "",
    *,
    selection: Selection,
    where: Where,
) -> None:
    """List failed messages."""
    as_json = output_is_json(output)
    with interruptible():
        desk = Desk(actor, where)
        request = _request(desk, "dead", selection, count=limit, results_too=results)
        events = _messages(desk, request)
    _show_messages(events, as_json, "no such messages")


@grouped
def show(
    actor: Actor,
    message_id: MessageId,
    of: OfActor = "all",
    queue: Queue = None,
    *,
    where: Where,
) -> None:
    """Show the whole content of one failed message."""
    from messages.envelope import Message

    with interruptible():
        desk = Desk(actor, where)
        events = _messages(
            desk, _request(desk, "dead", Selection(of, "", queue), message_id, count=1, results_too=True)
        )
    if not events:
        fail(f"no message {message_id!r} at the end of a route or in a dead-letter queue")
    message = Message(events[0]["body"].encode(), events[0]["is_dead"])
    typer.echo(json.dumps(message.fields, indent=2, ensure_ascii=False) if message.fields else events[0]["body"])
    traceback = message.details.get("traceback")
    if traceback:
        typer.echo(f"\n{traceback}", err=True)


@grouped
def replay(
    actor: Actor,
    message_id: MessageId = "",
    limit: Annotated[int, typer.Option(min=1, help="Most messages to replay.")] = ALL,
    *,
    selection: Selection,
    where: Where,
) -> None:
    """Send failed messages, as they were, to the actors where they failed. Exit code 1 if one is skipped."""
    with interruptible():
        desk = Desk(actor, where)
        counts = _act(desk, _request(desk, "replay", selection, message_id, count=limit), "replayed")
    raise typer.Exit(int(counts["skipped"] > 0))


@grouped
def drop(
    actor: Actor,
    message_id: MessageId = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Most messages to drop.")] = ALL,
    *,
    selection: Selection,
    where: Where,
) -> None:
    """Delete failed messages for ever."""
    if not yes and not sys.stdin.isatty():
        fail("--yes: required without a terminal, because dropped messages cannot be restored", 2)
    with interruptible():
        desk = Desk(actor, where)
        if not yes:
            listed = _messages(desk, _request(desk, "dead", selection, message_id, count=limit))
            if not listed or not typer.confirm(f"Drop {len(listed)} messages for ever?", err=True):
                typer.echo("nothing was dropped", err=True)
                raise typer.Exit(0 if not listed else 1)
            limit = min(limit, len(listed))  # the question did not count messages that arrived after it
        _act(desk, _request(desk, "drop", selection, message_id, count=limit), "dropped")


def _request(
    desk: Desk,
    action: str,
    selection: Selection,
    message_id: str = "",
    **more: Any,
) -> Any:
    """A request about the failed messages of ACTOR, of the actor ``selection.of``, or of all actors."""
    from messages.requests import Filter

    actor = "" if selection.of == "all" else selection.of or desk.target.actor_name
    message_filter = Filter(actor, selection.error, message_id)
    return desk.target.request(action=action, filter=message_filter, extra=selection.queue or [], **more)


def _messages(desk: Desk, request: Any) -> list[Event]:
    """The messages that a request returns. Missing queues are named on standard error."""
    messages = []
    for event in desk.run(request):
        if event["kind"] == "message":
            messages.append(event)
        elif event["kind"] == "missing":
            note(f"there is no queue {event['queue']}")
    return messages


def _act(desk: Desk, request: Any, kind: str) -> dict[str, int]:
    """Print what happens to each message, then a summary. Return the counts of ``kind`` and skipped."""
    counts = {kind: 0, "skipped": 0}
    for event in desk.run(request):
        if event["kind"] == kind:
            counts[kind] += 1
            to = f" to {event['queue']}" if "queue" in event else ""
            typer.echo(f"{kind} {event['id'] or '(no id)'} from {event['from']}{to}")
        elif event["kind"] == "skipped":
            counts["skipped"] += 1
            typer.echo(f"skipped {event['id'] or '(no id)'} in {event['from']}: {event['why']}", err=True)
        elif event["kind"] == "missing":
            note(f"there is no queue {event['queue']}")
    typer.echo(f"{counts[kind]} {kind}" + (f", {counts['skipped']} skipped" if counts["skipped"] else ""), err=True)
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
