"""Custom and built-in types: validation, immutable fields, controllers and discovery; on every tier."""

import pytest

from kube.failures import ApiError
from kube.objects import Object
from kube.resources import Resource
from tests.cluster.shapes import config_map, deployment, job, widget, widget_crd
from tests.harness.clusters import wait_for
from tests.harness.operator import CRDS, install_crd
from tests.harness.space import Space

# -- custom resources ----------------------------------------------------------------------------


def test_custom_resources_are_defaulted_and_pruned_except_where_fields_are_preserved(widgets: Space) -> None:
    made = widgets.create_object(widget("a", nested={"b": 1}, free={"any": {"thing": [1]}}, unknown=True))
    assert made["spec"] == {"size": 3, "nested": {"a": "x"}, "free": {"any": {"thing": [1]}}}


def test_null_counts_as_absent_and_gets_the_default(widgets: Space) -> None:
    assert widgets.create_object(widget("a", size=None))["spec"]["size"] == 3


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"size": -1}, "spec.size: Invalid value"),
        ({"nested": {"a": 5}}, "spec.nested.a: Invalid value"),
        ({"color": "green"}, "spec.color: Unsupported value"),
        ({"size": 13}, "size: must not be unlucky"),
    ],
)
def test_custom_resources_are_validated(widgets: Space, spec: Object, message: str) -> None:
    assert message in widgets.refused(widget("a", **spec))


def test_apply_of_a_value_of_the_wrong_type_is_a_500(widgets: Space) -> None:
    with pytest.raises(ApiError) as caught:
        widgets.apply(widget("a", size="big"))
    assert caught.value.code == 500
    assert caught.value.message.startswith("failed to create typed patch object")
    assert ".spec.size: expected numeric (int or float), got string" in caught.value.message


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (
            {"x-kubernetes-validations": [{"rule": "self.a <= self.b", "message": "a: must not be greater than b"}]},
            "no such key: a",
        ),
        ({"required": ["a"]}, "default.a: Required value"),
    ],
)
def test_a_default_is_validated_without_its_nested_defaults(bare: Space, extra: Object, message: str) -> None:
    properties = {"a": {"type": "integer", "default": 1}, "b": {"type": "integer", "default": 2}}
    crd = widget_crd({"type": "object", "default": {}, "properties": properties, **extra})
    crd["metadata"]["name"] = "gadgets.test.asya.io"
    crd["spec"]["names"] = {"kind": "Gadget", "listKind": "GadgetList", "plural": "gadgets", "singular": "gadget"}
    with pytest.raises(ApiError) as caught:
        bare.client.apply(CRDS, crd)
    assert caught.value.code == 422
    assert message in caught.value.message


def test_a_custom_resource_disappears_with_its_definition(bare: Space) -> None:
    crd = widget_crd()
    crd["metadata"]["name"] = "gizmos.test.asya.io"
    crd["spec"]["names"] = {"kind": "Gizmo", "listKind": "GizmoList", "plural": "gizmos", "singular": "gizmo"}
    gizmos = Resource("test.asya.io/v1", "Gizmo", "gizmos")
    install_crd(bare.client, crd)
    bare.client.create(
        gizmos, {"metadata": {"name": "g", "namespace": bare.name}, "apiVersion": "test.asya.io/v1", "kind": "Gizmo"}
    )
    bare.client.delete(CRDS, "", "gizmos.test.asya.io")
    wait_for("gizmos to go", lambda: not bare.client.serves("test.asya.io/v1", "gizmos"))
    with pytest.raises(ApiError) as caught:
        bare.client.list(gizmos, bare.name)
    assert caught.value.code == 404


# -- workloads -----------------------------------------------------------------------------------


def test_a_selector_must_match_and_cannot_change(bare: Space) -> None:
    invalid = deployment("a")
    invalid["spec"]["selector"]["matchLabels"] = {"app": "another"}
    assert "`selector` does not match template `labels`" in bare.refused(invalid)
    bare.apply(deployment("a"))
    changed = deployment("a")
    changed["spec"]["selector"]["matchLabels"] = changed["spec"]["template"]["metadata"]["labels"] = {"app": "b"}
    assert "field is immutable" in bare.refused(changed)


def test_a_jobs_template_is_immutable(bare: Space) -> None:
    bare.apply(job("a"))
    message = bare.refused(job("a", "app:2"))
    assert "spec.template: Invalid value" in message
    assert "field is immutable" in message


def test_a_stateful_sets_claims_are_immutable(bare: Space) -> None:
    labels = {"app": "a"}
    stateful_set = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "a"},
        "spec": {
            "serviceName": "a",
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "image": "app:1"}]},
            },
            "volumeClaimTemplates": [
                {
                    "metadata": {"name": "data"},
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
                }
            ],
        },
    }
    bare.apply(stateful_set)
    assert bare.apply(stateful_set)["metadata"]["generation"] == 1
    stateful_set["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] = "2Gi"  # type: ignore[index]
    assert "updates to statefulset spec for fields other than" in bare.refused(stateful_set)


def test_a_deployment_creates_pods_through_a_replica_set(bare: Space) -> None:
    bare.apply(deployment("a", replicas=2))
    wait_for("two pods", lambda: len(bare.all("Pod")) == 2)
    for pod in bare.all("Pod"):
        owner = pod["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["controller"]) == ("ReplicaSet", True)
        assert pod["metadata"]["labels"]["app"] == "a"


def test_deleting_an_owner_deletes_its_dependents(bare: Space) -> None:
    owner = bare.create_object(config_map("owner"))
    for name, uid in (("dependent", owner["metadata"]["uid"]), ("orphan", "00000000-0000-0000-0000-000000000000")):
        obj = config_map(name)
        obj["metadata"]["ownerReferences"] = [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid, "controller": True}
        ]
        bare.create_object(obj)
    bare.wait_gone("ConfigMap", "orphan")
    assert bare.get("ConfigMap", "dependent")
    bare.delete("ConfigMap", "owner")
    bare.wait_gone("ConfigMap", "dependent")


def test_discovery_lists_the_served_resources(widgets: Space) -> None:
    assert widgets.client.serves("test.asya.io/v1", "widgets")
    assert not widgets.client.serves("test.asya.io/v1", "sprockets")
    assert not widgets.client.serves("absent.asya.io/v1", "widgets")
    assert widgets.client.version() >= (1, 23)
