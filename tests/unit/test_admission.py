"""The meaning of the label on each object, decided without a cluster."""

import base64
import copy
from typing import Any

import jsonpatch
import orjson
import pytest

from crds.parse import InvalidActor, parse_actor
from injection.inject import inject
from injection.plan import Plan, make_plan
from injection.settings import SidecarDefaults, from_environment
from tests.harness.space import actor
from webhook.admission import UNCHANGED, Decision, PlanRequest, decide
from webhook.app import create_app
from webhook.connections import MAX_BODY
from webhook.handler import Handler

Object = dict[str, Any]
TEMPLATE: Object = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "app", "image": "a:1"}]}}


def lookup(wanted: PlanRequest) -> Plan | None:
    if wanted.actor == "broken":
        raise InvalidActor(["spec.queueName: required"])
    if wanted.actor not in ("a", "b"):
        return None
    return make_plan(parse_actor(actor(wanted.actor)), SidecarDefaults())


UID = "705ab4f5-6393-11e8-b7cc-42010a800002"


def review(obj: Object, resource: str = "deployments", group: str = "apps", operation: str = "CREATE") -> Object:
    return {
        "uid": UID,
        "userInfo": {"username": "system:admin"},
        "operation": operation,
        "namespace": "ns",
        "resource": {"group": group, "version": "v1", "resource": resource},
        "object": obj,
    }


def deployment(label: str | None = "a", template: Object = TEMPLATE, **metadata: Any) -> Object:
    labels = {"asya.io/actor": label} if label else {}
    return {"metadata": {"name": "d", "labels": labels, **metadata}, "spec": {"template": copy.deepcopy(template)}}


def after(obj: Object, decision: Decision) -> Object:
    return dict(jsonpatch.apply_patch(obj, decision.patch))


def containers(obj: Object, *path: str) -> list[str]:
    for part in path or ("spec", "template"):
        obj = obj[part]
    return [c["name"] for c in obj["spec"]["containers"]]


@pytest.mark.parametrize(
    ("group", "resource"),
    [("apps", "deployments"), ("apps", "statefulsets"), ("apps", "daemonsets")],
)
def test_a_labelled_workload_has_its_template_injected_and_labelled(group: str, resource: str) -> None:
    obj = deployment()
    decision = decide(review(obj, resource, group), lookup)
    result = after(obj, decision)
    assert decision.outcome == "injected"
    assert containers(result) == ["sidecar", "app"]
    assert result["spec"]["template"]["metadata"]["labels"] == {"app": "x", "asya.io/actor": "a"}
    assert decide(review(result, resource, group, "UPDATE"), lookup).outcome == "unchanged"


@pytest.mark.parametrize(
    ("group", "resource", "path"),
    [
        ("batch", "jobs", ("spec", "template")),
        ("batch", "cronjobs", ("spec", "jobTemplate", "spec", "template")),
        ("keda.sh", "scaledjobs", ("spec", "jobTargetRef", "template")),
    ],
)
def test_jobs_of_each_kind_get_a_native_sidecar(group: str, resource: str, path: tuple[str, ...]) -> None:
    node: Any = copy.deepcopy(TEMPLATE)
    for part in reversed(path):
        node = {part: node}
    obj = {"metadata": {"name": "j", "labels": {"asya.io/actor": "a"}}, **node}
    result: Any = after(obj, decide(review(obj, resource, group), lookup))
    for part in path:
        result = result[part]
    assert result["spec"]["initContainers"][0]["restartPolicy"] == "Always"
    assert [c["name"] for c in result["spec"]["containers"]] == ["app"]


def test_the_template_of_an_existing_job_does_not_change() -> None:
    job = {"metadata": {"labels": {"asya.io/actor": "a"}}, "spec": {"template": TEMPLATE}}
    assert decide(review(job, "jobs", "batch", "UPDATE"), lookup).outcome == "unchanged"


def test_removing_the_label_restores_the_template() -> None:
    obj = deployment()
    injected = after(obj, decide(review(obj), lookup))
    del injected["metadata"]["labels"]["asya.io/actor"]
    decision = decide(review(injected, operation="UPDATE"), lookup)
    assert decision.outcome == "uninjected"
    assert after(injected, decision)["spec"]["template"] == TEMPLATE


def test_another_label_injects_another_actor() -> None:
    obj = deployment()
    injected = after(obj, decide(review(obj), lookup))
    injected["metadata"]["labels"]["asya.io/actor"] = "b"
    result = after(injected, decide(review(injected, operation="UPDATE"), lookup))
    assert result == after(deployment("b"), decide(review(deployment("b")), lookup))


