"""Custom resources: the API serves a type as long as its CustomResourceDefinition is stored."""

from typing import Any

from sandbox.builtin import ResourceType
from sandbox.store import Store
from sandbox.writes import now

Object = dict[str, Any]
Types = dict[tuple[str, str, str], ResourceType]
"""By group, version and plural name."""
CRDS = "customresourcedefinitions.apiextensions.k8s.io"


def establish(store: Store, types: Types, crd: Object) -> None:
    """Serve the type that a CustomResourceDefinition defines, and set its status."""
    spec = crd["spec"]
    for version in spec["versions"]:
        names = spec["names"]
        declared = version.get("subresources") or {}
        types[spec["group"], version["name"], names["plural"]] = ResourceType(
            spec["group"],
            version["name"],
            names["plural"],
            names["kind"],
            spec["scope"] == "Namespaced",
            tuple(names.get("shortNames") or ()),
            tuple(s for s in ("status", "scale") if s in declared),
            (version.get("schema") or {}).get("openAPIV3Schema") or {},
            tuple(version.get("additionalPrinterColumns") or ()),
            tuple(names.get("categories") or ()),
        )
    if not (crd.get("status") or {}).get("conditions"):
        status = {
            "conditions": [
                {
                    "type": t,
                    "status": "True",
                    "reason": "Sandbox",
                    "message": "",
                    "lastTransitionTime": now(),
                }
                for t in ("NamesAccepted", "Established")
            ],
            "acceptedNames": spec["names"],
            "storedVersions": [v["name"] for v in spec["versions"]],
        }
        store.put(CRDS, ("", crd["metadata"]["name"]), {**crd, "status": status}, expect=crd)


def withdraw(store: Store, types: Types, crd: Object) -> None:
    """Stop serving the type of a deleted CRD, and remove its objects."""
    spec = crd["spec"]
    for version in spec["versions"]:
        resource = types.pop((spec["group"], version["name"], spec["names"]["plural"]), None)
        for obj in store.all(resource.qualified) if resource else ():
            key = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
            store.remove(resource.qualified if resource else "", key, expect=obj)
