"""Converts an actor of another operator into an AsyncActor of this one, and lists fields without a counterpart.

Two operators have a kind AsyncActor in the group ``asya.sh``. The Go operator (images 0.1 to 0.4) has a pod template
in ``spec.workload``; ``spec.transport`` names one of its chart's transports. The later Crossplane composition has the
fields of one container in ``spec`` and takes the transport from the composition.
The conversion removes each converted field from the source. Fields that remain have no counterpart.
"""

import copy
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from crds.names import ANNOTATION_LAST_APPLIED
from crds.shape import Shape, shape_fault
from crds.transport import aws_host

Object = dict[str, Any]

GROUP = "asya.sh"
KINDS = ("AsyncActor", "XAsyncActor")
SCRIPT = "/opt/asya/asya_runtime.py"
_SERVER_METADATA = frozenset(
    "creationTimestamp finalizers generation managedFields ownerReferences resourceVersion selfLink uid".split()
)
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
_HINTS = {
    "spec.scaling.advanced": "KEDA's formulas: write them as spec.scaling.triggers, or leave them out",
    "spec.stateProxy": "add the proxy as a container of spec.workload.template with the mounts that it needs",
    "spec.flavors": "write the fields of these flavors into the actor",
    "spec.resiliency.retry.backoffCoefficient": "an exponential backoff doubles the delay",
}


class _Pod(Shape, total=False):
    containers: list[Object] | None


class _Template(Shape, total=False):
    spec: _Pod | None


class _Workload(Shape, total=False):
    template: _Template | None
    pythonExecutable: str | None


class _Secret(Shape, total=False):
    keys: list[Object] | None


class _Retry(Shape, total=False):
    maxAttempts: int | None


class _Resiliency(Shape, total=False):
    retry: _Retry | None
    actorTimeout: str | None


class _Spec(Shape, total=False):
    """Fields whose types the conversion relies on. The resulting actor's validation checks all other fields."""

    transport: str | None
    workload: _Workload | None
    pythonExecutable: str | None
    env: list[Object] | None
    secretRefs: list[_Secret] | None
    resiliency: _Resiliency | None


class _Metadata(Shape, total=False):
    annotations: Object | None


class _Entry(Shape, total=False):
    config: Object | None


class _Operator(Shape, total=False):
    transports: dict[str, _Entry] | None


class _Values(Shape, total=False):
    operator: _Operator | None
    transports: dict[str, _Entry] | None


_SPEC: TypeAdapter[_Spec] = TypeAdapter(_Spec)
_METADATA: TypeAdapter[_Metadata | None] = TypeAdapter(_Metadata | None)
_VALUES: TypeAdapter[_Values] = TypeAdapter(_Values)


class NotConvertible(ValueError):
    """An actor that cannot be converted; the message names the field and says what to do."""


@dataclass(frozen=True)
class Converted:
    """The actor, and notes on changed or dropped fields, each as ``field: what happened to it``."""

    actor: Object
    notes: tuple[str, ...]


class _Source:
    """The fields of an object that are not yet converted."""

    def __init__(self, spec: Object) -> None:
        self._spec = copy.deepcopy(spec)

    def take(self, path: str, default: Any = None) -> Any:
        """Remove the field at a dotted path and return it."""
        *parents, last = path.split(".")
        at: Any = self._spec
        for name in parents:
            at = at.get(name) if isinstance(at, dict) else None
        return at.pop(last, default) if isinstance(at, dict) else default

    def has(self, path: str) -> bool:
        """Whether the field at a dotted path exists and is not yet converted."""
        at: Any = self._spec
        for name in path.split("."):
            if not isinstance(at, dict) or name not in at:
                return False
            at = at[name]
        return True

    def remaining(self) -> Iterator[str]:
        """The fields that are not converted, without empty ones."""
        yield from _paths(self._spec, "spec")


def _paths(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict) and path not in _HINTS:
        for name, inner in value.items():
            yield from _paths(inner, f"{path}.{name}")
    elif value not in (None, {}, []):
        yield path


def is_foreign(obj: Mapping[str, Any]) -> bool:
    """Whether an object is another operator's actor."""
    return str(obj.get("apiVersion", "")).partition("/")[0] == GROUP and obj.get("kind") in KINDS


