"""The generation of a sidecar and its queue. Only one place defines the default sidecar."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from controller.rules.desired import workload
from crds.generate import CHART, ROOT
from crds.models import GenerationSetting
from crds.parse import parse_actor
from injection.generations import (
    consumed_queue,
    generation,
    generation_of_image,
    queue_name,
    sidecar_actor_name,
)
from injection.settings import DEFAULT_IMAGE, SidecarDefaults
from tests.harness.space import actor

DIGEST = "@sha256:" + "0" * 64
TAGS = {
    "frames": ["0.1.0", "0.1.1", "v0.1.1", "0.1", "0.0.9", "0.1.1-rc1", "0.1.1-alpine", "0.1.99", "0.1.x"],
    "frames-namespaced": ["0.2.0", "0.2", "0.3.7", "0.5.0", "v0.4.2", "0.5.0-rc1", "1.0.0", "v1.0.0", "1.0.0-rc1"],
    "http": [
        *(
            "0.5.1",
            "0.5.16",
            "0.5",
            "0",
            "0.10.0",
            "1.0.6",
            "1.0.1",
            "1.0",
            "1",
            "1.1.3",
            "1.1.3-rc1",
            "v1.1.3",
            "2.0.0",
        ),
        *("latest", "main", "stable", "sha-0a1b2c3", "0x1", "1.1.3.4", "20260401", "v"),
    ],
}
CASES = [(f"{tag}", wanted) for wanted, tags in TAGS.items() for tag in tags]


@pytest.mark.parametrize("registry", ["", "ghcr.io/deliveryhero/", "localhost:5000/", "[::1]:5000/a/0.1.0/"])
@pytest.mark.parametrize(("tag", "wanted"), CASES)
def test_the_generation_follows_from_the_tag(registry: str, tag: str, wanted: str) -> None:
    assert generation_of_image(f"{registry}asya-sidecar:{tag}") == wanted
    assert generation_of_image(f"{registry}asya-sidecar:{tag}{DIGEST}") == wanted


@pytest.mark.parametrize(
    "image", ["asya-sidecar", f"asya-sidecar{DIGEST}", "localhost:5000/asya-sidecar", "", ":", "@", "a:b/c"]
)
def test_an_image_without_a_tag_counts_as_the_newest(image: str) -> None:
    assert generation_of_image(image) == "http"


@given(st.text(max_size=60))
def test_any_image_is_accepted(image: str) -> None:
    assert generation_of_image(image) in TAGS


@pytest.mark.parametrize(
    ("sidecar", "setting", "image", "wanted"),
    [
        ({}, "auto", "s:0.1.1", "frames"),
        ({}, "auto", "s:latest", "http"),
        ({}, "frames-namespaced", "s:latest", "frames-namespaced"),
        ({"image": "s:0.3.0"}, "auto", "s:1.1.3", "frames-namespaced"),
        ({"image": "s:0.3.0"}, "frames", "s:1.1.3", "frames"),
        ({"image": "s:0.3.0", "generation": "auto"}, "frames", "s:1.1.3", "frames-namespaced"),
        ({"generation": "frames"}, "http", "s:1.1.3", "frames"),
    ],
)
def test_a_setting_overrides_the_tag_and_the_actors_setting_overrides_the_operators(
    sidecar: dict[str, Any], setting: GenerationSetting, image: str, wanted: str
) -> None:
    parsed = parse_actor(actor("a", sidecar=sidecar))
    assert generation(parsed, SidecarDefaults(image=image, generation=setting)) == wanted


def named(env: dict[str, Any]) -> dict[str, Any]:
    return {"env": [{"name": name, **value} for name, value in env.items()]}


@pytest.mark.parametrize(
    ("setting", "spec", "name", "consumed"),
    [
        ("frames", {}, "a", "asya-a"),
        ("http", {}, "a", "asya-ns-a"),
        ("frames-namespaced", {}, "a", "asya-ns-a"),
        ("frames", {"queueName": "asya-orders"}, "orders", "asya-orders"),
        ("http", {"queueName": "asya-ns-orders"}, "orders", "asya-ns-orders"),
        ("http", {"queueName": "asya-orders"}, "a", "asya-ns-a"),
        ("http", {"queueName": "orders"}, "a", "asya-ns-a"),
        ("frames", {"queueName": "asya-"}, "a", "asya-a"),
        ("http", {"queueName": "asya-ns-"}, "a", "asya-ns-a"),
        ("http", {"sidecar": named({"ASYA_ACTOR_NAME": {"value": "b"}})}, "b", "asya-ns-b"),
        ("http", {"sidecar": named({"ASYA_NAMESPACE": {"value": "other"}})}, "a", "asya-other-a"),
        ("frames", {"sidecar": named({"ASYA_NAMESPACE": {"value": "other"}})}, "a", "asya-a"),
        (
            "http",
            {"sidecar": named({"ASYA_NAMESPACE": {"value": "other"}}), "queueName": "asya-other-x"},
            "x",
            "asya-other-x",
        ),
        ("http", {"sidecar": named({"ASYA_ACTOR_NAME": {"valueFrom": {"fieldRef": {}}}})}, "a", "asya-ns-a"),
        ("http", {"sidecar": named({"ASYA_ACTOR_NAME": {"value": "$(POD)"}})}, "a", "asya-ns-a"),
        ("http", {"sidecar": named({"ASYA_ACTOR_NAME": {"value": ""}})}, "a", "asya-ns-a"),
    ],
)
def test_the_queue_follows_from_the_generation(
    setting: GenerationSetting, spec: dict[str, Any], name: str, consumed: str
) -> None:
    obj = actor("a", **spec)
    obj["metadata"]["namespace"] = "ns"
    parsed, defaults = parse_actor(obj), SidecarDefaults(generation=setting)
    assert sidecar_actor_name(parsed, defaults) == name
    assert consumed_queue(parsed, defaults) == consumed
    assert queue_name(parsed, defaults) == spec.get("queueName", consumed)


def test_one_place_defines_the_default_sidecar() -> None:
    assert generation_of_image(DEFAULT_IMAGE) == "http"
    assert DEFAULT_IMAGE.rpartition(":")[2] not in ("latest", "")
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values["sidecar"]["image"] == DEFAULT_IMAGE
    name = DEFAULT_IMAGE.rpartition(":")[0]
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.yaml")]:
        assert f"{name}:latest" not in page.read_text(), page


# -- an upgrade ----------------------------------------------------------------------------------

RELEASED = "406b5b990d96850b"
"""Digest of the Job below in the first release."""
FULL = {
    "queueName": "asya-a",
    "sidecar": {"image": "s:1", "env": [{"name": "A", "value": "b"}]},
    "timeout": {"processing": 5, "gracefulShutdown": 30},
    "workload": {
        "type": "Job",
        "replicas": 1,
        "template": {"spec": {"containers": [{"name": "runtime", "image": "i"}]}},
    },
}


def test_an_upgrade_replaces_no_job() -> None:
    obj = actor("a", **FULL)
    obj["spec"]["sidecar"]["endActor"] = False  # the default of the new CustomResourceDefinition
    made = workload(parse_actor(obj), keda=False)
    assert made["metadata"]["annotations"]["asya.io/applied"] == RELEASED
