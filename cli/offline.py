"""Injects and renders files without a cluster, by the same functions that admission and the controller call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

from controller.cluster.parameters import parameters_map
from controller.rules import desired, scalers
from crds.models import AsyncActor
from crds.names import ANNOTATION_INJECTED, KIND, LABEL_ACTOR
from crds.parse import parse_actor
from crds.shape import METADATA, shape_fault
from crds.unknown import unknown_fields
from files.memory import add_originals, edit, originals_of, undo
from files.pointers import at, patched, pointer, put
from files.reading import Document
from injection.inject import map_of, uninject
from injection.kinds import KINDS, Kind
from injection.plan import Plan, make_plan, script_hash
from injection.settings import SidecarDefaults
from webhook.admission import Decision, PlanRequest, decide
from webhook.validation import validate

Object = dict[str, Any]

_RESOURCES: Mapping[tuple[str, str], tuple[str, str]] = {
    (group, kind.name): (group, plural) for (group, plural), kind in KINDS.items()
}

_TEXT: TypeAdapter[str] = TypeAdapter(str)

_FIRST: tuple[tuple[str, ...], ...] = (
    ("Namespace",),
    ("CustomResourceDefinition", "PriorityClass", "StorageClass", "RuntimeClass", "IngressClass"),
    ("ResourceQuota", "LimitRange", "NetworkPolicy", "ServiceAccount", "PersistentVolume", "PersistentVolumeClaim"),
    ("ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding"),
    ("Secret", "ConfigMap", "Service", "TriggerAuthentication", "ClusterTriggerAuthentication"),
)
"""Kinds that other objects depend on, in the order in which to apply them. All other kinds come last."""
_ORDER: Mapping[str, int] = {kind: rank for rank, kinds in enumerate(_FIRST) for kind in kinds}


@dataclass
class Offline:
    """The actors and settings of a cluster that exists only in files."""

    defaults: SidecarDefaults
    script: str
    """The runtime script."""
    namespace: str = "default"
    """Namespace of objects that do not name their own."""
    actors: dict[tuple[str, str], AsyncActor] = field(default_factory=dict)
    labelled: int = 0
    """Number of workloads and pods with the label so far."""
    plans: dict[tuple[str, str], Plan] = field(default_factory=dict)
    """Plans of ``actors`` that were needed so far."""
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add_actors(self, documents: list[Document]) -> None:
        """Add the AsyncActors in ``documents``. An invalid one becomes an error."""
        for document in documents:
            for _, obj in document.objects():
                if obj.get("kind") == KIND:
                    self._add(document.origin, obj)

    def _add(self, origin: str, obj: Object) -> None:
        if not isinstance(obj.get("metadata") or {}, dict):
            self.errors.append(f"{origin}: {KIND}: {shape_fault(obj['metadata'], METADATA, 'metadata')}")
            return
        metadata = {"namespace": self.namespace, **_metadata(obj), "generation": 1}
        obj = {**obj, "metadata": metadata}
        errors, warnings = validate(obj, self.defaults)
        name = f"{origin}: {KIND} {metadata.get('name', '')!r}"
        self.errors += [f"{name}: {error}" for error in errors]
        self.warnings += [f"{name}: {warning}" for warning in warnings]
        self.warnings += [
            f"{name}: {path}: an AsyncActor has no such field, and kubectl refuses it; correct its name or remove it"
            for path in unknown_fields(obj)
        ]
        if not errors:
            self.actors[metadata["namespace"], metadata["name"]] = parse_actor(obj)
            self.plans.pop((metadata["namespace"], metadata["name"]), None)

    def inject(self, document: Document) -> Document:
        """``document`` as admission would change it, or itself if nothing changes. A denial becomes an error."""
        if document.ignored:
            self.warnings.append(
                f"{document.origin}:{document.ignored}:1: kubectl ignores the rest of this document; "
                "put --- before the next document"
            )
        injected = self._admitted(document, report=True)
        injected_already = [p for p in injected if _record(at(document.value, p)) is not None]
        if injected_already:
            document = self.uninject(document, only=injected_already)
            injected = self._admitted(document)
        if not injected:
            return document
        new = document.value
        for where, obj in injected.items():
            new = put(new, where, obj)
        new_document, originals = edit(document, new)
        if not originals or self.uninject(new_document, only=list(injected)).text == document.text:
            return new_document
        return edit(document, _remember(new, list(injected), originals))[0]

    def _admitted(self, document: Document, *, report: bool = False) -> dict[str, Object]:
        """The objects that admission would change, after the change, by JSON pointer.

        With ``report``, denials become errors, and warnings are kept.
        """
        changed_objects: dict[str, Object] = {}
        for where, obj in document.objects():
            resource = _resource(obj)
            label = map_of(obj, "labels").get(LABEL_ACTOR)
            if report and label is not None and resource is None and obj.get("kind") != KIND:
                self.warnings.append(f"{document.origin}: {_name(obj)}: {_useless_label(obj)}")
            if resource is None:
                continue
            decision = self._admit(obj, resource)
            if report:
                self.labelled += LABEL_ACTOR in map_of(obj, "labels")
                name = f"{document.origin}: {_name(obj)}"
                self.errors += [f"{name}: {decision.message}"] if decision.outcome == "denied" else []
                self.warnings += [f"{name}: {warning}" for warning in decision.warnings]
            if decision.patch:
                changed_objects[where] = patched(obj, decision.patch)
        return changed_objects

    @staticmethod
    def uninject(document: Document, *, unlabel: bool = False, only: Sequence[str] | None = None) -> Document:
        """``document`` without its injection, and with ``unlabel`` also without the label.

        ``only`` limits this to the objects at these JSON pointers.
        """
        new = document.value
        originals: dict[str, str] = {}
        for where, obj in document.objects():
            resource = _resource(obj)
            if resource is None or (only is not None and where not in only):
                continue
            without = _restored(obj, KINDS[resource])
            if without is not obj:
                originals.update(originals_of(_record(obj)))
            without = _without_label(without) if unlabel else without
            if without is not obj:
                new = put(new, where, without)
        return document if new is document.value else undo(document, new, originals)

    def render(self) -> list[Object]:
        """Every object that the cluster would hold for the actors."""
        objects: list[Object] = []
        for namespace in dict.fromkeys(namespace for namespace, _ in self.actors):
            objects.append(desired.runtime_config_map(namespace, self.script))
            scaled = [a for (where, _), a in self.actors.items() if where == namespace and a.spec.scaling.enabled]
            entries = {key: value for a in scaled for key, value in scalers.trigger_parameters(a).items()}
            objects += [parameters_map(namespace, entries)] if entries else []
        for actor in self.actors.values():
            if actor.spec.scaling.enabled:
                authentication = scalers.trigger_authentication(actor)
                objects += [authentication] if authentication is not None else []
            if desired.is_scaled_by_job(actor):
                objects.append(self._injected(scalers.scaled_job(actor, self.defaults)))
                continue
            if actor.spec.workload.template is not None:
                objects.append(self._injected(desired.workload(actor, keda=actor.spec.scaling.enabled)))
            if actor.spec.scaling.enabled:
                objects.append(scalers.scaled_object(actor, self.defaults))
        return [_without_owner(obj) for obj in objects]

    def rendered(self, documents: list[Document]) -> list[Object]:
        """:meth:`render`, and the other objects of ``documents`` after injection, in an order that can be applied."""
        objects = self.render()
        for document in documents:
            injected = self._admitted(document, report=True)
            objects += [injected.get(where, obj) for where, obj in document.objects() if obj.get("kind") != KIND]
        return sorted(objects, key=lambda obj: _ORDER.get(str(obj.get("kind")), len(_FIRST)))

    def _injected(self, obj: Object) -> Object:
        resource = _resource(obj)
        assert resource is not None, "the controller creates only workloads of kinds that are injected"
        decision = self._admit(obj, resource)
        if decision.outcome == "denied":
            self.errors.append(f"{_name(obj)}: {decision.message}")
        return dict(patched(obj, decision.patch))

    def _admit(self, obj: Object, resource: tuple[str, str]) -> Decision:
        namespace = _metadata(obj).get("namespace") or self.namespace
        if LABEL_ACTOR in map_of(obj, "labels") and (fault := shape_fault(namespace, _TEXT, "metadata.namespace")):
            return Decision("denied", message=str(fault))
        request = {
            "operation": "CREATE",
            "namespace": namespace,
            "resource": {"group": resource[0], "resource": resource[1]},
            "object": obj,
        }
        return decide(request, self._plan, reinject_pods=True)

    def _plan(self, request: PlanRequest) -> Plan | None:
        key = request.namespace, request.actor
        actor = self.actors.get(key)
        if actor is None:
            return None
        if key not in self.plans:
            self.plans[key] = make_plan(actor, self.defaults, script_hash(self.script))
        return self.plans[key]


def _resource(obj: Object) -> tuple[str, str] | None:
    group = str(obj.get("apiVersion", "")).rpartition("/")[0]
    return _RESOURCES.get((group, str(obj.get("kind", ""))))


def _useless_label(obj: Object) -> str:
    """Why the label has no effect on an object of a kind that admission does not inject."""
    spec = obj.get("spec")
    if not isinstance(spec, dict) or "template" not in spec:
        return f"metadata.labels[{LABEL_ACTOR}]: has no effect on this kind, which has no pod template"
    return (
        f"metadata.labels[{LABEL_ACTOR}]: has no effect on this kind; label its pod template instead "
        f"(spec.template.metadata.labels), or label one of {', '.join(k.name for k in KINDS.values())}"
    )


def _metadata(obj: Object) -> Object:
    """An object's metadata. Empty if the file has no object there, which an API server would refuse."""
    value = obj.get("metadata")
    return value if isinstance(value, dict) else {}


