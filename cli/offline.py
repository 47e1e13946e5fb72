"""What a cluster would make of files, without a cluster: the same functions that admission and the controller call."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cli.files import Document, patched
from controller import desired
from crds.models import AsyncActor
from crds.names import KIND, LABEL_ACTOR
from crds.parse import parse_actor
from injection.inject import map_of, uninject
from injection.kinds import KINDS, Kind
from injection.plan import Plan, make_plan, script_hash
from injection.settings import SidecarDefaults
from webhook.admission import Decision, Wanted, decide
from webhook.patch import Operation, operations
from webhook.validation import validate

Object = dict[str, Any]

_RESOURCES: Mapping[tuple[str, str], tuple[str, str]] = {
    (group, kind.name): (group, plural) for (group, plural), kind in KINDS.items()
}


@dataclass
class Offline:
    """A cluster's worth of actors and settings."""

    defaults: SidecarDefaults
    script: str
    """The runtime script."""
    namespace: str = "default"
    """Of objects that do not say."""
    actors: dict[tuple[str, str], AsyncActor] = field(default_factory=dict)
    labelled: int = 0
    """Workloads and pods that were seen with the label."""
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def add_actors(self, documents: list[Document]) -> None:
        """Know the AsyncActors in ``documents``; an invalid one is an error."""
        for document in documents:
            for _, obj in document.objects():
                if obj.get("kind") == KIND:
                    self._add(document.origin, obj)

    def _add(self, origin: str, obj: Object) -> None:
        metadata = {"namespace": self.namespace, **(obj.get("metadata") or {}), "generation": 1}
        obj = {**obj, "metadata": metadata}
        errors, warnings = validate(obj, self.defaults)
        name = f"{origin}: {KIND} {metadata.get('name', '')!r}"
        self.errors += [f"{name}: {error}" for error in errors]
        self.warnings += [f"{name}: {warning}" for warning in warnings]
        if not errors:
            self.actors[metadata["namespace"], metadata["name"]] = parse_actor(obj)

    def inject(self, document: Document) -> list[Operation]:
        """What admission would change in ``document``; a denial is an error."""
        found: list[Operation] = []
        for pointer, obj in document.objects():
            resource = _resource(obj)
            if resource is None:
                continue
            self.labelled += LABEL_ACTOR in map_of(obj, "labels")
            decision = self._admit(obj, resource)
            name = f"{document.origin}: {_name(obj)}"
            if decision.outcome == "denied":
                self.errors.append(f"{name}: {decision.message}")
            self.warnings += [f"{name}: {warning}" for warning in decision.warnings]
            found += [{**op, "path": pointer + op["path"]} for op in decision.patch]
        return found

    @staticmethod
    def uninject(document: Document, *, unlabel: bool = False) -> list[Operation]:
        """What takes the injection out of ``document`` again, and with ``unlabel`` the label too."""
        found: list[Operation] = []
        for pointer, obj in document.objects():
            resource = _resource(obj)
            if resource is not None:
                restored = _restored(obj, KINDS[resource])
                found += operations(obj, _without_label(restored) if unlabel else restored, pointer)
        return found

    def render(self) -> list[Object]:
        """Every object that the cluster would hold for the actors."""
        objects: list[Object] = []
        for namespace in dict.fromkeys(namespace for namespace, _ in self.actors):
            objects.append(desired.runtime_config_map(namespace, self.script))
        for actor in self.actors.values():
            made = desired.trigger_authentication(actor) if actor.spec.scaling.enabled else None
            objects += [made] if made is not None else []
            if desired.scaled_by_job(actor):
                objects.append(self._injected(desired.scaled_job(actor, self.defaults)))
                continue
            if actor.spec.workload.template is not None:
                objects.append(self._injected(desired.workload(actor, keda=actor.spec.scaling.enabled)))
            if actor.spec.scaling.enabled:
                objects.append(desired.scaled_object(actor, self.defaults))
        return [_without_owner(obj) for obj in objects]

    def _injected(self, obj: Object) -> Object:
        resource = _resource(obj)
        assert resource is not None, "the controller makes only workloads that are injected"
        decision = self._admit(obj, resource)
        if decision.outcome == "denied":
            self.errors.append(f"{_name(obj)}: {decision.message}")
        return dict(patched(obj, decision.patch))

    def _admit(self, obj: Object, resource: tuple[str, str]) -> Decision:
        request = {
            "operation": "CREATE",
            "namespace": (obj.get("metadata") or {}).get("namespace") or self.namespace,
            "resource": {"group": resource[0], "resource": resource[1]},
            "object": obj,
        }
        return decide(request, self._plan)

    def _plan(self, wanted: Wanted) -> Plan | None:
        actor = self.actors.get((wanted.namespace, wanted.actor))
        return make_plan(actor, self.defaults, script_hash(self.script)) if actor is not None else None


def _resource(obj: Object) -> tuple[str, str] | None:
    group = str(obj.get("apiVersion", "")).rpartition("/")[0]
    return _RESOURCES.get((group, str(obj.get("kind", ""))))


def _name(obj: Object) -> str:
    return f"{obj.get('kind')} {(obj.get('metadata') or {}).get('name', '')!r}"


def _restored(obj: Object, kind: Kind) -> Object:
    template = kind.template(obj)
    return obj if template is None else _with(obj, kind.path, uninject(template))


def _with(obj: Object, path: tuple[str, ...], value: Object) -> Object:
    return value if not path else {**obj, path[0]: _with(obj[path[0]], path[1:], value)}


def _without_label(obj: Object) -> Object:
    metadata = obj.get("metadata") or {}
    labels = metadata.get("labels") or {}
    if LABEL_ACTOR not in labels:
        return obj
    kept = {k: v for k, v in labels.items() if k != LABEL_ACTOR}
    rest = {k: v for k, v in metadata.items() if k != "labels"}
    return {**obj, "metadata": {**rest, "labels": kept} if kept else rest}


def _without_owner(obj: Object) -> Object:
    """Only a cluster knows the uid that an ownerReference needs."""
    return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k != "ownerReferences"}}