@pytest.mark.parametrize("where", ["labels", "annotations"])
def test_opting_out(where: str) -> None:
    obj = deployment()
    obj["metadata"].setdefault(where, {})["asya.io/inject"] = "disabled"
    assert decide(review(obj), lookup).outcome == "unchanged"
    injected = after(deployment(), decide(review(deployment()), lookup))
    injected["metadata"].setdefault(where, {})["asya.io/inject"] = "disabled"
    assert containers(after(injected, decide(review(injected, operation="UPDATE"), lookup))) == ["app"]


def test_a_workload_with_a_labelled_template_alone_does_not_change() -> None:
    obj = deployment(None)
    obj["spec"]["template"]["metadata"]["labels"]["asya.io/actor"] = "a"
    assert decide(review(obj), lookup).outcome == "unchanged"


def test_a_missing_actor_is_a_warning_for_a_workload_and_a_denial_for_a_pod() -> None:
    decision = decide(review(deployment("later")), lookup)
    assert decision.outcome == "unchanged"
    assert "no AsyncActor 'later' in namespace 'ns' yet" in decision.warnings[0]
    pod = {**copy.deepcopy(TEMPLATE), "metadata": {"labels": {"asya.io/actor": "later"}}}
    assert decide(review(pod, "pods", ""), lookup).outcome == "denied"


def test_pods_are_injected_once() -> None:
    pod = {**copy.deepcopy(TEMPLATE), "metadata": {"labels": {"asya.io/actor": "a"}}}
    result = after(pod, decide(review(pod, "pods", ""), lookup))
    assert containers({"x": result}, "x") == ["sidecar", "app"]
    assert decide(review(result, "pods", ""), lookup).outcome == "unchanged"
    assert decide(review(pod, "pods", "", "UPDATE"), lookup).outcome == "unchanged"


def test_a_pod_with_a_record_but_without_a_sidecar_is_injected() -> None:
    pod = {**copy.deepcopy(TEMPLATE), "metadata": {"labels": {"asya.io/actor": "a"}}}
    result = after(pod, decide(review(pod, "pods", ""), lookup))
    result["spec"]["containers"] = [c for c in result["spec"]["containers"] if c["name"] != "sidecar"]
    second = after(result, decide(review(result, "pods", ""), lookup))
    assert containers({"x": second}, "x") == ["sidecar", "app"]


def test_denials_name_the_full_path_of_the_field() -> None:
    two = {"spec": {"containers": [{"name": "x"}, {"name": "y"}]}}
    assert decide(review(deployment(template=two)), lookup).message.startswith("spec.template.spec.containers: which")


def test_an_invalid_actor_denies_with_its_errors() -> None:
    assert "spec.queueName: required" in decide(review(deployment("broken")), lookup).message


@pytest.mark.parametrize(
    "change",
    [
        {"operation": "DELETE"},
        {"subResource": "scale"},
        {"object": None},
        {"resource": {"group": "apps", "resource": "replicasets"}},
        {"object": {"metadata": {"labels": {"asya.io/actor": "a"}}, "spec": {}}},
    ],
)
def test_other_objects_are_allowed_unchanged(change: Object) -> None:
    assert decide({**review(deployment()), **change}, lookup).outcome == "unchanged"


# -- over HTTP -----------------------------------------------------------------------------------


def post(body: Any, path: str = "/mutate", content_type: str = "application/json") -> Any:
    client = create_app(Handler(lookup, SidecarDefaults())).test_client()
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return client.post(path, data=data, content_type=content_type)


def envelope(request: Object) -> Object:
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def test_a_response_is_a_review_with_a_patch() -> None:
    answer = post(envelope(review(deployment()))).get_json()
    response = answer["response"]
    assert (answer["kind"], response["uid"], response["allowed"]) == ("AdmissionReview", UID, True)
    assert response["patchType"] == "JSONPatch"
    patched = jsonpatch.apply_patch(deployment(), orjson.loads(base64.b64decode(response["patch"])))
    assert containers(patched) == ["sidecar", "app"]


def test_a_denial_has_a_message_and_a_code() -> None:
    two = {"spec": {"containers": [{"name": "x"}, {"name": "y"}]}}
    response = post(envelope(review(deployment(template=two)))).get_json()["response"]
    assert response["allowed"] is False
    assert response["status"]["code"] == 422
    assert "x, y" in response["status"]["message"]


@pytest.mark.parametrize(
    ("body", "content_type", "code"),
    [
        (b"", "application/json", 411),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"{}", "application/json", 400),
        (b'{"apiVersion":"admission.k8s.io/v1"}', "application/json", 400),
        (b'{"apiVersion":"admission.k8s.io/v1","request":{}}', "application/json", 400),
        (b"{}", "text/plain", 400),
        (b" " * (MAX_BODY + 1), "application/json", 413),
    ],
)
def test_an_invalid_review_gets_a_4xx(body: bytes, content_type: str, code: int) -> None:
    assert post(body, content_type=content_type).status_code == code