def convert(obj: Mapping[str, Any], transports: Mapping[str, Object]) -> Converted:
    """Convert another operator's actor.

    Args:
        obj: the actor, for which :func:`is_foreign` holds.
        transports: by name, each a ``spec.transport`` of an AsyncActor (:func:`transports_of`).

    Raises:
        NotConvertible: if its transport is not in ``transports``, or the actor has neither of the two forms.
    """
    spec = obj.get("spec")
    mistake = shape_fault(spec, _SPEC, "spec") or shape_fault(obj.get("metadata"), _METADATA, "metadata")
    if mistake:
        raise NotConvertible(str(mistake))
    assert isinstance(spec, dict)
    source = _Source(spec)
    if spec.get("workload"):
        name, converted = str(source.take("transport", "")), _from_template(source)
    elif "image" in spec:
        name, converted = _transport_of_composition(source, transports), _from_container(source)
    else:
        raise NotConvertible(
            "spec: must have a workload (Go operator) or an image (Crossplane composition); it has neither"
        )
    if name not in transports:
        known = ", ".join(sorted(transports)) or "none"
        raise NotConvertible(
            f"spec.transport: {name or 'none'!r} is not in the file of --transports (found: {known}); "
            "give a file with the values of the old chart, or with one spec.transport for each name"
        )
    metadata, notes = _metadata(obj.get("metadata") or {}, source)
    actor = {
        "apiVersion": "asya.io/v1alpha1",
        "kind": "AsyncActor",
        "metadata": metadata,
        "spec": {"transport": copy.deepcopy(transports[name]), **converted},
    }
    dropped = [
        f"{path}: no counterpart, dropped" + (f"; {_HINTS[path]}" if path in _HINTS else "")
        for path in source.remaining()
    ]
    return Converted(actor, (*notes, *dropped))


def _metadata(metadata: Mapping[str, Any], source: _Source) -> tuple[Object, list[str]]:
    """Name, namespace, labels and annotations, without the fields that a server writes."""
    kept = {name: value for name, value in metadata.items() if name not in _SERVER_METADATA}
    annotations = {
        name: value for name, value in (kept.pop("annotations", None) or {}).items() if name != ANNOTATION_LAST_APPLIED
    }
    if annotations:
        kept["annotations"] = annotations
    actor = source.take("actor")
    if actor is None or actor == kept.get("name"):
        return kept, []
    note = f"metadata.name: changed from {kept.get('name')!r} to {actor!r}, because an actor has the name of its queue"
    return {**kept, "name": actor}, [note]


def _from_template(source: _Source) -> Object:
    """The spec of an actor of the Go operator, without its transport."""
    template = source.take("workload.template") or {}
    python = source.take("workload.pythonExecutable") or "python3"
    for container in (template.get("spec") or {}).get("containers") or ():
        if container.get("name") == "asya-runtime":
            container["name"] = "runtime"
            if python != "python3":
                container.setdefault("command", [python, SCRIPT])
    workload = {"type": source.take("workload.kind", "Deployment"), "replicas": source.take("workload.replicas")}
    scaling = {name: source.take(f"scaling.{name}") for name in ("enabled", "minReplicas", "maxReplicas")}
    scaling |= {name: source.take(f"scaling.{name}") for name in ("pollingInterval", "cooldownPeriod", "queueLength")}
    timeout = {name: source.take(f"timeout.{name}") for name in ("processing", "gracefulShutdown")}
    return _non_empty(
        sidecar=_sidecar(source),
        timeout=_non_empty(**timeout),
        scaling=_non_empty(**scaling),
        workload={**_non_empty(**workload), "template": template},
    )


def _from_container(source: _Source) -> Object:
    """The spec of an actor of the Crossplane composition, without its transport."""
    python, handler = source.take("pythonExecutable") or "python3", source.take("handler")
    secrets = [
        {
            "name": key.get("envVar"),
            "valueFrom": {"secretKeyRef": {"name": ref.get("secretName"), "key": key.get("key")}},
        }
        for ref in source.take("secretRefs") or ()
        for key in ref.get("keys") or ()
    ]
    container = _non_empty(
        name="runtime",
        image=source.take("image"),
        imagePullPolicy=source.take("imagePullPolicy"),
        command=[python, SCRIPT] if python != "python3" else None,
        env=[{"name": "ASYA_HANDLER", "value": handler}, *(source.take("env") or ()), *secrets],
        resources=source.take("resources"),
        volumeMounts=source.take("volumeMounts"),
    )
    pod = {name: source.take(name) for name in ("nodeSelector", "tolerations", "volumes")}
    replicas = source.take("replicas")
    scaling = {
        "enabled": source.take("scaling.enabled", True),
        "minReplicas": source.take("scaling.minReplicaCount", 0),
        "maxReplicas": source.take("scaling.maxReplicaCount", 10),
        "pollingInterval": source.take("scaling.pollingInterval", 30),
        "cooldownPeriod": source.take("scaling.cooldownPeriod", 300),
        "queueLength": source.take("scaling.queueLength", 5),
        "triggers": source.take("scaling.additionalTriggers"),
    }
    seconds = duration_seconds(source.take("resiliency.actorTimeout"))
    workload = _non_empty(type="Deployment", replicas=None if scaling["enabled"] else replicas)
    return _non_empty(
        sidecar=_sidecar(source),
        resiliency=_resiliency(source),
        timeout=_non_empty(processing=seconds),
        scaling=_non_empty(**scaling) if scaling["enabled"] else {},
        workload={**workload, "template": {"spec": {"containers": [container], **_non_empty(**pod)}}},
    )


