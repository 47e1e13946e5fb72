"""A platform's additions to every sidecar are injected, follow their settings, and are removed exactly."""

from typing import Any

import pytest

from crds.names import ANNOTATION_INJECTED
from crds.parse import parse_actor
from injection.inject import inject, uninject
from injection.plan import make_plan
from injection.settings import InvalidSetting, SidecarDefaults, from_environment
from kube.objects import Object
from tests.harness.space import actor

ENVIRONMENT = {
    "ASYA_SIDECAR_IMAGE_PULL_SECRETS": '["registry", "mirror"]',
    "ASYA_SIDECAR_SECURITY_CONTEXT": '{"runAsUser": 5, "seccompProfile": {"type": "Unconfined"}}',
    "ASYA_SIDECAR_VOLUMES": '[{"name": "asya-ca", "configMap": {"name": "ca"}}]',
    "ASYA_SIDECAR_VOLUME_MOUNTS": '[{"name": "asya-ca", "mountPath": "/etc/ssl/certs", "readOnly": true}]',
}


def plan(environment: dict[str, str]) -> Any:
    obj = actor("a")
    obj["metadata"]["namespace"] = "n"
    return make_plan(parse_actor(obj), from_environment(environment))


def template(**spec: Any) -> Object:
    container = {"name": "app", "image": "i", "env": [{"name": "ASYA_HANDLER", "value": "m.f"}]}
    return {"metadata": {"labels": {"asya.io/actor": "a"}}, "spec": {"containers": [container], **spec}}


@pytest.mark.parametrize("job", [False, True])
@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"imagePullSecrets": [{"name": "mine"}, {"name": "registry"}], "volumes": [{"name": "v", "emptyDir": {}}]},
        {"imagePullSecrets": [], "volumes": []},
    ],
    ids=["bare", "with-its-own", "empty"],
)
def test_extras_are_injected_and_removed(spec: Object, job: bool) -> None:
    before = template(**spec)
    after = inject(before, plan(ENVIRONMENT), job=job)
    result = after["spec"]
    mine = spec.get("imagePullSecrets") or []
    assert [s["name"] for s in result["imagePullSecrets"]][: len(mine)] == [s["name"] for s in mine]
    assert {s["name"] for s in result["imagePullSecrets"]} == {"registry", "mirror"} | {s["name"] for s in mine}
    sidecar = next(c for c in (*result.get("initContainers", ()), *result["containers"]) if c["name"] == "sidecar")
    assert sidecar["securityContext"]["runAsUser"] == 5
    assert sidecar["securityContext"]["seccompProfile"] == {"type": "Unconfined"}
    assert sidecar["securityContext"]["allowPrivilegeEscalation"] is False
    assert sidecar["volumeMounts"][-1]["mountPath"] == "/etc/ssl/certs"
    assert {"name": "asya-ca", "configMap": {"name": "ca"}} in result["volumes"]
    assert inject(after, plan(ENVIRONMENT), job=job) is after
    assert uninject(after) == before
    assert inject(before, plan({}), job=job) == inject(after, plan({}), job=job), (
        "a removed setting must remove its part"
    )


def test_removed_extras_are_injected_again() -> None:
    after = inject(template(), plan(ENVIRONMENT))
    stripped = {**after, "spec": {key: part for key, part in after["spec"].items() if key != "imagePullSecrets"}}
    assert inject(stripped, plan(ENVIRONMENT))["spec"]["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}]


def test_extras_are_removed_from_a_template_without_a_record() -> None:
    before = template()
    after = inject(before, plan({k: v for k, v in ENVIRONMENT.items() if "SECRETS" not in k}))
    del after["metadata"]["annotations"][ANNOTATION_INJECTED]
    assert "volumes" not in uninject(after)["spec"]


def test_each_extra_starts_a_rollout_and_none_changes_nothing() -> None:
    assert from_environment({}) == SidecarDefaults()
    alone = [{name: value} for name, value in ENVIRONMENT.items() if "MOUNTS" not in name]
    together = {name: value for name, value in ENVIRONMENT.items() if "VOLUME" in name}
    assert len({plan(environment).digest for environment in ({}, *alone, together)}) == 5
    assert plan(dict.fromkeys(ENVIRONMENT, "")).digest == plan({}).digest


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("ASYA_SIDECAR_IMAGE_PULL_SECRETS", '{"name": "a"}', "JSON list"),
        ("ASYA_SIDECAR_IMAGE_PULL_SECRETS", "[1]", "names"),
        ("ASYA_SIDECAR_SECURITY_CONTEXT", "[]", "JSON object"),
        ("ASYA_SIDECAR_SECURITY_CONTEXT", "{", "JSON"),
        ("ASYA_SIDECAR_VOLUMES", '[{"name": "ca"}]', "asya-"),
        ("ASYA_SIDECAR_VOLUMES", '[{"name": "asya-socket"}]', "asya-socket"),
        ("ASYA_SIDECAR_VOLUME_MOUNTS", '[{"name": "asya-ca", "mountPath": "/a"}]', "ASYA_SIDECAR_VOLUMES"),
    ],
)
def test_a_wrong_extra_is_refused(name: str, value: str, word: str) -> None:
    with pytest.raises(InvalidSetting, match=name) as caught:
        from_environment({name: value})
    assert word in str(caught.value)
