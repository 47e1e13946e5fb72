"""Every input to the webhook gets a well-formed response or a 4xx, without data of other users."""

import base64
import copy
import io
import json
import logging
from typing import Any

import jsonpatch
import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from crds.names import ANNOTATION_INJECTED, LABEL_ACTOR
from crds.parse import InvalidActor, parse_actor
from injection.inject import inject
from injection.plan import Plan, make_plan
from injection.settings import SidecarDefaults
from kube.objects import Object
from telemetry import logs
from tests.chaos import FULL
from tests.harness.space import actor
from tests.strategies import templates
from webhook.admission import PlanRequest
from webhook.app import create_app
from webhook.connections import MAX_BODY
from webhook.handler import Handler

UID = "705ab4f5-6393-11e8-b7cc-42010a800002"
CASES = 20_000 if FULL else 200
SECRET = "what-nobody-else-may-see"

JUNK = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=12),
        st.sampled_from(["mine", "theirs", "sidecar", "asya-socket", "../../theirs", "a/b", "\x1b[31m\n", "x" * 300]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)
RESOURCES = [
    ("", "pods"),
    ("apps", "deployments"),
    ("batch", "cronjobs"),
    ("keda.sh", "scaledjobs"),
    ("asya.io", "asyncactors"),
    ("x", "y"),
]


