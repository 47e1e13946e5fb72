"""The clusters that the tests on a node may use. They install and remove cluster-wide objects."""

import os
import shutil
import subprocess

THROW_AWAY = ("kind-", "minikube")
"""Prefixes of contexts whose clusters are made to be deleted."""


def current() -> str:
    """The current context of kubectl. Empty if there is none."""
    if shutil.which("kubectl") is None:
        return ""
    command = ["kubectl", "config", "current-context"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def why_not(context: str, named: str) -> str:
    """Why the tests may not use the cluster of ``context``. Empty if they may. ``named`` is E2E_CONTEXT."""
    if shutil.which("kubectl") is None:
        return "kubectl is not installed"
    if not context:
        return (
            "kubectl has no current context; start a throw-away cluster (kind create cluster, minikube start), "
            "or name the context of another in E2E_CONTEXT"
        )
    if context.startswith(THROW_AWAY) or context == named:
        return ""
    return (
        f"the current context is {context!r}, neither kind nor minikube; the tests install and remove cluster-wide "
        f"objects: set E2E_CONTEXT={context} if this cluster may be used for that"
    )


def refusal() -> str:
    """Why the tests may not use the current context. Empty if they may."""
    return why_not(current(), os.environ.get("E2E_CONTEXT", ""))
