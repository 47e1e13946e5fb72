"""The webhook configurations: what the API server is told to ask us about, and when.

They are as narrow as can be, since a webhook that is asked and does not answer stops what it is
asked about: only labelled objects, never kube-system or the operator's own namespace, and, on
Kubernetes 1.30 and newer, no pod whose template was injected already, and nothing that is being
deleted: to take a finalizer off must not depend on us.
"""

from typing import Any

from crds.names import ANNOTATION_INJECTED, API_VERSION, GROUP, LABEL_ACTOR, PLURAL
from injection.kinds import KINDS

NAME = "asya-operator"

SKIP_INJECTED = {
    "name": "not-injected-already",
    "expression": "request.resource.resource != 'pods' || !has(object.metadata.annotations) || "
    f"!('{ANNOTATION_INJECTED}' in object.metadata.annotations)",
}

SKIP_DELETED = {"name": "not-being-deleted", "expression": "!has(object.metadata.deletionTimestamp)"}

VERSIONS = {"keda.sh": "v1alpha1"}


def configurations(
    client_config: dict[str, Any], *, excluded_namespaces: list[str], match_conditions: bool
) -> list[dict[str, Any]]:
    """The mutating and the validating configuration.

    Args:
        client_config: their ``clientConfig``, without the path: ``url`` or ``service``, and ``caBundle``.
        excluded_namespaces: namespaces that are never asked about.
        match_conditions: whether the API server has ``matchConditions`` (Kubernetes 1.30).
    """
    rules = []
    for group in dict.fromkeys(group for group, _ in KINDS):
        resources = [resource for g, resource in KINDS if g == group]
        rules.append(
            {
                "apiGroups": [group],
                "apiVersions": [VERSIONS.get(group, "v1")],
                "operations": ["CREATE"] if resources == ["pods"] else ["CREATE", "UPDATE"],
                "resources": resources,
                "scope": "Namespaced",
            }
        )
    common = {"sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 5}
    mutating = {
        "name": f"inject.{GROUP}",
        "clientConfig": _with_path(client_config, "/mutate"),
        "rules": rules,
        "objectSelector": {"matchExpressions": [{"key": LABEL_ACTOR, "operator": "Exists"}]},
        "namespaceSelector": {
            "matchExpressions": [
                {
                    "key": "kubernetes.io/metadata.name",
                    "operator": "NotIn",
                    "values": sorted({"kube-system", *excluded_namespaces}),
                }
            ]
        },
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "reinvocationPolicy": "IfNeeded",
        **common,
        **({"matchConditions": [SKIP_INJECTED, SKIP_DELETED]} if match_conditions else {}),
    }
    validating = {
        "name": f"validate.{GROUP}",
        "clientConfig": _with_path(client_config, "/validate"),
        "rules": [
            {
                "apiGroups": [GROUP],
                "apiVersions": [API_VERSION.rpartition("/")[2]],
                "operations": ["CREATE", "UPDATE"],
                "resources": [PLURAL],
                "scope": "Namespaced",
            }
        ],
        # The CRD's schema and CEL rules hold without us, and the controller reports what they let through.
        "failurePolicy": "Ignore",
        "matchPolicy": "Equivalent",
        **common,
    }
    return [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": NAME},
            "webhooks": [hook],
        }
        for kind, hook in (
            ("MutatingWebhookConfiguration", mutating),
            ("ValidatingWebhookConfiguration", validating),
        )
    ]


def _with_path(client_config: dict[str, Any], path: str) -> dict[str, Any]:
    if "url" in client_config:
        return {**client_config, "url": client_config["url"].rstrip("/") + path}
    return {**client_config, "service": {**client_config["service"], "path": path}}