@pytest.mark.parametrize(
    "template",
    [
        [],
        "x",
        {"spec": []},
        {"spec": {"containers": {}}},
        {"spec": {"containers": [None]}},
        {"spec": {"containers": [{"name": "a", "env": 5}]}},
        {"spec": {"containers": [{"name": "a", "volumeMounts": [5]}], "volumes": "x"}},
        {"metadata": [], "spec": {"containers": [{"name": "a"}]}},
    ],
)
def test_a_malformed_object_gets_a_well_formed_response(template: Any) -> None:
    obj = {"metadata": {"labels": {"asya.io/actor": "a"}}, "spec": {"template": template}}
    answer = post(envelope(review(obj)))
    assert answer.status_code == 200
    assert answer.get_json()["response"]["uid"] == UID


# -- settings ------------------------------------------------------------------------------------


def test_settings_from_the_environment() -> None:
    read = from_environment({"ASYA_SIDECAR_IMAGE": "s:1", "ASYA_SIDECAR_RESOURCES": '{"limits":{"cpu":"1"}}'})
    assert (read.image, read.resources, read.metrics_port) == ("s:1", {"limits": {"cpu": "1"}}, 9095)
    assert from_environment({}) == SidecarDefaults()


PLAN = make_plan(parse_actor(actor("a")), SidecarDefaults())


@pytest.mark.parametrize("orphaned", [False, True])
def test_an_object_of_a_deleted_actor_keeps_its_sidecar_at_every_write(orphaned: bool) -> None:
    """Garbage collection, or the Deployment's own controller, writes to it after the actor is deleted."""
    made = {"app.kubernetes.io/managed-by": "asya-operator"}
    owner = {"apiVersion": "asya.io/v1alpha1", "kind": "AsyncActor", "name": "a", "uid": "gone", "controller": True}
    template = inject({"metadata": {}, "spec": {"containers": [{"name": "runtime", "image": "app:1"}]}}, PLAN)
    obj: Object = {
        "kind": "Deployment",
        "metadata": {
            "name": "a",
            "labels": {"asya.io/actor": "a", **made},
            "annotations": {"asya.io/applied": "0123"},
            **({} if orphaned else {"ownerReferences": [owner]}),
        },
        "spec": {"template": template},
    }
    request = {
        "operation": "UPDATE",
        "namespace": "x",
        "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
        "object": obj,
    }
    assert decide(request, lambda wanted: None).patch == []
    obj["metadata"] = {"name": "a", "labels": {"asya.io/actor": "a"}}
    assert decide(request, lambda wanted: None).outcome == "uninjected", "a merely labelled object must be released"


@pytest.mark.parametrize("label", [None, "b", ""])
def test_removing_the_label_of_an_owned_object_does_not_uninject_it(label: str | None) -> None:
    """The controller adds the label again. If the sidecar disappeared in between, the pods would be replaced twice."""
    owner = {"apiVersion": "asya.io/v1alpha1", "kind": "AsyncActor", "name": "a", "uid": "u", "controller": True}
    template = inject(copy.deepcopy(TEMPLATE), PLAN)
    obj = deployment(label, template, ownerReferences=[owner])
    decision = decide(review(obj, operation="UPDATE"), lookup)
    assert (decision.outcome, decision.patch) == ("unchanged", [])
    (message,) = decision.warnings
    assert "the AsyncActor 'a' owns this workload" in message
    obj["metadata"]["annotations"] = {"asya.io/inject": "disabled"}
    assert decide(review(obj, operation="UPDATE"), lookup).outcome == "uninjected", "a user's opt-out must win"
    gone = deployment(None, template, ownerReferences=[{**owner, "name": "gone"}])
    assert decide(review(gone, operation="UPDATE"), lookup) == UNCHANGED


def test_nothing_is_injected_for_a_deleted_actor() -> None:
    owner = {"apiVersion": "asya.io/v1alpha1", "kind": "AsyncActor", "name": "gone", "uid": "u", "controller": True}
    decision = decide(review(deployment("gone", ownerReferences=[owner])), lookup)
    assert decision.outcome == "denied"
    assert "'gone' that is to own this is deleted" in decision.message


@pytest.mark.parametrize("label", ["a", "gone", "broken", None])
def test_an_object_that_is_being_deleted_is_allowed_unchanged(label: str | None) -> None:
    """Otherwise its finalizers could not be removed if admission would refuse it today."""
    two = {"metadata": {}, "spec": {"containers": [{"name": n, "image": "app:1"} for n in ("one", "two")]}}
    for template in (TEMPLATE, two, inject(TEMPLATE, PLAN), {"spec": {"containers": 7}}):
        going = deployment(label, template, deletionTimestamp="2026-01-01T00:00:00Z")
        assert decide(review(going, operation="UPDATE"), lookup) == Decision("unchanged")