def _template_path(obj: Object) -> tuple[str, ...]:
    resource = _resource(obj)
    return KINDS[resource].path if resource is not None else ()


def _record(obj: Object) -> str | None:
    """The record that injection wrote on an object's template, as JSON, or None."""
    template = at(obj, pointer(_template_path(obj)))
    return map_of(template, "annotations").get(ANNOTATION_INJECTED) if isinstance(template, dict) else None


def _remember(value: Any, objects: list[str], originals: Mapping[str, str]) -> Any:
    """``value`` with each original text in the record of the object that contains it, else in the first record."""
    homes: dict[str, dict[str, str]] = {}
    injected = [where for where in objects if _record(at(value, where)) is not None]
    for path, text in originals.items():
        home = next((where for where in injected if path.startswith(where + "/")), injected[0] if injected else None)
        if home is not None:
            homes.setdefault(home, {})[path] = text
    for where, texts in homes.items():
        obj = at(value, where)
        record = add_originals(str(_record(obj)), texts)
        place = (*_template_path(obj), "metadata", "annotations", ANNOTATION_INJECTED)
        value = put(value, where + pointer(place), record)
    return value


def _name(obj: Object) -> str:
    return f"{obj.get('kind')} {_metadata(obj).get('name', '')!r}"


def _restored(obj: Object, kind: Kind) -> Object:
    template = kind.template(obj)
    without = template if template is None else uninject(template)
    return obj if without is None or without is template else _with(obj, kind.path, without)


def _with(obj: Object, path: tuple[str, ...], value: Object) -> Object:
    return value if not path else {**obj, path[0]: _with(obj[path[0]], path[1:], value)}


def _without_label(obj: Object) -> Object:
    metadata, labels = _metadata(obj), map_of(obj, "labels")
    if LABEL_ACTOR not in labels:
        return obj
    kept = {k: v for k, v in labels.items() if k != LABEL_ACTOR}
    rest = {k: v for k, v in metadata.items() if k != "labels"}
    return {**obj, "metadata": {**rest, "labels": kept} if kept else rest}


def _without_owner(obj: Object) -> Object:
    """``obj`` without ownerReferences: only a cluster knows the uid that they need."""
    return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k != "ownerReferences"}}
