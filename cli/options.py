"""Options that several commands have: one place for their variables and help."""

from pathlib import Path
from typing import Annotated

import typer

Kubeconfig = Annotated[
    str | None, typer.Option(help="Kubeconfig file; the pod's own credentials or $KUBECONFIG without it.")
]
LogLevel = Annotated[str, typer.Option(envvar="ASYA_LOG_LEVEL", help="DEBUG, INFO, WARNING or ERROR.")]
LogFormat = Annotated[
    str, typer.Option(envvar="ASYA_LOG_FORMAT", help="json, text, or auto: text on a terminal, else json.")
]
Namespace = Annotated[str, typer.Option(envvar="POD_NAMESPACE", help="The operator's own namespace.")]
MetricsPort = Annotated[int, typer.Option(envvar="ASYA_METRICS_PORT", help="Port of /metrics, /healthz and /readyz.")]
Qps = Annotated[int, typer.Option(envvar="ASYA_CLIENT_QPS", min=1, help="Requests to the API server a second.")]
Burst = Annotated[int, typer.Option(envvar="ASYA_CLIENT_BURST", min=1, help="Requests to the API server at once.")]
LeaseName = Annotated[str, typer.Option(envvar="ASYA_LEASE_NAME", help="Name of the controllers' Lease.")]
ObjectsName = Annotated[str, typer.Option(help="Name of the operator's objects (fullnameOverride).")]
ServedFrom = Annotated[str, typer.Option(help="Secret that the webhook serves from; that of the chart without it.")]
WatchNamespaces = Annotated[
    str,
    typer.Option(envvar="ASYA_WATCH_NAMESPACES", help="Only these namespaces, with commas between; all if empty."),
]

Files = Annotated[
    list[str], typer.Option("--filename", "-f", help="File to read, or - for standard input; may be repeated.")
]
InNamespace = Annotated[str, typer.Option("--namespace", "-n", help="Namespace of objects that do not say theirs.")]


def output_form(output: str) -> str:
    """``output``, if it is a form of output."""
    if output not in ("yaml", "json"):
        raise typer.BadParameter(f"must be yaml or json; found {output!r}")
    return output


Form = Annotated[str, typer.Option("--output", "-o", callback=output_form, help="yaml or json.")]
Script = Annotated[
    Path | None, typer.Option(envvar="ASYA_RUNTIME_LOCAL_PATH", help="Runtime script; the one shipped without it.")
]
Native = Annotated[bool, typer.Option(help="Whether the cluster runs native sidecars (Kubernetes 1.29).")]


def namespaces(text: str) -> tuple[str, ...]:
    """The names in a list with commas."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
