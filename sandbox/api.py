"""The verbs of the API: create, read, update, patch, apply, delete. They are the same for every resource.

A write computes the new object without the store's lock, because admission makes network calls. It stores the object
only if nobody changed it meanwhile. After a conflict a patch tries again and an update fails, as in Kubernetes.
"""

import copy
import random
import string
import uuid
from dataclasses import dataclass, field
from typing import Any

from sandbox import builtin, definitions, orphans, ownership, patches, schema, writes
from sandbox.admission import Admission
from sandbox.builtin import ResourceType
from sandbox.definitions import CRDS, Types
from sandbox.errors import Failure, invalid, not_found
from sandbox.store import Key, Store
from sandbox.structure import Shape
from sandbox.writes import now

Object = dict[str, Any]
APPLY = "application/apply-patch+yaml"
RETRIES = 5


@dataclass
class Call:
    """The parameters of a request, apart from its object."""

    manager: str = "unknown"
    force: bool = False
    dry_run: bool = False
    subresource: str = ""
    user: str = "system:admin"
    warnings: list[str] = field(default_factory=list)


class Api:
    """An API server without HTTP."""

    def __init__(self) -> None:
        self.store = Store()
        self.types: Types = {(t.group, t.version, t.plural): t for t in builtin.BUILTIN}
        self.admission = Admission(self.store.all, self._namespace_labels)
        for name in ("default", "kube-system"):
            self.create(
                self.types["", "v1", "namespaces"],
                "",
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
                Call("sandbox"),
            )

    def type(self, group: str, version: str, plural: str) -> ResourceType:
        """The resource with this group, version and plural name.

        Raises:
            Failure: 404, if the API does not serve it.
        """
        resource = self.types.get((group, version, plural))
        if resource is None:
            raise Failure(404, "the server could not find the requested resource")
        return resource

    def get(self, resource: ResourceType, namespace: str, name: str) -> Object:
        """The object, or a 404 :class:`Failure`."""
        obj = self.store.get(resource.qualified, self._key(resource, namespace, name))
        if obj is None:
            raise not_found(resource.qualified, name)
        return obj

    def create(self, resource: ResourceType, namespace: str, obj: Object, call: Call) -> Object:
        """Store a new object."""
        prepared = self._incoming(resource, namespace, obj)
        metadata = prepared["metadata"]
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + "".join(
                random.choices(string.ascii_lowercase + string.digits, k=5)
            )
        if metadata.get("resourceVersion"):
            raise Failure(500, "resourceVersion should not be set on objects to be created")
        self._require_namespace(resource, metadata.get("namespace", ""))
        if "status" in resource.subresources:
            prepared.pop("status", None)
        prepared = self._new(resource, prepared)
        tracked = ownership.update(None, prepared, call.manager, self._shape(resource))
        return self._commit(resource, None, tracked, call, "CREATE")

    def update(self, resource: ResourceType, namespace: str, name: str, obj: Object, call: Call) -> Object:
        """Replace an object."""
        old = self.get(resource, namespace, name)
        version = (obj.get("metadata") or {}).get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            raise Failure(
                409,
                f'Operation cannot be fulfilled on {resource.qualified} "{name}": the object has been modified; '
                "please apply your changes to the latest version and try again",
            )
        return self._write(resource, old, self._incoming(resource, namespace, obj), call)

    def patch(
        self, resource: ResourceType, namespace: str, name: str, content_type: str, body: Any, call: Call
    ) -> Object:
        """Change an object with one of the four kinds of patch."""
        for attempt in range(RETRIES):
            try:
                return self._patch(resource, namespace, name, content_type, body, call)
            except Failure as failure:
                is_conflict = failure.code == 409 and "has been modified" in failure.message
                has_version = isinstance(body, dict) and (body.get("metadata") or {}).get("resourceVersion")
                if not is_conflict or has_version or attempt == RETRIES - 1:
                    raise
        raise AssertionError("unreachable")

    def delete(
        self, resource: ResourceType, namespace: str, name: str, call: Call, options: Object | None = None
    ) -> Object:
        """Delete an object. If it has finalizers, only mark it for deletion."""
        for _ in range(RETRIES):
            old = self.get(resource, namespace, name)
            uid = ((options or {}).get("preconditions") or {}).get("uid")
            if uid and uid != old["metadata"]["uid"]:
                raise Failure(409, f"Precondition failed: UID in precondition: {uid}")
            if call.dry_run or (options or {}).get("dryRun") == ["All"]:
                return old
            key = self._key(resource, namespace, name)
            try:
                if (options or {}).get("propagationPolicy") == "Orphan":
                    old = orphans.delete_orphaning(self.store, resource, key, old)
                if not old["metadata"].get("finalizers"):
                    return self.store.remove(resource.qualified, key, expect=old)
                if old["metadata"].get("deletionTimestamp"):
                    return old
                metadata = {**old["metadata"], "deletionTimestamp": now(), "deletionGracePeriodSeconds": 0}
                metadata["generation"] = metadata.get("generation", 0) + 1
                return self.store.put(resource.qualified, key, {**old, "metadata": metadata}, expect=old)
            except Failure as failure:
                if failure.code != 409:
                    raise
        raise Failure(409, f'could not delete {resource.qualified} "{name}": it keeps changing')

    def scale(self, resource: ResourceType, namespace: str, name: str) -> Object:
        """The ``scale`` subresource."""
        obj = self.get(resource, namespace, name)
        metadata = obj["metadata"]
        copied = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        return {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {k: metadata[k] for k in copied if k in metadata},
            "spec": {"replicas": (obj.get("spec") or {}).get("replicas", 0)},
            "status": {"replicas": (obj.get("status") or {}).get("replicas", 0)},
        }

    def set_scale(self, resource: ResourceType, namespace: str, name: str, scale: Object, call: Call) -> Object:
        """Write the ``scale`` subresource. This does not call webhooks of the resource itself."""
        old = self.get(resource, namespace, name)
        uid = scale["metadata"].get("uid")
        if uid and uid != old["metadata"]["uid"]:
            raise Failure(409, f"Precondition failed: UID in precondition: {uid}, UID in object meta: another")
        new = {**old, "spec": {**old["spec"], "replicas": scale["spec"]["replicas"]}}
        self._write(resource, old, new, call)
        return self.scale(resource, namespace, name)

    # -- steps of a write ----------------------------------------------------------------------

    def _patch(
        self, resource: ResourceType, namespace: str, name: str, content_type: str, body: Any, call: Call
    ) -> Object:
        key = self._key(resource, namespace, name)
        old = self.store.get(resource.qualified, key)
        shape = self._shape(resource)
        if content_type == APPLY and call.subresource == "scale":
            self._apply(resource, key, old, _of_scale(resource, body), call)
            return self.scale(resource, namespace, name)
        if content_type == APPLY:
            return self._apply(resource, key, old, body, call)
        if old is None:
            raise not_found(resource.qualified, name)
        if call.subresource == "scale":
            scale = self.scale(resource, namespace, name)
            patched = patches.json_patch(scale, body) if isinstance(body, list) else patches.merge_patch(scale, body)
            return self.set_scale(resource, namespace, name, patched, call)
        if content_type == "application/json-patch+json":
            new = patches.json_patch(copy.deepcopy(old), body)
        elif content_type == "application/merge-patch+json":
            new = patches.merge_patch(old, body)
        elif content_type == "application/strategic-merge-patch+json":
            if resource.schema is not None:
                raise Failure(415, "the body of the request was in an unknown format: strategic merge patch")
            new = patches.strategic_merge_patch(old, body, shape)
        else:
            raise Failure(415, f"the body of the request was in an unknown format: {content_type}")
        version = (new.get("metadata") or {}).get("resourceVersion")
        if version != old["metadata"]["resourceVersion"]:
            raise Failure(409, f'Operation cannot be fulfilled on {resource.qualified} "{name}": it has been modified')
        uid = (new.get("metadata") or {}).get("uid")
        if uid != old["metadata"]["uid"]:
            raise _another_uid(resource, name, uid)
        return self._write(resource, old, self._incoming(resource, namespace, new), call)

    def _apply(self, resource: ResourceType, key: Key, old: Object | None, body: Object, call: Call) -> Object:
        if not isinstance(body, dict) or not body.get("kind") or not body.get("apiVersion"):
            raise Failure(400, "invalid object: apiVersion and kind must be set")
        config = copy.deepcopy(body)
        config.setdefault("metadata", {})
        config["metadata"] |= {"name": key[1]} | ({"namespace": key[0]} if key[0] else {})
        uid = config["metadata"].pop("uid", None)
        version = config["metadata"].pop("resourceVersion", None)
        if uid and old is None:
            raise Failure(
                409, f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            )
        if uid and old is not None and old["metadata"]["uid"] != uid:
            raise _another_uid(resource, key[1], uid)
        if old is not None and version and version != old["metadata"]["resourceVersion"]:
            raise Failure(409, f'Operation cannot be fulfilled on "{key[1]}": the object has been modified')
        shape = self._shape(resource)
        type_faults = schema.type_faults(config, resource.schema) if resource.schema is not None else []
        if type_faults:
            name = f"{key[0]}/{key[1]}; {resource.api_version}, Kind={resource.kind}"
            raise Failure(500, f"failed to create typed patch object ({name}): {'; '.join(type_faults)}")
        if old is None:
            if call.subresource:
                raise not_found(resource.qualified, key[1])
            self._require_namespace(resource, key[0])
        merged = ownership.apply(old, config, call.manager, force=call.force, shape=shape, subresource=call.subresource)
        prepared = self._incoming(resource, key[0], merged)
        if old is None:
            if "status" in resource.subresources:
                prepared.pop("status", None)
            return self._commit(resource, None, self._new(resource, prepared), call, "CREATE")
        return self._finish(resource, old, prepared, call)

    def _write(self, resource: ResourceType, old: Object, new: Object, call: Call) -> Object:
        restricted = writes.restrict(resource, old, new, call.subresource)
        tracked = ownership.update(old, restricted, call.manager, self._shape(resource), call.subresource)
        return self._finish(resource, old, tracked, call)

    def _finish(self, resource: ResourceType, old: Object, new: Object, call: Call) -> Object:
        new = writes.restrict(resource, old, new, call.subresource)
        return self._commit(resource, old, new, call, "UPDATE")

    def _commit(self, resource: ResourceType, old: Object | None, new: Object, call: Call, operation: str) -> Object:
        metadata = new["metadata"]
        namespace = metadata.get("namespace", "")

        def normalise(obj: Object) -> Object:
            return self._incoming(resource, namespace, obj)

        request = {
            "kind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
            "resource": {"group": resource.group, "version": resource.version, "resource": resource.plural},
            "subResource": call.subresource,
            "name": metadata["name"],
            "namespace": namespace,
            "operation": operation,
            "userInfo": {"username": call.user},
            "object": new,
            "oldObject": old,
            "dryRun": call.dry_run,
        }
        if resource.group not in ("admissionregistration.k8s.io", "apiextensions.k8s.io"):
            new = self.admission.mutate(request, resource, normalise, call.warnings)
            self._check(resource, old, new)
            self.admission.validate({**request, "object": new}, resource, call.warnings)
        else:
            self._check(resource, old, new)
        new = writes.with_generation(old, new, call.subresource)
        if old is not None and writes.is_same(old, new):
            return old
        if call.dry_run:
            return new
        key = (namespace if resource.namespaced else "", metadata["name"])
        if old is not None and new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers"):
            return self.store.remove(resource.qualified, key, expect=old)
        stored = self.store.put(resource.qualified, key, new, expect=old)
        if resource.qualified == CRDS:
            definitions.establish(self.store, self.types, stored)
        return stored

    def _check(self, resource: ResourceType, old: Object | None, new: Object) -> None:
        faults = builtin.faults(new, old)
        if resource.schema is not None:
            faults += schema.faults(new, resource.schema)
        if resource.qualified == CRDS:
            for version in new["spec"]["versions"]:
                faults += schema.default_faults((version.get("schema") or {}).get("openAPIV3Schema") or {})
        if faults:
            kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
            raise invalid(kind, new["metadata"]["name"], faults)

    def _incoming(self, resource: ResourceType, namespace: str, obj: Any) -> Object:
        """A copy of ``obj`` with defaults, pruned by its schema. The fields of every object are checked."""
        if not isinstance(obj, dict):
            raise Failure(400, "the body of the request must be an object")
        # The endpoint determines apiVersion and kind of an object without them.
        obj = {
            **obj,
            "apiVersion": obj.get("apiVersion") or resource.api_version,
            "kind": obj.get("kind") or resource.kind,
        }
        if obj["kind"] != resource.kind or obj["apiVersion"] != resource.api_version:
            raise Failure(
                400,
                f"{obj['apiVersion']}, Kind={obj['kind']} does not match the endpoint, "
                f"which takes {resource.api_version}, Kind={resource.kind}",
            )
        prepared: Object = copy.deepcopy(obj)
        metadata = prepared.setdefault("metadata", {})
        if resource.namespaced:
            if metadata.setdefault("namespace", namespace) != namespace:
                raise Failure(400, "the namespace of the provided object does not match the namespace of the request")
        else:
            metadata.pop("namespace", None)
        if resource.schema is not None:
            pruned: Object = schema.prepare(prepared, resource.schema)
            return pruned
        builtin.default(prepared)
        return prepared

    def _new(self, resource: ResourceType, obj: Object) -> Object:
        obj["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": now(), "generation": 1}
        if resource.kind == "Namespace":
            obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"]["name"]
            obj["status"] = {"phase": "Active"}
        if resource.kind == "Job":
            self._job_selector(obj)
        return obj

    @staticmethod
    def _job_selector(job: Object) -> None:
        uid = job["metadata"]["uid"]
        template = job.setdefault("spec", {}).setdefault("template", {})
        labels = template.setdefault("metadata", {}).setdefault("labels", {})
        name = job["metadata"]["name"]
        labels |= {
            "batch.kubernetes.io/controller-uid": uid,
            "controller-uid": uid,
            "batch.kubernetes.io/job-name": name,
            "job-name": name,
        }
        job["spec"]["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}

    def _require_namespace(self, resource: ResourceType, namespace: str) -> None:
        if resource.namespaced and self.store.get("namespaces", ("", namespace)) is None:
            raise not_found("namespaces", namespace)

    def _namespace_labels(self, namespace: str) -> dict[str, str]:
        stored = self.store.get("namespaces", ("", namespace))
        return ((stored or {}).get("metadata") or {}).get("labels") or {}

    @staticmethod
    def _key(resource: ResourceType, namespace: str, name: str) -> Key:
        return (namespace if resource.namespaced else "", name)

    @staticmethod
    def _shape(resource: ResourceType) -> Shape:
        return Shape("", resource.schema)


def _of_scale(resource: ResourceType, body: Any) -> Object:
    """The fields of the scaled object in an applied Scale."""
    if not isinstance(body, dict) or (body.get("apiVersion"), body.get("kind")) != ("autoscaling/v1", "Scale"):
        raise Failure(400, "invalid object: a Scale of autoscaling/v1 is expected")
    metadata = {k: v for k, v in (body.get("metadata") or {}).items() if k in ("uid", "resourceVersion")}
    spec = {k: v for k, v in (body.get("spec") or {}).items() if k == "replicas"}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "spec": spec}


def _another_uid(resource: ResourceType, name: str, uid: Any) -> Failure:
    message = f'{resource.kind}.{resource.qualified.partition(".")[2]} "{name}" is invalid: metadata.uid: '
    return Failure(422, f'{message}Invalid value: "{uid}": field is immutable')
