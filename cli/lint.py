"""``lint``: all that admission, and later the status, would say of files, without a cluster."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import typer

from cli.options import Files, InNamespace, Native, Script

Object = dict[str, Any]
Load = Any


@dataclass(frozen=True)
class Finding:
    """One thing to mend or to know."""

    level: Literal["error", "warning"]
    message: str


def register(app: typer.Typer, load: Load) -> None:
    """Add the command to ``app``; ``load`` reads files and knows the settings."""

    @app.command()
    def lint(
        filename: Files,
        namespace: InNamespace = "default",
        strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 for warnings too.")] = False,
        output: Annotated[str, typer.Option("--output", "-o", help="json; for people without it.")] = "",
        runtime_script: Script = None,
        native_sidecars: Native = True,
    ) -> None:
        """Say what admission and the status would say of files; exit code 1 if there is an error."""
        from cli.broker import output_is_json

        as_json = output_is_json(output)
        offline, documents = load(filename, [], namespace, runtime_script, native_sidecars)
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
    """What is wrong, each thing once: as admission says it, then as the status would."""
    offline.rendered(documents)
    yield from (Finding("error", text) for text in dict.fromkeys(offline.errors))
    yield from (Finding("warning", text) for text in dict.fromkeys(offline.warnings))
    objects = [obj for document in documents for _, obj in document.objects()]
    for actor in offline.actors.values():
        yield from _of_status(actor, offline.defaults, objects)


def _of_status(actor: Any, defaults: Any, objects: list[Object]) -> Iterator[Finding]:
    """What the conditions QueueConsumed and WorkloadReady would say."""
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
            f"spec.workload.name: there is no {workload.type} {workload.name!r} in the files; it must be there already"
        )
        yield Finding("warning", f"{name}: {text}")
    elif (borrowed["metadata"].get("labels") or {}).get(LABEL_ACTOR) != actor.metadata.name:
        text = remedy("WorkloadNotLabelled", kind=workload.type.lower(), name=workload.name, actor=actor.metadata.name)
        yield Finding("error", f"{name}: WorkloadNotLabelled: {text}")


def _is(obj: Object, kind: str, name: str, namespace: str) -> bool:
    metadata = obj.get("metadata")
    if obj.get("kind") != kind or not isinstance(metadata, dict) or metadata.get("name") != name:
        return False
    return metadata.get("namespace") in (None, namespace)
