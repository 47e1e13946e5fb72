"""Builds the webhook configurations for a webhook outside the cluster, from the same file that the chart uses."""

from pathlib import Path
from typing import Any, Final

import yaml

NAME = "asya-operator"
SOURCE: Final = Path(__file__).with_name("configurations.yaml")
"""The file with the rules for when the API server calls the webhook. The chart has a copy."""

KINDS: Final = {
    "MutatingWebhookConfiguration": ("mutating", "/mutate"),
    "ValidatingWebhookConfiguration": ("validating", "/validate"),
}
"""For each kind: its section in :data:`SOURCE`, and the webhook's path."""


def configurations(
    client_config: dict[str, Any], *, excluded_namespaces: list[str], match_conditions: bool
) -> list[dict[str, Any]]:
    """Return the mutating and the validating configuration.

    Args:
        client_config: the ``clientConfig`` without the path: ``url`` or ``service``, and ``caBundle``.
        excluded_namespaces: namespaces whose objects the API server must not send to the webhook.
        match_conditions: whether the API server supports ``matchConditions`` (Kubernetes 1.30 and newer).
    """
    sections = yaml.safe_load(SOURCE.read_text())
    namespaces = sorted({"kube-system", *excluded_namespaces})
    excluded = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": namespaces}
    sections["mutating"]["namespaceSelector"] = {"matchExpressions": [excluded]}
    if not match_conditions:
        del sections["mutating"]["matchConditions"]
    return [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": NAME},
            "webhooks": [{**sections[section], "clientConfig": _with_path(client_config, path)}],
        }
        for kind, (section, path) in KINDS.items()
    ]


def _with_path(client_config: dict[str, Any], path: str) -> dict[str, Any]:
    if "url" in client_config:
        return {**client_config, "url": client_config["url"].rstrip("/") + path}
    return {**client_config, "service": {**client_config["service"], "path": path}}