def _sidecar(source: _Source) -> Object:
    return _non_empty(
        **{name: source.take(f"sidecar.{name}") for name in ("image", "imagePullPolicy", "resources", "env")}
    )


def _resiliency(source: _Source) -> Object:
    """Retries as policies. The source counts only attempts after the first; a policy counts all attempts."""
    policies: Object = {}
    if source.has("resiliency.retry"):
        retries = source.take("resiliency.retry.maxAttempts")
        policies["default"] = {
            "maxAttempts": (3 if retries is None else retries) + 1,
            "backoff": source.take("resiliency.retry.policy", "exponential"),
            "initialDelay": source.take("resiliency.retry.initialInterval", "1s"),
            "maxInterval": source.take("resiliency.retry.maxInterval", "300s"),
            "jitter": source.take("resiliency.retry.jitter", True),
        }
    errors = source.take("resiliency.nonRetryableErrors")
    if errors:
        policies["no-retry"] = {"maxAttempts": 1}
    return _non_empty(policies=policies, rules=[{"errors": errors, "policy": "no-retry"}] if errors else None)


def duration_seconds(text: str | None) -> int | None:
    """A Go duration such as ``1m30s`` in whole seconds, rounded up. None stays None.

    Raises:
        NotConvertible: if the text is not a duration.
    """
    if text is None:
        return None
    parts = re.findall(r"([0-9.]+)(ms|s|m|h)", text)
    if "".join(number + unit for number, unit in parts) != text or not parts:
        raise NotConvertible(f"spec.resiliency.actorTimeout: must be a duration such as 30s or 1m30s; found {text!r}")
    return math.ceil(sum(float(number) * _UNITS[unit] for number, unit in parts))


def _transport_of_composition(source: _Source, transports: Mapping[str, Object]) -> str:
    """The name of the transport that a composition uses: from its label or name, else the only transport."""
    composition = str(source.take("compositionRef.name", ""))
    label = str(source.take("compositionSelector.matchLabels.transport", ""))
    name = label or composition.removeprefix("asyncactor-")
    return next(iter(transports)) if not name and len(transports) == 1 else name


def transports_of(values: Any) -> dict[str, Object]:
    """Transports by name, each as a ``spec.transport`` of an AsyncActor.

    Args:
        values: the values of the Go operator's chart (``operator.transports``), or an object with one
            ``spec.transport`` for each name.

    Raises:
        NotConvertible: if it is neither.
    """
    if mistake := shape_fault(values, _VALUES, "values"):
        raise NotConvertible(
            f"{mistake}; the file must hold the values of the old chart, or one spec.transport for each name"
        )
    of_chart = (values.get("operator") or {}).get("transports") or values.get("transports")
    if of_chart is None:
        return {str(name): transport for name, transport in values.items() if isinstance(transport, dict)}
    return {name: _transport_of_chart(name, entry) for name, entry in of_chart.items() if entry.get("enabled", True)}


def _transport_of_chart(name: str, entry: Object) -> Object:
    kind, config = entry.get("type"), entry.get("config") or {}
    if kind == "rabbitmq":
        fields = ("host", "port", "username", "passwordSecretRef")
        return {"type": kind, kind: _non_empty(**{field: config.get(field) for field in fields})}
    if kind == "sqs":
        region, account = config.get("region"), config.get("accountId")
        if not account:
            raise NotConvertible(
                f"transports.{name}.config.accountId: required, because the URL of the queues contains it"
            )
        host = (config.get("endpoint") or f"https://{aws_host('sqs', str(region))}").rstrip("/")
        waits = {field: config.get(field) for field in ("visibilityTimeout", "waitTimeSeconds")}
        return {"type": kind, kind: _non_empty(region=region, queueBaseUrl=f"{host}/{account}", **waits)}
    raise NotConvertible(f"transports.{name}.type: must be rabbitmq or sqs; found {kind!r}")


def _non_empty(**fields: Any) -> Object:
    """The fields that have a value."""
    return {name: value for name, value in fields.items() if value not in (None, {}, [])}
