"""The API behaviour that the operator relies on. It runs unchanged against the sandbox and a real kube-apiserver.

Where the two differ, the sandbox is wrong.
"""

import pytest

from kube import resources
from kube.failures import ApiError
from kube.objects import Object
from tests.cluster.shapes import config_map, deployment, job, widget
from tests.harness.space import Space, fingerprint


def test_create_fills_in_metadata_and_a_second_create_conflicts(bare: Space) -> None:
    made = bare.create_object(config_map("a", k="v"))
    assert made["metadata"]["uid"]
    assert made["metadata"]["creationTimestamp"]
    assert made["metadata"]["resourceVersion"]
    with pytest.raises(ApiError) as caught:
        bare.create_object(config_map("a"))
    assert (caught.value.code, caught.value.reason) == (409, "AlreadyExists")


def test_absent_object_is_404(bare: Space) -> None:
    assert bare.get("ConfigMap", "none") is None
    with pytest.raises(ApiError) as caught:
        bare.client.request("GET", resources.CONFIG_MAPS.path(bare.name, "none"))
    assert (caught.value.code, caught.value.reason) == (404, "NotFound")
    assert caught.value.message == 'configmaps "none" not found'


def test_create_adds_missing_apiversion_and_kind(bare: Space) -> None:
    made = bare.client.create(resources.CONFIG_MAPS, {"metadata": {"name": "bare", "namespace": bare.name}})
    assert made["kind"] == "ConfigMap"


def test_create_in_an_absent_namespace_is_404(bare: Space) -> None:
    with pytest.raises(ApiError) as caught:
        Space(bare.client, "there-is-no-such").create_object(config_map("a"))
    assert caught.value.code == 404


def test_names_are_checked(bare: Space) -> None:
    with pytest.raises(ApiError) as caught:
        bare.create_object(config_map("Not_A_Name"))
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")
    assert "metadata.name" in caught.value.message


def test_label_values_are_checked(bare: Space) -> None:
    obj = config_map("a")
    obj["metadata"]["labels"] = {"k": "x" * 64}
    with pytest.raises(ApiError) as caught:
        bare.create_object(obj)
    assert caught.value.code == 422


def test_update_with_an_old_version_conflicts(bare: Space) -> None:
    first = bare.create_object(config_map("a", k="1"))
    bare.patch("ConfigMap", "a", {"data": {"k": "2"}})
    with pytest.raises(ApiError) as caught:
        bare.client.request("PUT", resources.CONFIG_MAPS.path(bare.name, "a"), body=first)
    assert (caught.value.code, caught.value.reason) == (409, "Conflict")


def test_a_write_without_a_change_keeps_version_and_generation(bare: Space) -> None:
    before = fingerprint(bare.apply(config_map("a", k="v")))
    assert fingerprint(bare.apply(config_map("a", k="v"))) == before
    assert fingerprint(bare.patch("ConfigMap", "a", {"data": {"k": "v"}})) == before


def test_generation_grows_with_spec_and_not_with_metadata_or_status(bare: Space) -> None:
    bare.apply(deployment("a"))
    assert bare.patch("Deployment", "a", {"metadata": {"labels": {"x": "y"}}})["metadata"]["generation"] == 1
    assert bare.patch("Deployment", "a", {"spec": {"replicas": 2}})["metadata"]["generation"] == 2


def test_annotations_change_the_generation_of_a_deployment_alone(bare: Space) -> None:
    note = {"metadata": {"annotations": {"x": "y"}}}
    bare.apply(deployment("a"))
    assert bare.patch("Deployment", "a", note)["metadata"]["generation"] == 2
    bare.apply(job("a"))
    assert bare.patch("Job", "a", note)["metadata"]["generation"] == 1


def test_merge_patch_removes_by_null(bare: Space) -> None:
    bare.create_object(config_map("a", k="1", other="2"))
    assert bare.patch("ConfigMap", "a", {"data": {"k": None}})["data"] == {"other": "2"}


