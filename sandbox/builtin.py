"""The built-in resources: their names, defaults and validation rules, as far as an operator of workloads needs them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.selectors import matches

Object = dict[str, Any]


@dataclass(frozen=True)
class ResourceType:
    """A kind of object that the API serves."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    schema: Any = None
    columns: tuple[Any, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """``group/version``, or the version alone for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """``plural.group``, as in the API server's messages."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


ALL = ("Pod", "Service", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob")
"""The kinds that ``kubectl get all`` shows."""


def _types(group: str, version: str, *rows: tuple[str, str, str, str], namespaced: bool = True) -> list[ResourceType]:
    return [
        ResourceType(
            group,
            version,
            plural,
            kind,
            namespaced,
            tuple(short.split()),
            tuple(subresources.split()),
            categories=("all",) if kind in ALL else (),
        )
        for plural, kind, short, subresources in rows
    ]


BUILTIN: list[ResourceType] = [
    *_types(
        "",
        "v1",
        ("namespaces", "Namespace", "ns", "status"),
        ("nodes", "Node", "no", "status"),
        namespaced=False,
    ),
    *_types(
        "",
        "v1",
        ("pods", "Pod", "po", "status"),
        ("configmaps", "ConfigMap", "cm", ""),
        ("secrets", "Secret", "", ""),
        ("events", "Event", "ev", ""),
        ("services", "Service", "svc", "status"),
        ("serviceaccounts", "ServiceAccount", "sa", ""),
        ("persistentvolumeclaims", "PersistentVolumeClaim", "pvc", "status"),
    ),
    *_types(
        "apps",
        "v1",
        ("deployments", "Deployment", "deploy", "status scale"),
        ("statefulsets", "StatefulSet", "sts", "status scale"),
        ("daemonsets", "DaemonSet", "ds", "status"),
        ("replicasets", "ReplicaSet", "rs", "status scale"),
    ),
    *_types("batch", "v1", ("jobs", "Job", "", "status"), ("cronjobs", "CronJob", "cj", "status")),
    *_types("coordination.k8s.io", "v1", ("leases", "Lease", "", "")),
    *_types("autoscaling", "v2", ("horizontalpodautoscalers", "HorizontalPodAutoscaler", "hpa", "status")),
    *_types("policy", "v1", ("poddisruptionbudgets", "PodDisruptionBudget", "pdb", "status")),
    *_types("networking.k8s.io", "v1", ("networkpolicies", "NetworkPolicy", "netpol", "")),
    *_types("rbac.authorization.k8s.io", "v1", ("roles", "Role", "", ""), ("rolebindings", "RoleBinding", "", "")),
    *_types(
        "rbac.authorization.k8s.io",
        "v1",
        ("clusterroles", "ClusterRole", "", ""),
        ("clusterrolebindings", "ClusterRoleBinding", "", ""),
        namespaced=False,
    ),
    *_types(
        "admissionregistration.k8s.io",
        "v1",
        ("mutatingwebhookconfigurations", "MutatingWebhookConfiguration", "", ""),
        ("validatingwebhookconfigurations", "ValidatingWebhookConfiguration", "", ""),
        namespaced=False,
    ),
    *_types(
        "apiextensions.k8s.io",
        "v1",
        ("customresourcedefinitions", "CustomResourceDefinition", "crd crds", "status"),
        namespaced=False,
    ),
]

TEMPLATES: dict[str, tuple[str, ...]] = {
    "Deployment": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}


def template_of(obj: Object) -> Any:
    """The pod template of a built-in workload, or None. A Pod is its own template."""
    if obj["kind"] == "Pod":
        return obj
    node: Any = obj
    for part in TEMPLATES.get(obj["kind"], ("absent",)):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def default(obj: Object) -> None:
    """Set the API server's defaults in ``obj`` itself."""
    kind, spec = (
        obj["kind"],
        obj.setdefault("spec", {}) if obj["kind"] in _DEFAULTS else obj.get("spec") or {},
    )
    if kind in _DEFAULTS:
        _DEFAULTS[kind](spec)
    template = template_of(obj)
    if isinstance(template, dict):
        if isinstance(template.get("spec"), dict):
            _default_pod_spec(template["spec"])
        _drop_empty(obj)


def _deployment(spec: Object) -> None:
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {"maxUnavailable": "25%", "maxSurge": "25%"})


def _stateful_set(spec: Object) -> None:
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("podManagementPolicy", "OrderedReady")
    strategy = spec.setdefault("updateStrategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {"partition": 0})
    spec.setdefault("persistentVolumeClaimRetentionPolicy", {"whenDeleted": "Retain", "whenScaled": "Retain"})
    for claim in spec.get("volumeClaimTemplates") or ():
        claim.setdefault("apiVersion", "v1")
        claim.setdefault("kind", "PersistentVolumeClaim")
        claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
        claim.setdefault("status", {}).setdefault("phase", "Pending")


def _job(spec: Object) -> None:
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed")


_DEFAULTS: dict[str, Callable[[Object], None]] = {
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "ReplicaSet": lambda spec: (spec.setdefault("replicas", 1), None)[1],
    "Job": _job,
    "CronJob": lambda spec: (spec.setdefault("suspend", False), None)[1],
}


def _default_pod_spec(spec: Object) -> None:
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    for place in ("containers", "initContainers"):
        for container in spec.get(place) or ():
            container.setdefault("resources", {})
            container.setdefault("terminationMessagePath", "/dev/termination-log")
            container.setdefault("terminationMessagePolicy", "File")
            image = container.get("image", "")
            latest = image.endswith(":latest") or ":" not in image.rpartition("/")[2]
            container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
            for port in container.get("ports") or ():
                port.setdefault("protocol", "TCP")
            for variable in container.get("env") or ():
                if variable.get("value") == "":
                    del variable["value"]
    for volume in spec.get("volumes") or ():
        for source in ("configMap", "secret", "projected"):
            if source in volume:
                volume[source].setdefault("defaultMode", 420)


_KEPT_EMPTY = frozenset({"emptyDir", "securityContext", "resources", "data", "matchLabels", "podSelector", "selector"})


def _drop_empty(node: Any, name: str = "") -> None:
    """Drop null values and empty lists and maps, as the API server's ``omitempty`` does."""
    if isinstance(node, dict):
        for key in [k for k in node if k != "managedFields"]:
            _drop_empty(node[key], key)
            if node[key] is None or (node[key] in ({}, []) and key not in _KEPT_EMPTY and key != "spec"):
                del node[key]
    elif isinstance(node, list):
        for item in node:
            _drop_empty(item)


_LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([\w.-]*[A-Za-z0-9])?)?$", re.ASCII)
_NAME = re.compile(r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")


def faults(obj: Object, old: Object | None) -> list[str]:
    """One sentence for each broken rule. It starts with the field's path."""
    broken = _metadata_faults(obj["metadata"], "metadata")
    spec = obj.get("spec") or {}
    template = template_of(obj)
    if obj["kind"] in TEMPLATES or obj["kind"] == "Pod":
        path = "" if obj["kind"] == "Pod" else ".".join(TEMPLATES[obj["kind"]]) + "."
        broken += _template_faults(template, path, pod=obj["kind"] == "Pod")
    if obj["kind"] in ("Deployment", "StatefulSet", "ReplicaSet", "DaemonSet"):
        selector = spec.get("selector")
        labels = ((template or {}).get("metadata") or {}).get("labels") or {}
        if not selector:
            broken.append("spec.selector: Required value")
        elif not matches(selector, labels):
            broken.append(
                f"spec.template.metadata.labels: Invalid value: {labels}: `selector` does not match template `labels`"
            )
        if old and (old.get("spec") or {}).get("selector") != selector:
            broken.append("spec.selector: Invalid value: field is immutable")
    if obj["kind"] == "Job":
        if ((template or {}).get("spec") or {}).get("restartPolicy") not in ("Never", "OnFailure"):
            broken.append('spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"')
        if old and (old.get("spec") or {}).get("template") != template:
            broken.append("spec.template: Invalid value: field is immutable")
    if obj["kind"] == "StatefulSet" and old:
        mutable = {
            "replicas",
            "ordinals",
            "template",
            "updateStrategy",
            "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds",
        }
        before = old.get("spec") or {}
        if any(spec.get(k) != before.get(k) for k in (set(spec) | set(before)) - mutable):
            broken.append(
                "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', "
                "'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' "
                "and 'minReadySeconds' are forbidden"
            )
    return broken


def _metadata_faults(metadata: Object, path: str) -> list[str]:
    broken = []
    name = metadata.get("name", "")
    if path == "metadata" and (not _NAME.match(name) or len(name) > 253):
        broken.append(
            f'metadata.name: Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case '
            "alphanumeric characters, '-' or '.'"
        )
    for key, value in (metadata.get("labels") or {}).items():
        if not isinstance(value, str) or not _LABEL_VALUE.match(value) or len(value) > 63:
            broken.append(
                f'{path}.labels: Invalid value: "{value}": a valid label must be at most 63 characters of '
                f"alphanumerics, '-', '_' or '.' (key {key})"
            )
    return broken


def _template_faults(template: Any, path: str, *, pod: bool) -> list[str]:
    if not isinstance(template, dict):
        return [f"{path.rstrip('.')}: Required value"]
    broken = [] if pod else _metadata_faults(template.get("metadata") or {}, f"{path}metadata")
    spec = template.get("spec") or {}
    volumes = {v.get("name") for v in spec.get("volumes") or ()}
    names: set[str] = set()
    if not spec.get("containers"):
        broken.append(f"{path}spec.containers: Required value")
    for place in ("initContainers", "containers"):
        for i, container in enumerate(spec.get(place) or ()):
            here = f"{path}spec.{place}[{i}]"
            name = container.get("name")
            if not name:
                broken.append(f"{here}.name: Required value")
            if name in names:
                broken.append(f'{here}.name: Duplicate value: "{name}"')
            names.add(name)
            if not container.get("image"):
                broken.append(f"{here}.image: Required value")
            for n, mount in enumerate(container.get("volumeMounts") or ()):
                # Only in a Pod: a StatefulSet's claims are volumes too, but are not in its template.
                if pod and mount.get("name") not in volumes:
                    broken.append(f'{here}.volumeMounts[{n}].name: Not found: "{mount.get("name")}"')
    return broken
