"""Server-side apply: which manager owns which field, on every tier."""

from collections.abc import Callable

import pytest

from kube import resources
from kube.failures import ApiError
from kube.objects import Object
from tests.cluster.shapes import WIDGETS, config_map, deployment, widget
from tests.harness.clusters import wait_for
from tests.harness.space import BY_KIND, Space


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


def test_an_applied_scale_owns_the_replicas(bare: Space) -> None:
    client, resource = bare.client, BY_KIND["Deployment"]
    obj = deployment("a")
    obj["spec"]["replicas"] = 0
    made = bare.apply(obj, "one")["metadata"]

    def scaled(version: str) -> Object:
        metadata = {"name": "a", "namespace": bare.name, "resourceVersion": version}
        scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": {"replicas": 0}}
        return client.apply(resource, scale, manager="two", subresource="scale", uid=made["uid"])

    # The Deployment's controller writes the status, and so a version, at any moment.
    written = wait_for("the scale", lambda: scaled(bare.wait("Deployment", "a")["metadata"]["resourceVersion"]))
    assert (written["kind"], written["spec"].get("replicas", 0)) == ("Scale", 0)
    live = bare.wait("Deployment", "a")
    assert managers(live)["two", "Apply"] == {"f:spec": {"f:replicas": {}}}
    assert live["metadata"]["generation"] == made["generation"]
    bare.patch("Deployment", "a", {"metadata": {"labels": {"x": "z"}}})
    with pytest.raises(ApiError) as stale:
        scaled(live["metadata"]["resourceVersion"])
    assert stale.value.code == 409
    del obj["spec"]["replicas"]
    assert bare.apply(obj, "one")["spec"]["replicas"] == 0
    bare.scale("Deployment", "a", 4)
    obj["metadata"]["labels"] = {"x": "y"}
    assert bare.apply(obj, "one")["spec"]["replicas"] == 4


def test_of_two_applies_that_create_one_gets_a_conflict(bare: Space) -> None:
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


def test_a_dry_run_of_an_apply_shows_the_result(bare: Space) -> None:
    made = bare.apply(deployment("a"))
    manifest = bare.here(deployment("a"))
    manifest["spec"]["template"]["spec"]["containers"][0]["image"] = "app:2"
    message = bare.client.apply(BY_KIND["Deployment"], manifest, uid=made["metadata"]["uid"], dry_run=True)
    assert message["spec"]["template"] != made["spec"]["template"]
    assert bare.wait("Deployment", "a")["spec"]["template"] == made["spec"]["template"]


def test_apply_removes_what_its_manager_drops_and_leaves_what_others_set(bare: Space) -> None:
    bare.apply(config_map("a", mine="1", dropped="2"), "one")
    bare.apply(config_map("a", theirs="3"), "two")
    bare.patch("ConfigMap", "a", {"data": {"edited": "4"}})
    assert bare.apply(config_map("a", mine="1"), "one")["data"] == {"mine": "1", "theirs": "3", "edited": "4"}


def test_apply_without_force_conflicts_and_with_force_takes_the_field(bare: Space) -> None:
    bare.apply(config_map("a", k="1"), "one")
    path = resources.CONFIG_MAPS.path(bare.name, "a")
    body = bare.here(config_map("a", k="2"))
    kind = "application/apply-patch+yaml"
    with pytest.raises(ApiError) as caught:
        bare.client.request("PATCH", path, query={"fieldManager": "two"}, body=body, content_type=kind)
    assert (caught.value.code, caught.value.reason) == (409, "Conflict")
    assert 'conflict with "one"' in caught.value.message
    applied = bare.apply(config_map("a", k="2"), "two")
    assert ("one", "Apply") not in managers(applied)
    # The first manager no longer owns these fields, so dropping them removes nothing.
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


def test_a_field_returns_to_its_default_when_its_only_owner_drops_it(bare: Space) -> None:
    bare.apply(deployment("a", replicas=5), "one")
    assert bare.apply(deployment("a"), "one")["spec"]["replicas"] == 1


def test_scaling_takes_the_field_from_the_manager_that_applied_it(bare: Space) -> None:
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
