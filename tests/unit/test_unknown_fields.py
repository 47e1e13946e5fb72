"""A misspelt field of an actor in a file is reported without a cluster, as kubectl does with one."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cli.main import app
from crds.unknown import unknown_fields
from tests.harness.clusters import ROOT

ACTOR = (ROOT / "examples" / "rabbitmq-deployment.yaml").read_text()


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.yaml")), ids=lambda path: path.name)
def test_examples_have_no_unknown_fields(example: Path) -> None:
    for obj in yaml.safe_load_all(example.read_text()):
        if obj and obj["kind"] == "AsyncActor":
            assert unknown_fields(obj) == []


@pytest.mark.parametrize(
    ("spec", "paths"),
    [
        ({"timeot": {}}, ["spec.timeot"]),
        ({"resiliency": {"policies": {"any": {"maxAttemps": 3}}}}, ["spec.resiliency.policies.any.maxAttemps"]),
        ({"scaling": {"advanced": {"triggers": [{"typo": 1}]}}}, ["spec.scaling.advanced"]),
        ({"workload": {"template": {"spec": {"containers": [{"name": "runtime"}]}}}}, []),
        ({"sidecar": {"env": [{"name": "A", "value": "b"}]}}, []),
        (None, []),
    ],
)
def test_each_field_is_named_by_its_path(spec: Any, paths: list[str]) -> None:
    assert unknown_fields({"spec": spec}) == paths


def test_render_warns_of_a_misspelt_field(tmp_path: Path) -> None:
    file = tmp_path / "actor.yaml"
    file.write_text(ACTOR.replace("gracefulShutdown", "gracefulShutdow"))
    done = CliRunner().invoke(app, ["render", "-f", str(file)])
    assert "spec.timeout.gracefulShutdow: an AsyncActor has no such field" in done.stderr
