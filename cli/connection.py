"""The cluster that a command asks, and how a command fails: by one sentence on standard error."""

from typing import Any, NoReturn

import typer


def fail(message: str, code: int = 1) -> NoReturn:
    """Print the sentence, and end."""
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code)


def client(kubeconfig: str | None) -> Any:
    """A :class:`kube.client.Client` of the cluster that ``kubeconfig`` names, or else the environment."""
    from kube.client import Client
    from kube.credentials import NoCluster, load_configuration

    try:
        return Client(load_configuration(kubeconfig))
    except NoCluster as error:
        no_cluster(error)


def no_cluster(error: Exception) -> NoReturn:
    """Say that no configuration names a cluster, and end."""
    fail(f"no cluster to ask: {str(error).rstrip('.')}. Set KUBECONFIG, or give --kubeconfig")


def current_context(kubeconfig: str | None) -> dict[str, Any]:
    """The current context of a kubeconfig, with its ``name`` and ``context``; empty where there is none."""
    try:
        import kubernetes.config
    except ImportError:
        return {}  # as in the operator's image, which reads no kubeconfig

    try:
        _, current = kubernetes.config.list_kube_config_contexts(config_file=kubeconfig)
    except kubernetes.config.ConfigException:
        return {}  # whoever asks the cluster says that there is none
    return {**(current or {})}


def own_namespace(kubeconfig: str | None) -> str:
    """The namespace that the current context names, as kubectl takes it."""
    return str((current_context(kubeconfig).get("context") or {}).get("namespace") or "default")
