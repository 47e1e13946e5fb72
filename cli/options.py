"""Options that several commands share: their types, environment variables and help texts.

A dataclass groups options that always come together. :func:`grouped` turns such a parameter into its options.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from kube.throttle import BURST, QPS

Kubeconfig = Annotated[
    str | None, typer.Option(help="Kubeconfig file. Default: the pod's own credentials, or $KUBECONFIG.")
]
LogLevel = Annotated[str, typer.Option(envvar="ASYA_LOG_LEVEL", help="DEBUG, INFO, WARNING or ERROR.")]
LogFormat = Annotated[
    str, typer.Option(envvar="ASYA_LOG_FORMAT", help="json, text, or auto: text on a terminal, else json.")
]
Namespace = Annotated[str, typer.Option(envvar="POD_NAMESPACE", help="The operator's own namespace.")]
MetricsPort = Annotated[int, typer.Option(envvar="ASYA_METRICS_PORT", help="Port of /metrics, /healthz and /readyz.")]
Qps = Annotated[int, typer.Option(envvar="ASYA_CLIENT_QPS", min=1, help="Requests to the API server per second.")]
Burst = Annotated[int, typer.Option(envvar="ASYA_CLIENT_BURST", min=1, help="Requests to the API server at once.")]
LeaseName = Annotated[str, typer.Option(envvar="ASYA_LEASE_NAME", help="Name of the controller's Lease.")]
ObjectsName = Annotated[str, typer.Option(help="Name of the operator's objects (fullnameOverride).")]
ServedFrom = Annotated[str, typer.Option(help="Secret with the webhook's certificate. Default: the chart's Secret.")]
WatchNamespaces = Annotated[
    str,
    typer.Option(envvar="ASYA_WATCH_NAMESPACES", help="Watch only these namespaces, separated by commas. Empty: all."),
]

Files = Annotated[
    list[str], typer.Option("--filename", "-f", help="File to read, or - for standard input. May be repeated.")
]
FilesIfAny = Annotated[
    list[str] | None, typer.Option("--filename", "-f", help="File to read, or - for standard input. May be repeated.")
]
MoreFiles = Annotated[list[str] | None, typer.Argument(help="More files, in addition to -f.")]
ActorFiles = Annotated[
    list[str] | None,
    typer.Option("--actor", help="File with AsyncActors, in addition to those in the input. May be repeated."),
]
ObjectNamespace = Annotated[
    str, typer.Option("--namespace", "-n", help="Namespace of objects that do not name their own.")
]


def output_form(output: str) -> str:
    """Return ``output`` if it is a known form of output.

    Raises:
        typer.BadParameter: if it is neither ``yaml`` nor ``json``.
    """
    if output not in ("yaml", "json"):
        raise typer.BadParameter(f"must be yaml or json; found {output!r}")
    return output


Form = Annotated[str, typer.Option("--output", "-o", callback=output_form, help="yaml or json.")]
Script = Annotated[
    Path | None,
    typer.Option(envvar="ASYA_RUNTIME_LOCAL_PATH", help="Runtime script. Default: the one of this package."),
]
Native = Annotated[bool, typer.Option(help="Whether the cluster runs native sidecars (Kubernetes 1.29 and newer).")]


@dataclass(frozen=True)
class ProcessOptions:
    """The options of both processes, controller and webhook."""

    namespace: Namespace = "asya-system"
    kubeconfig: Kubeconfig = None
    metrics_port: MetricsPort = 8080
    watch_namespaces: WatchNamespaces = ""
    client_qps: Qps = QPS
    client_burst: Burst = BURST
    log_level: LogLevel = "INFO"
    log_format: LogFormat = "auto"

    def settings(self) -> dict[str, Any]:
        """The same settings as arguments for the ``Options`` of a process."""
        return {**vars(self), "watch_namespaces": namespaces(self.watch_namespaces)}


@dataclass(frozen=True)
class InjectionOptions:
    """The options of commands that inject files without a cluster."""

    namespace: ObjectNamespace = "default"
    runtime_script: Script = None
    native_sidecars: Native = True


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take a dataclass of options as one parameter.

    Typer sees each field of the dataclass as an option of the command. If the command declares a parameter with the
    name of a field, that parameter replaces the field's option and also fills the field.
    """
    signature = inspect.signature(command, eval_str=True)
    declared = signature.parameters
    groups: dict[str, Any] = {name: p.annotation for name, p in declared.items() if is_dataclass(p.annotation)}
    parameters: dict[str, inspect.Parameter] = {}
    for name, parameter in declared.items():
        members = inspect.signature(groups[name]).parameters if name in groups else {name: parameter}
        parameters |= {n: p for n, p in members.items() if n not in declared or p is parameter}

    @functools.wraps(command)
    def run(**values: Any) -> None:
        arguments = {name: value for name, value in values.items() if name in declared}
        for name, group in groups.items():
            arguments[name] = group(**{field.name: values[field.name] for field in fields(group)})
        command(**arguments)

    keyword_only = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters.values()]
    run.__annotations__ = {p.name: p.annotation for p in keyword_only}
    run.__signature__ = signature.replace(parameters=keyword_only)  # type: ignore[attr-defined]
    return run


def namespaces(text: str) -> tuple[str, ...]:
    """The names in a list that is separated by commas, each once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
