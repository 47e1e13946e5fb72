"""The API behaviour that the operator relies on; runs unchanged against the sandbox and a real kube-apiserver.

Where the two differ, the sandbox is wrong.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest
import urllib3

from kube import resources
from kube.client import Client
from kube.failures import ApiError
from kube.objects import Object
from kube.resources import Resource
from tests.harness.clusters import Cluster, wait_for
from tests.harness.operator import CRDS, install_crd
from tests.harness.space import BY_KIND, Space, fingerprint

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


@pytest.fixture(scope="module")
def _widgets(cluster: Cluster) -> None:
    install_crd(cluster.client(), widget_crd())


@pytest.fixture
def widgets(_widgets: None, bare: Space) -> Space:
    return bare


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


# -- create, read, update, delete ----------------------------------------------------------------


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


def test_create_without_apiversion_and_kind_is_completed(bare: Space) -> None:
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


def test_write_that_changes_nothing_moves_nothing(bare: Space) -> None:
    before = fingerprint(bare.apply(config_map("a", k="v")))
    assert fingerprint(bare.apply(config_map("a", k="v"))) == before
    assert fingerprint(bare.patch("ConfigMap", "a", {"data": {"k": "v"}})) == before


def test_generation_moves_with_spec_and_not_with_metadata_or_status(bare: Space) -> None:
    bare.apply(deployment("a"))
    assert bare.patch("Deployment", "a", {"metadata": {"labels": {"x": "y"}}})["metadata"]["generation"] == 1
    assert bare.patch("Deployment", "a", {"spec": {"replicas": 2}})["metadata"]["generation"] == 2


def test_annotations_move_the_generation_of_a_deployment_alone(bare: Space) -> None:
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


def test_a_finalizer_holds_an_object_until_it_is_taken_off(bare: Space) -> None:
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
    bare.client.request("DELETE", f"{path}/a", body={"dryRun": ["All"]})  # as kubectl says it
    assert bare.get("ConfigMap", "a") is not None


def test_status_is_written_only_by_its_subresource(widgets: Space) -> None:
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
        found = bare.client.list(resources.CONFIG_MAPS, bare.name, **query)
        return sorted(o["metadata"]["name"] for o in found if not o["metadata"]["name"].endswith(".crt"))

    assert names(labelSelector="x") == ["a", "b"]
    assert names(labelSelector="x=1") == ["a"]
    assert names(labelSelector="x in (1,2),!y") == ["a"]
    assert names(labelSelector="x!=1") == ["b", "c"]
    assert names(fieldSelector="metadata.name=c") == ["c"]


def watch_events(client: Client, path: str, version: str, seconds: int = 3, **query: str) -> list[Object]:
    response = client.request(
        "GET",
        path,
        query={"watch": "true", "resourceVersion": version, "timeoutSeconds": seconds, **query},
        stream=True,
        timeout=urllib3.Timeout(connect=2, read=seconds + 5),
    )
    data = b"".join(response.stream())
    return [orjson.loads(line) for line in data.splitlines() if line]


def test_watch_tells_of_every_change_after_a_version_and_ends_on_time(bare: Space) -> None:
    bare.create_object(config_map("before"))
    path = resources.CONFIG_MAPS.path(bare.name)
    version = bare.client.request("GET", path)["metadata"]["resourceVersion"]

    def change() -> None:
        bare.create_object(config_map("a", k="1"))
        bare.patch("ConfigMap", "a", {"data": {"k": "2"}})
        bare.delete("ConfigMap", "a")

    changer = threading.Timer(0.3, change)
    changer.start()
    started = time.monotonic()
    events = watch_events(bare.client, path, version, fieldSelector="metadata.name=a")
    changer.join()
    assert [e["type"] for e in events] == ["ADDED", "MODIFIED", "DELETED"]
    versions = [int(e["object"]["metadata"]["resourceVersion"]) for e in events]
    assert versions == sorted(set(versions))
    assert versions[0] > int(version)
    assert 2 < time.monotonic() - started < 6


def test_a_watch_by_label_tells_of_objects_that_enter_and_leave(bare: Space) -> None:
    bare.create_object(config_map("a"))
    path = resources.CONFIG_MAPS.path(bare.name)
    version = bare.client.request("GET", path)["metadata"]["resourceVersion"]
    bare.patch("ConfigMap", "a", {"metadata": {"labels": {"x": "1"}}})
    bare.patch("ConfigMap", "a", {"metadata": {"labels": {"x": None}}})
    events = watch_events(bare.client, path, version, 1, labelSelector="x")
    assert [e["type"] for e in events] == ["ADDED", "DELETED"]
    # An object that leaves is shown as it was when it was last selected, with the version of the change.
    added, deleted = (e["object"]["metadata"] for e in events)
    assert deleted["labels"] == {"x": "1"}
    assert int(deleted["resourceVersion"]) > int(added["resourceVersion"])


def test_bookmarks_bring_a_newer_version(widgets: Space, cluster: Cluster) -> None:
    if cluster.real:
        pytest.skip("a real API server sends them about once a minute")
    path = WIDGETS.path(widgets.name)
    version = widgets.client.request("GET", path)["metadata"]["resourceVersion"]
    events = watch_events(widgets.client, path, version, 1, allowWatchBookmarks="true")
    assert {e["type"] for e in events} == {"BOOKMARK"}
    assert int(events[0]["object"]["metadata"]["resourceVersion"]) >= int(version)


def test_a_list_is_of_its_kind_and_has_a_version(bare: Space) -> None:
    answer = bare.client.request("GET", resources.DEPLOYMENTS.path(bare.name))
    assert answer["kind"] == "DeploymentList"
    assert int(answer["metadata"]["resourceVersion"]) > 0


def test_items_of_built_in_lists_do_not_say_their_kind_and_those_of_custom_ones_do(widgets: Space) -> None:
    widgets.apply(deployment("a"))
    widgets.create_object(widget("a"))
    (built_in,) = widgets.client.list(resources.DEPLOYMENTS, widgets.name)
    assert "kind" not in built_in
    (custom,) = widgets.client.list(WIDGETS, widgets.name)
    assert custom["kind"] == "Widget"


def test_tables_have_the_printer_columns(widgets: Space) -> None:
    widgets.create_object(widget("a", size=5))
    assert widgets.table("Widget") == (["Name", "Size"], [["a", 5]])


# -- server-side apply ---------------------------------------------------------------------------


def managers(obj: Object) -> dict[tuple[str, str], Object]:
    return {(m["manager"], m["operation"]): m["fieldsV1"] for m in obj["metadata"].get("managedFields") or ()}


def test_apply_creates_and_owns(bare: Space) -> None:
    made = bare.apply(config_map("a", k="v"), "one")
    assert managers(made) == {("one", "Apply"): {"f:data": {"f:k": {}}}}


def test_apply_with_a_uid_changes_that_object_and_no_other_of_its_name(bare: Space) -> None:
    client, resource = bare.client, BY_KIND["Deployment"]
    obj = bare.here(deployment("a"))
    with pytest.raises(ApiError) as absent:
        client.apply(resource, obj, uid="c0ffee00-0000-4000-8000-000000000000")
    assert absent.value.code == 409
    made = client.apply(resource, obj, uid="")
    uid = made["metadata"]["uid"]
    assert client.apply(resource, obj, uid=uid)["metadata"]["generation"] == made["metadata"]["generation"]
    with pytest.raises(ApiError) as exists:
        client.apply(resource, obj, uid="")
    assert exists.value.code == 409
    changes: list[Callable[[str], Object]] = [
        lambda other: client.apply(resource, obj, uid=other),
        lambda other: client.merge_patch(resource, bare.name, "a", {"metadata": {"labels": {"x": "y"}}}, uid=other),
        lambda other: client.merge_patch(
            resource, bare.name, "a", {"spec": {"replicas": 3}}, subresource="scale", uid=other
        ),
    ]
    for change in changes:
        with pytest.raises(ApiError) as another:
            change("c0ffee00-0000-4000-8000-000000000000")
        assert another.value.code == 409
        change(uid)
    changed = bare.wait("Deployment", "a")
    assert (changed["metadata"]["labels"]["x"], changed["spec"]["replicas"]) == ("y", 3)


def test_of_two_that_create_by_an_apply_one_is_told_of_the_other(bare: Space) -> None:
    obj = bare.here(config_map("a", k="1"))
    resource = BY_KIND["ConfigMap"]
    made = bare.client.create(resource, obj)
    with pytest.raises(ApiError) as caught:
        bare.client.apply(resource, obj | {"data": {"k": "2"}}, uid="")
    assert caught.value.code == 409
    assert bare.wait("ConfigMap", "a")["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert managers(bare.client.apply(resource, bare.here(config_map("b", k="1")), uid="")).keys() == {
        ("asya-operator", "Apply")
    }


def test_a_dry_run_of_an_apply_tells_what_would_become_of_it(bare: Space) -> None:
    made = bare.apply(deployment("a"))
    wanted = bare.here(deployment("a"))
    wanted["spec"]["template"]["spec"]["containers"][0]["image"] = "app:2"
    told = bare.client.apply(BY_KIND["Deployment"], wanted, uid=made["metadata"]["uid"], dry_run=True)
    assert told["spec"]["template"] != made["spec"]["template"]
    assert bare.wait("Deployment", "a")["spec"]["template"] == made["spec"]["template"]


def test_apply_removes_what_its_manager_drops_and_leaves_what_others_set(bare: Space) -> None:
    bare.apply(config_map("a", mine="1", dropped="2"), "one")
    bare.apply(config_map("a", theirs="3"), "two")
    bare.patch("ConfigMap", "a", {"data": {"edited": "4"}})
    assert bare.apply(config_map("a", mine="1"), "one")["data"] == {"mine": "1", "theirs": "3", "edited": "4"}


def test_apply_without_force_conflicts_and_with_force_takes(bare: Space) -> None:
    bare.apply(config_map("a", k="1"), "one")
    path = resources.CONFIG_MAPS.path(bare.name, "a")
    body = bare.here(config_map("a", k="2"))
    kind = "application/apply-patch+yaml"
    with pytest.raises(ApiError) as caught:
        bare.client.request("PATCH", path, query={"fieldManager": "two"}, body=body, content_type=kind)
    assert (caught.value.code, caught.value.reason) == (409, "Conflict")
    assert 'conflict with "one"' in caught.value.message
    taken = bare.apply(config_map("a", k="2"), "two")
    assert ("one", "Apply") not in managers(taken)
    # What the first manager applied before is not its own any more, so dropping it removes nothing.
    assert bare.apply(config_map("a"), "one")["data"] == {"k": "2"}


def test_a_field_with_two_owners_survives_one_of_them(bare: Space) -> None:
    bare.apply(deployment("a", replicas=5), "one")
    bare.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "a"},
            "spec": {"replicas": 5},
        },
        "two",
    )
    assert bare.apply(deployment("a"), "one")["spec"]["replicas"] == 5


def test_a_field_whose_only_owner_drops_it_goes_back_to_its_default(bare: Space) -> None:
    bare.apply(deployment("a", replicas=5), "one")
    assert bare.apply(deployment("a"), "one")["spec"]["replicas"] == 1


def test_scaling_takes_the_field_from_whoever_applied_it(bare: Space) -> None:
    bare.apply(deployment("a", replicas=5), "one")
    bare.scale("Deployment", "a", 7)
    assert bare.apply(deployment("a"), "one")["spec"]["replicas"] == 7


def test_apply_merges_lists_by_key_and_keeps_the_elements_of_others(bare: Space) -> None:
    bare.apply(deployment("a"), "one")
    patch = [{"op": "add", "path": "/spec/template/spec/containers/0", "value": {"name": "first", "image": "f:1"}}]
    path = resources.DEPLOYMENTS.path(bare.name, "a")
    bare.client.request("PATCH", path, body=patch, content_type="application/json-patch+json")
    changed = deployment("a")
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "app:2"
    applied = bare.apply(changed, "one")["spec"]["template"]["spec"]["containers"]
    assert [(c["name"], c["image"]) for c in applied] == [("first", "f:1"), ("app", "app:2")]


def test_apply_to_the_status_owns_only_the_status(widgets: Space) -> None:
    widgets.create_object(widget("a", size=1))
    status = {**widget("a"), "status": {"phase": "Up"}}
    del status["spec"]
    applied = widgets.client.apply(WIDGETS, widgets.here(status), manager="one", subresource="status")
    assert applied["status"] == {"phase": "Up"}
    assert applied["spec"]["size"] == 1


# -- custom resources ----------------------------------------------------------------------------


def test_custom_resources_are_defaulted_pruned_and_kept_where_asked(widgets: Space) -> None:
    made = widgets.create_object(widget("a", nested={"b": 1}, free={"any": {"thing": [1]}}, unknown=True))
    assert made["spec"] == {"size": 3, "nested": {"a": "x"}, "free": {"any": {"thing": [1]}}}


def test_null_counts_as_absent_and_is_defaulted(widgets: Space) -> None:
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
def test_a_default_is_held_to_the_rules_without_the_defaults_inside_it(
    bare: Space, extra: Object, message: str
) -> None:
    properties = {"a": {"type": "integer", "default": 1}, "b": {"type": "integer", "default": 2}}
    crd = widget_crd({"type": "object", "default": {}, "properties": properties, **extra})
    crd["metadata"]["name"] = "gadgets.test.asya.io"
    crd["spec"]["names"] = {"kind": "Gadget", "listKind": "GadgetList", "plural": "gadgets", "singular": "gadget"}
    with pytest.raises(ApiError) as caught:
        bare.client.apply(CRDS, crd)
    assert caught.value.code == 422
    assert message in caught.value.message


def test_a_custom_resource_is_gone_with_its_definition(bare: Space) -> None:
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
    wrong = deployment("a")
    wrong["spec"]["selector"]["matchLabels"] = {"app": "another"}
    assert "`selector` does not match template `labels`" in bare.refused(wrong)
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


def test_a_deployment_makes_pods_by_way_of_a_replica_set(bare: Space) -> None:
    bare.apply(deployment("a", replicas=2))
    wait_for("two pods", lambda: len(bare.all("Pod")) == 2)
    for pod in bare.all("Pod"):
        owner = pod["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["controller"]) == ("ReplicaSet", True)
        assert pod["metadata"]["labels"]["app"] == "a"


def test_owners_take_their_dependents_with_them(bare: Space) -> None:
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


def test_discovery_tells_what_is_served(widgets: Space) -> None:
    assert widgets.client.serves("test.asya.io/v1", "widgets")
    assert not widgets.client.serves("test.asya.io/v1", "sprockets")
    assert not widgets.client.serves("absent.asya.io/v1", "widgets")
    assert widgets.client.version() >= (1, 23)
