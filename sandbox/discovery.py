"""Discovery: the groups and resources that the API serves, and as much OpenAPI as kubectl needs."""

from typing import Any

from sandbox.builtin import ResourceType

Object = dict[str, Any]
VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


def root(api_version: str) -> str:
    """The path prefix of a version of a group."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def openapi(types: list[ResourceType]) -> Object:
    """The OpenAPI that kubectl needs to know that this server validates fields itself."""
    paths: Object = {}
    for t in types:
        namespace = "/namespaces/{namespace}" if t.namespaced else ""
        verb = {
            "parameters": [{"name": "fieldValidation", "in": "query"}],
            "x-kubernetes-group-version-kind": {"group": t.group, "version": t.version, "kind": t.kind},
            "responses": {},
        }
        paths[f"{root(t.api_version)}{namespace}/{t.plural}/{{name}}"] = {"patch": verb, "put": verb}
        paths[f"{root(t.api_version)}{namespace}/{t.plural}"] = {"post": verb}
    return {"openapi": "3.0.0", "info": {"title": "sandbox", "version": "1"}, "paths": paths, "components": {}}


def group_of(name: str, versions: list[str]) -> Object:
    """The entry of a group in the list of groups."""
    listed = [{"groupVersion": f"{name}/{v}", "version": v} for v in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def entries(resource: ResourceType) -> list[Object]:
    """The entries of a resource and its subresources in the list of resources."""
    own = {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": VERBS,
        "shortNames": list(resource.short_names),
        "categories": list(resource.categories),
    }
    return [
        own,
        *(
            {
                "name": f"{resource.plural}/{sub}",
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": "Scale" if sub == "scale" else resource.kind,
                "verbs": ["get", "patch", "update"],
            }
            for sub in resource.subresources
        ),
    ]
