"""Small objects for the tests on a cluster."""

from typing import Any

from kube.objects import Object
from kube.resources import Resource
from tests.harness.space import BY_KIND

WIDGETS = Resource("test.asya.io/v1", "Widget", "widgets")
BY_KIND["Widget"] = WIDGETS


def widget_crd(schema: Object | None = None) -> Object:
    spec_schema = schema or {
        "type": "object",
        "default": {},
        "x-kubernetes-validations": [
            {"rule": "!has(self.size) || self.size != 13", "message": "size: must not be unlucky"}
        ],
        "properties": {
            "size": {"type": "integer", "minimum": 0, "default": 3},
            "color": {"type": "string", "enum": ["red", "blue"]},
            "nested": {"type": "object", "properties": {"a": {"type": "string", "default": "x"}}},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.test.asya.io"},
        "spec": {
            "group": "test.asya.io",
            "scope": "Namespaced",
            "names": {"kind": "Widget", "listKind": "WidgetList", "plural": "widgets", "singular": "widget"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {
                                "spec": spec_schema,
                                "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                            },
                        }
                    },
                }
            ],
        },
    }


def widget(name: str, **spec: Any) -> Object:
    return {"apiVersion": "test.asya.io/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec}


def deployment(name: str, **spec: Any) -> Object:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "image": "app:1"}]},
            },
            **spec,
        },
    }


def job(name: str, image: str = "app:1") -> Object:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "app", "image": image}]}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"template": template}}


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
