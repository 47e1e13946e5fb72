"""``lint``: reports the problems that admission, and later the status, would report. It needs no cluster."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import typer

from cli.broker import Output, output_is_json
from cli.loading import load
from cli.options import Files, InjectionOptions, grouped

Object = dict[str, Any]


@dataclass(frozen=True)
class Finding:
    """One error or warning."""

    level: Literal["error", "warning"]
    message: str


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(lint)


@grouped
def lint(
    filename: Files,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with code 1 for warnings too.")] = False,
    output: Output = "",
    *,
    options: InjectionOptions,
) -> None:
    """Report what admission and the status would say about files. Exit code 1 if there is an error."""
    as_json = output_is_json(output)
    offline, documents = load(filename, [], options)
    findings = list(findings_of(offline, documents))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
    for finding in () if as_json else findings:
        colour = "red" if finding.level == "error" else "yellow"
        typer.echo(f"{typer.style(finding.level, fg=colour)}: {finding.message}")
    errors = sum(finding.level == "error" for finding in findings)
    warnings = len(findings) - errors
    typer.echo(f"{len(offline.actors)} actors: {errors} errors, {warnings} warnings", err=True)
    raise typer.Exit(int(errors > 0 or (strict and warnings > 0)))


def findings_of(offline: Any, documents: list[Any]) -> Iterator[Finding]:
    """Every finding once: those of admission first, then those of the status."""
    offline.rendered(documents)
    yield from (Finding("error", text) for text in dict.fromkeys(offline.errors))
    yield from (Finding("warning", text) for text in dict.fromkeys(offline.warnings))
    objects = [obj for document in documents for _, obj in document.objects()]
    for actor in offline.actors.values():
        yield from _of_status(actor, offline.defaults, objects)


def _of_status(actor: Any, defaults: Any, objects: list[Object]) -> Iterator[Finding]:
    """The findings that the conditions QueueConsumed and WorkloadReady would report."""
    from controller.rules.queues import queue_verdict
    from controller.rules.remedies import remedy
    from crds.names import LABEL_ACTOR

    name = f"AsyncActor {actor.metadata.name!r}"
    queue = queue_verdict(actor, defaults)
    if queue.status == "False":
        yield Finding("error", f"{name}: {queue.reason}: {queue.message}")
    workload = actor.spec.workload
    if workload.template is not None:
        return
    borrowed = next((obj for obj in objects if _is(obj, workload.type, workload.name, actor.metadata.namespace)), None)
    if borrowed is None:
        text = (
            f"spec.workload.name: there is no {workload.type} {workload.name!r} in the files; the cluster must have it"
        )
        yield Finding("warning", f"{name}: {text}")
    elif (borrowed["metadata"].get("labels") or {}).get(LABEL_ACTOR) != actor.metadata.name:
        text = remedy("WorkloadNotLabelled", kind=workload.type.lower(), name=workload.name, actor=actor.metadata.name)
        yield Finding("error", f"{name}: WorkloadNotLabelled: {text}")


def _is(obj: Object, kind: str, name: str, namespace: str) -> bool:
    """Whether ``obj`` is the object with this kind, name and namespace."""
    metadata = obj.get("metadata")
    if obj.get("kind") != kind or not isinstance(metadata, dict) or metadata.get("name") != name:
        return False
    return metadata.get("namespace") in (None, namespace)
