"""The cluster that a command connects to, and how a command fails: with one sentence on standard error."""

from typing import Any, NoReturn

import typer


def fail(message: str, code: int = 1) -> NoReturn:
    """Print the message, and end the command with this exit code."""
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code)


def client(kubeconfig: str | None) -> Any:
    """A :class:`kube.client.Client` of the cluster in ``kubeconfig``, else of the cluster in the environment."""
    from kube.client import Client
    from kube.credentials import NoCluster, load_configuration

    try:
        return Client(load_configuration(kubeconfig))
    except NoCluster as error:
        no_cluster(error)


def no_cluster(error: Exception) -> NoReturn:
    """End the command because no configuration names a cluster."""
    fail(f"no cluster to connect to: {str(error).rstrip('.')}. Set KUBECONFIG, or give --kubeconfig")


def current_context(kubeconfig: str | None) -> dict[str, Any]:
    """The current context of a kubeconfig, with its ``name`` and ``context``. Empty if there is none."""
    try:
        import kubernetes.config
    except ImportError:
        return {}  # the operator's image has no such package and reads no kubeconfig

    try:
        _, current = kubernetes.config.list_kube_config_contexts(config_file=kubeconfig)
    except kubernetes.config.ConfigException:
        return {}  # the first request to the cluster reports the missing kubeconfig
    return {**(current or {})}


def own_namespace(kubeconfig: str | None) -> str:
    """The namespace of the current context, or ``default``, as in kubectl."""
    return str((current_context(kubeconfig).get("context") or {}).get("namespace") or "default")