def lookup(wanted: PlanRequest) -> Plan | None:
    """One actor in each of two namespaces. The second has a secret."""
    if (wanted.namespace, wanted.actor) == ("ns", "mine"):
        return make_plan(parse_actor(actor("mine")), SidecarDefaults())
    if (wanted.namespace, wanted.actor) == ("other", "theirs"):
        obj = actor("theirs", sidecar={"image": SECRET})
        return make_plan(parse_actor(obj), SidecarDefaults())
    if wanted.actor == "invalid":
        raise InvalidActor(["spec.queueName: required"])
    return None


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path in a JSON value."""
    all_paths = [at]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        all_paths += paths(inner, (*at, key))
    return all_paths


def replaced(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    """A copy with the value at ``path`` replaced."""
    if not path:
        return junk
    result = copy.copy(value)
    result[path[0]] = replaced(value[path[0]], path[1:], junk)
    return result


@st.composite
def reviews(draw: st.DrawFn) -> Any:
    """A mostly valid review with some wrong values."""
    group, resource = draw(st.sampled_from(RESOURCES))
    template = draw(templates())
    if draw(st.booleans()):
        plan = lookup(PlanRequest("ns", "mine"))
        assert plan is not None
        template = inject(template, plan)
    metadata: Object = {
        "name": "x",
        "labels": {LABEL_ACTOR: draw(st.sampled_from(["mine", "theirs", "invalid", "none"]))},
    }
    if resource == "pods":
        obj: Any = {**template, "metadata": {**(template.get("metadata") or {}), **metadata}}
    elif resource == "cronjobs":
        obj = {"metadata": metadata, "spec": {"jobTemplate": {"spec": {"template": template}}}}
    elif resource == "scaledjobs":
        obj = {"metadata": metadata, "spec": {"jobTargetRef": {"template": template}}}
    elif resource == "asyncactors":
        obj = actor("mine")
        obj["spec"]["workload"]["template"] = template
    else:
        obj = {"metadata": metadata, "spec": {"template": template}}
    review = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": UID,
            "userInfo": {"username": "system:admin"},
            "operation": draw(st.sampled_from(["CREATE", "UPDATE", "DELETE"])),
            "namespace": "ns",
            "resource": {"group": group, "version": "v1", "resource": resource},
            "object": obj,
        },
    }
    for _ in range(draw(st.integers(0, 3))):
        review = replaced(review, draw(st.sampled_from(paths(review))), draw(JUNK))
        if not isinstance(review, dict):
            break
    return review


@pytest.fixture(scope="module")
def client() -> Any:
    return create_app(Handler(lookup, SidecarDefaults())).test_client()


@given(st.one_of(reviews(), JUNK), st.sampled_from(["/mutate", "/validate"]))
@settings(
    max_examples=CASES,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],  # shrinking such a case takes minutes
)
def test_any_review_gets_a_well_formed_response(client: Any, review: Any, path: str) -> None:
    answer = client.post(path, data=json.dumps(review), content_type="application/json")
    assert answer.status_code < 500
    assert "Traceback" not in answer.text
    assert SECRET not in answer.text or SECRET in json.dumps(review)
    if answer.status_code != 200:
        assert answer.status_code >= 400
        assert len(answer.text) < 500
        return
    message = orjson.loads(answer.data)
    assert (message["apiVersion"], message["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    response = message["response"]
    assert response["uid"] == review["request"]["uid"]
    assert response["allowed"] in (True, False)
    assert response.get("status", {}).get("code") != 500, response
    if not response["allowed"]:
        assert response["status"]["message"]
    if "patch" in response:
        jsonpatch.apply_patch(review["request"]["object"], json.loads(base64.b64decode(response["patch"])))


@given(st.binary(max_size=200), st.sampled_from(["/mutate", "/validate", "/", "/healthz", "/..%2f"]))
@settings(max_examples=CASES // 4)
def test_any_bytes_get_a_response(client: Any, body: bytes, path: str) -> None:
    for content_type in ("application/json", "text/plain", "\xff"):
        assert client.post(path, data=body, content_type=content_type).status_code in (400, 404, 405, 411)


def test_a_body_that_is_too_large_or_too_deep_is_refused(client: Any) -> None:
    assert client.post("/mutate", data=b" " * (MAX_BODY + 1), content_type="application/json").status_code == 413
    deep = b"[" * 100_000 + b"]" * 100_000
    assert client.post("/mutate", data=deep, content_type="application/json").status_code == 400


@given(templates(), JUNK, st.text(max_size=20))
@settings(max_examples=CASES // 10)
def test_a_forged_record_removes_only_injected_parts(client: Any, template: Object, junk: Any, text: str) -> None:
    sidecar = {"name": "sidecar", "image": "mine:1"}
    volumes = [
        {"name": "asya-runtime", "secret": {"secretName": "s"}},
        {"name": "asya-socket", "hostPath": {"path": "/"}},
    ]
    spec = {**template["spec"], "containers": [sidecar, *template["spec"]["containers"]], "volumes": volumes}
    forged = {"version": 1, "actor": "mine", "digest": "d", "runtime": "sidecar"} | {
        "volumes": ["asya-runtime", "asya-socket"],
        "created": ["volumes", "containers", "spec"],
    }
    for record in (json.dumps(forged), json.dumps({**forged, "created": junk}), text):
        plain = {"metadata": {"annotations": {ANNOTATION_INJECTED: record}}, "spec": spec}
        obj = {"metadata": {"name": "x"}, "spec": {"template": plain}}
        request = {
            "uid": UID,
            "userInfo": {"username": "u"},
            "operation": "UPDATE",
            "namespace": "ns",
            "object": obj,
        } | {"resource": {"group": "apps", "version": "v1", "resource": "deployments"}}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        response = client.post("/mutate", json=review).get_json()["response"]
        assert response["allowed"]
        after = jsonpatch.apply_patch(obj, json.loads(base64.b64decode(response.get("patch", "W10="))))
        assert after["spec"]["template"]["spec"] == spec


@pytest.mark.parametrize("as_json", [True, False])
def test_user_input_is_escaped_in_the_log(client: Any, as_json: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    handlers = logging.getLogger().handlers
    logs.configure(format="json" if as_json else "text")
    try:
        evil = 'x\n{"event": "forged"}\x1b[2J{0.__class__}%s${jndi}'
        request = {
            "uid": UID,
            "userInfo": {"username": evil},
            "operation": "CREATE",
            "namespace": evil,
            "name": evil,
        } | {
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": {"metadata": {"labels": {LABEL_ACTOR: evil}}, "spec": {"containers": [{"name": "a"}]}},
        }
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        response = (
            create_app(Handler(lookup, SidecarDefaults()))
            .test_client()
            .post("/mutate", json=review)
            .get_json()["response"]
        )
    finally:
        logging.getLogger().handlers = handlers
    assert not response["allowed"]
    assert repr(evil) in response["status"]["message"], "the log does not show the text unchanged"
    message = stream.getvalue()
    assert message.count("\n") == 1
    assert "\x1b[2J" not in message
    if as_json:
        assert json.loads(message)["name"] == evil
