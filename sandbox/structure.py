"""The structure of objects: which lists have keys, and which values are atomic.

Server-side apply and strategic merge patch need this. For custom resources it comes from the CRD's schema. For built-in
resources it comes from the table below, by field name. The table follows the markers in Kubernetes' OpenAPI
(``x-kubernetes-list-map-keys``, ``x-kubernetes-map-type``).
"""

from typing import Any

Object = dict[str, Any]
Path = tuple[str, ...]
"""Elements as in FieldsV1: ``f:name``, ``k:{"name":"x"}``, ``v:"x"``."""

LIST_KEYS: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "imagePullSecrets": ("name",),
    "secrets": ("name",),
    "conditions": ("type",),
    "ownerReferences": ("uid",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "webhooks": ("name",),
    "matchConditions": ("name",),
}
SETS = frozenset({"finalizers"})
ATOMIC = frozenset(
    {
        "selector",
        "nodeSelector",
        "secretKeyRef",
        "configMapKeyRef",
        "fieldRef",
        "resourceFieldRef",
        "labelSelector",
        "namespaceSelector",
        "objectSelector",
    }
)


class Shape:
    """One place in an object: the field's name, and its schema if there is one."""

    __slots__ = ("name", "schema")

    def __init__(self, name: str = "", schema: Object | None = None) -> None:
        self.name, self.schema = name, schema

    def child(self, name: str) -> "Shape":
        """The shape of field ``name``."""
        if self.schema is None or (not self.name and name == "metadata"):
            return Shape(name)
        properties = self.schema.get("properties") or {}
        additional = self.schema.get("additionalProperties")
        return Shape(name, properties.get(name) or (additional if isinstance(additional, dict) else {}))

    def item(self) -> "Shape":
        """The shape of a list's elements."""
        return Shape("[]", None if self.schema is None else self.schema.get("items") or {})

    @property
    def is_atomic(self) -> bool:
        """Whether a map here has one owner and is replaced as a whole."""
        if self.schema is None:
            return self.name in ATOMIC
        return self.schema.get("x-kubernetes-map-type") == "atomic"

    def list_keys(self, items: list[Any]) -> tuple[str, ...] | None:
        """The fields that identify an element of a list with keys; () for a set; None if the list is atomic."""
        if self.schema is not None:
            kind = self.schema.get("x-kubernetes-list-type", "atomic")
            if kind == "map":
                return tuple(self.schema["x-kubernetes-list-map-keys"])
            return () if kind == "set" else None
        if self.name in SETS:
            return ()
        if self.name == "ports" and any(isinstance(i, dict) for i in items):
            return ("containerPort", "protocol") if "containerPort" in items[0] else ("port", "protocol")
        return LIST_KEYS.get(self.name)


DEFAULT_KEYS = {"protocol": "TCP"}


def key_of(item: Any, keys: tuple[str, ...]) -> tuple[Any, ...]:
    """The values that identify ``item`` in its list."""
    if not keys or not isinstance(item, dict):
        return (item,) if not isinstance(item, dict) else (str(item),)
    return tuple(item.get(k, DEFAULT_KEYS.get(k)) for k in keys)