def test_json_patch(bare: Space) -> None:
    bare.create_object(config_map("a", k="1"))
    path = resources.CONFIG_MAPS.path(bare.name, "a")
    body: list[Object] = [
        {"op": "replace", "path": "/data/k", "value": "2"},
        {"op": "add", "path": "/metadata/labels", "value": {"x/y": "3"}},
    ]
    body.append({"op": "replace", "path": "/metadata/labels/x~1y", "value": "4"})
    patched = bare.client.request("PATCH", path, body=body, content_type="application/json-patch+json")
    assert patched["data"] == {"k": "2"}
    assert patched["metadata"]["labels"] == {"x/y": "4"}


def test_strategic_merge_patch_merges_containers_by_name(bare: Space) -> None:
    bare.apply(deployment("a"))
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "more", "image": "more:1"}]}}}}
    path = resources.DEPLOYMENTS.path(bare.name, "a")
    content_type = "application/strategic-merge-patch+json"
    patched = bare.client.request("PATCH", path, body=patch, content_type=content_type)
    assert {c["name"] for c in patched["spec"]["template"]["spec"]["containers"]} == {"app", "more"}


def test_delete_with_a_wrong_uid_deletes_nothing(bare: Space) -> None:
    bare.create_object(config_map("a"))
    assert not bare.client.delete(resources.CONFIG_MAPS, bare.name, "a", uid="another")
    assert bare.get("ConfigMap", "a")


def test_a_finalizer_keeps_an_object_until_it_is_removed(bare: Space) -> None:
    obj = config_map("a")
    obj["metadata"]["finalizers"] = ["test.asya.io/hold"]
    bare.create_object(obj)
    bare.delete("ConfigMap", "a")
    held = bare.get("ConfigMap", "a")
    assert held
    assert held["metadata"]["deletionTimestamp"]
    bare.patch("ConfigMap", "a", {"metadata": {"finalizers": None}})
    assert bare.get("ConfigMap", "a") is None


def test_dry_run_answers_and_stores_nothing(bare: Space) -> None:
    path = resources.CONFIG_MAPS.path(bare.name)
    made = bare.client.request("POST", path, query={"dryRun": "All"}, body=bare.here(config_map("a", k="v")))
    assert made["data"] == {"k": "v"}
    assert bare.get("ConfigMap", "a") is None
    bare.create_object(config_map("a", k="v"))
    bare.client.request("DELETE", f"{path}/a", query={"dryRun": "All"})
    bare.client.request("DELETE", f"{path}/a", body={"dryRun": ["All"]})  # kubectl sends it this way
    assert bare.get("ConfigMap", "a") is not None


def test_only_the_subresource_writes_the_status(widgets: Space) -> None:
    widgets.create_object({**widget("a", size=1), "status": {"phase": "ignored"}})
    widgets.patch("Widget", "a", {"status": {"phase": "ignored"}})
    assert "status" not in (widgets.get("Widget", "a") or {})
    changed = widgets.patch("Widget", "a", {"status": {"phase": "Up"}, "spec": {"size": 9}}, "status")
    assert changed["status"] == {"phase": "Up"}
    assert changed["spec"]["size"] == 1
    assert changed["metadata"]["generation"] == 1


def test_scale_subresource(bare: Space) -> None:
    bare.apply(deployment("a"))
    bare.scale("Deployment", "a", 4)
    scale = bare.client.request("GET", resources.DEPLOYMENTS.path(bare.name, "a", "scale"))
    assert scale["kind"] == "Scale"
    assert scale["spec"]["replicas"] == 4
    assert (bare.get("Deployment", "a") or {})["spec"]["replicas"] == 4


# -- lists, watches, selectors -------------------------------------------------------------------


def test_label_and_field_selectors(bare: Space) -> None:
    for name, labels in (("a", {"x": "1"}), ("b", {"x": "2", "y": ""}), ("c", {})):
        obj = config_map(name)
        obj["metadata"]["labels"] = labels
        bare.create_object(obj)

    def names(**query: str) -> list[str]:
        objects = bare.client.list(resources.CONFIG_MAPS, bare.name, **query)
        return sorted(o["metadata"]["name"] for o in objects if not o["metadata"]["name"].endswith(".crt"))

    assert names(labelSelector="x") == ["a", "b"]
    assert names(labelSelector="x=1") == ["a"]
    assert names(labelSelector="x in (1,2),!y") == ["a"]
    assert names(labelSelector="x!=1") == ["b", "c"]
    assert names(fieldSelector="metadata.name=c") == ["c"]
